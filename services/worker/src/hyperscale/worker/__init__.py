"""A worker: a light control process, and one engine process per core that makes the load."""
