"""What the account owns besides tasks: voices, avatars, documents, routers, workflows, sessions, and their logs."""
