"""The Flume agents: rendered, started, supervised, asked how they do."""
