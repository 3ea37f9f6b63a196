"""What a person sees of work that goes on: live tables and bars, transfers, trees."""
