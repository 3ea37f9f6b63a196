"""Routers, and generation whose model a router chooses."""
