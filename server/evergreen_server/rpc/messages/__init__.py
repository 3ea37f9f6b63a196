"""Messages of the contract to values of ours, and back."""
