"""What every command shares with the terminal: its help, and the name it was started by."""
