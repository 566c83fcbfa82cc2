"""A double-entry ledger that follows a head office: see README.md. It uses nothing but Python's own library."""
