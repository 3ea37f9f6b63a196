"""What the service is made of, a part a module: built for `app`, which opens them in their order."""
