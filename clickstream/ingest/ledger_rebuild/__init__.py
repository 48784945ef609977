"""`ingest ledger rebuild`: a lost ledger, made again from the stored lines."""
