"""Pure rules: money, entries, status, clock, numbers, documents, the update reader. No I/O, and nothing above it is imported."""
