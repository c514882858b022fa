"""One servicer per gRPC service of the gate: translate, delegate, nothing else."""
