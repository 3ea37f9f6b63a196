"""What a request may cost at most."""
