"""Several servers on one database: leases, take-over, notifications, locks, and the durable engine."""
