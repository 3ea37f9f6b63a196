"""What packages ask of one another: protocols and values, without I/O. Imports nothing of ours."""
