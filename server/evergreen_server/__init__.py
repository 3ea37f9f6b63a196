"""The Evergreen server: the gRPC service between backends and AI video generation."""
