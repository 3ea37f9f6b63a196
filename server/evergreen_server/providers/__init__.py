"""The providers of generation, a package each."""
