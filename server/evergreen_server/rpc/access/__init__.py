"""Who may call: tokens, rights and certificates."""
