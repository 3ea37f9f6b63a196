"""Jobs: what they are, how they are kept, run and watched. Knows no wire format and no vendor."""
