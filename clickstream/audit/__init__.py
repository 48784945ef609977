"""The audit: every line of every spooled log, accounted for in every store."""
