"""Job files from what other tools have recorded."""
