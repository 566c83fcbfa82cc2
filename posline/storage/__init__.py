"""SQLite: the log of updates, the ledger projected from it, and their migrations. Knows nothing of links or HTTP."""
