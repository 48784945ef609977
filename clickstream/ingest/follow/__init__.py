"""Live logs, spooled as they grow."""
