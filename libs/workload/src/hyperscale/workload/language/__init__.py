"""What coded workflows are written in. Users import it from `hyperscale.workload`."""
