"""The doctor: what does not fit, of this machine, of each service, and of how they are set."""
