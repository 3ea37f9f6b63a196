"""Runs at start and at intervals: repairs unfinished work and removes what is past its retention."""
