"""The sandbox's HTTP side: the provider's API, its files, and the control API for tests."""
