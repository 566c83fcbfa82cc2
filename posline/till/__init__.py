"""What a cashier does: sales, reports, the HTTP API and the running till."""
