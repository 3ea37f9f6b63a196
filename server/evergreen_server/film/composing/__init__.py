"""The request for each output of a film, and what it is made from."""
