"""Makes bodies of requests, and traces their parts back."""
