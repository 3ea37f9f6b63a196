"""RunwayML: its models, the client of its HTTP API, and a sandbox that serves it."""
