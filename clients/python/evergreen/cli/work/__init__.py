"""What commands do once they are parsed. Loads gRPC and the contract, for which help and completion do not wait."""
