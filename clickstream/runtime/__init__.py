"""What the local parts run on: child processes, Java, jars, rendered files."""
