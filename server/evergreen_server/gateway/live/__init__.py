"""Watches over HTTP: one watch of the server's for all who follow the same project with the same token."""
