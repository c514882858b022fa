"""Values of the worker's control process."""
