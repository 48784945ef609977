"""From a log in HDFS through the spooling directories and the Flume agents."""
