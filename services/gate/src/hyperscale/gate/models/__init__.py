"""Values of the gate."""
