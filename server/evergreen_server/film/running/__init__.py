"""The door for runs of films: what is asked of it, what it refuses, and what a run may cost."""
