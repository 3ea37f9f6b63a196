"""What a job is: its states, its value, and every transition. Pure."""
