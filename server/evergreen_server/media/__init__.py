"""Callers' URLs and files: fetched within bounds, decoded in processes of their own, examined and prepared."""
