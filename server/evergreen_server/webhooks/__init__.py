"""Tells other backends of events: expands them into deliveries, which are signed, sent and recorded."""
