"""Pure rules: money, entries, status, clock, numbers, documents, the update reader. No I/O, nothing above imported."""
