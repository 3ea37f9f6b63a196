"""The commands of `evergreen film`."""
