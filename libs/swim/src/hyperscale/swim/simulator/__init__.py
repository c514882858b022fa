"""Simulations of a group on a virtual clock, and networks whose answers are known."""
