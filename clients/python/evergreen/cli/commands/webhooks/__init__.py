"""`evergreen webhook`."""
