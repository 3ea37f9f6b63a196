"""Calls in the shapes of others, carried out by the contract's: the first endpoints, and OpenAI's of videos."""
