"""The gate: accepts jobs once, owns them under leases, merges what datacenters report, serves clients."""
