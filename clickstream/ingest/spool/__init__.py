"""The only writer of the spooling directories: logs are read, stamped and cut into chunks."""
