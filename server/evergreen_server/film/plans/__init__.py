"""The door for plans of films: what is asked of it, what it refuses, and the rows that keep plans."""
