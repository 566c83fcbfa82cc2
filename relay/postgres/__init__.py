"""PostgreSQL under a head office that outgrew one machine: the same ledger, the same SQL, several processes at once."""
