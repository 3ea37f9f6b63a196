"""RunwayML: its models, its HTTP API, and a sandbox that speaks it."""
