"""Runs of films: from an approved plan to its outputs, by jobs that lose nothing."""
