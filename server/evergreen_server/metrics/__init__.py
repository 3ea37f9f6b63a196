"""Metrics for Prometheus: what the packages count, and counts of rows when asked for. No label is unbounded."""
