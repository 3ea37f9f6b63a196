"""What the sandbox knows: its account, tasks, queues and uploads, rebuilt from its journal."""
