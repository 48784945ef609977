"""The batch layer: Spark SQL on the master copy to the batch views."""
