"""A real cluster of processes on this machine."""
