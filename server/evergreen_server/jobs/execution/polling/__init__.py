"""When to ask the provider about a task."""
