"""Values of the client."""
