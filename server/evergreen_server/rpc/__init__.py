"""The gRPC edge: the server, its two services, and what every call passes."""
