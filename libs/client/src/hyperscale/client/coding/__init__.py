"""Jobs that are written in Python, on their way to a gate."""
