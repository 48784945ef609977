"""The local runtime: child processes, Java, jars, rendered files."""
