"""A small HTTP server to aim first runs, examples and tests at; it counts what it receives."""
