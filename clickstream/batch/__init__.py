"""The batch layer: Spark SQL on the master dataset to the batch views."""
