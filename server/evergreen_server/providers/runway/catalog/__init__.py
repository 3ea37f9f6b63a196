"""The models: what each accepts, its bounds and its prices."""
