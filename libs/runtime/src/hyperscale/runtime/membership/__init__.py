"""A node's part in its group: who else is there, told by the SWIM library over the node's own port."""
