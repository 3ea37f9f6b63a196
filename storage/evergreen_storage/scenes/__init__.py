"""The scene tree on a storage."""
