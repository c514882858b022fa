"""Values that decisions are made of."""
