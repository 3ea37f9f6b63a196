"""Watches: committed events, sent in order to every watcher by cursor."""
