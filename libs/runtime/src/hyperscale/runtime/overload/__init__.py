"""Whether a node does its work in time: what is measured of it, and what follows."""
