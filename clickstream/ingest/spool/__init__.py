"""The door into the spooling directories: logs are read, stamped and cut into chunks."""
