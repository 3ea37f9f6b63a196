"""How the sandbox makes a task from a request: its media, its price, its length, and the rendered clip."""
