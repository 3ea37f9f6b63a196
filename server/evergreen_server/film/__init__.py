"""Films: from a script to a finished cut."""
