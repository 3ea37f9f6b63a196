"""The HTTP edge: a client of our own gRPC API, for browsers and for whoever speaks no gRPC."""
