"""What a connection is made with, and where it may be used."""
