"""The shared terminal side of all commands: its help, and the name it was started by."""
