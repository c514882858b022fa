"""The workload of a job: its language, its load, and the statistics that come back, pure and exact."""
