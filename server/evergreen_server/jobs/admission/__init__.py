"""Which waiting job may be submitted next: slots, fairness between projects, funds, and the forecast."""
