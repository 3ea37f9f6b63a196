"""The storage engines: local disk, memory, fsspec filesystems, and what they share."""
