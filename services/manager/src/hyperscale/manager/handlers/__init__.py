"""One servicer per gRPC service: translates and delegates."""
