"""Routing: where jobs, calls and ownership go. Pure: what is known and what time it is are arguments."""
