"""What is special to each kind of thing that jobs make."""
