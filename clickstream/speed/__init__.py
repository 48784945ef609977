"""The speed layer: Spark Structured Streaming from Kafka to the real-time views."""
