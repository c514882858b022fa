"""What every Hyperscale node shares: configuration, server, errors, supervision, coordination and reliable streams."""
