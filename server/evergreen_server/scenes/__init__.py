"""Scenes between those that write to them and their deletion."""
