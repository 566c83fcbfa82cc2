"""Keys, and who may link. Knows nothing of documents or links."""
