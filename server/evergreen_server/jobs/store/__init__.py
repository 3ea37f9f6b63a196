"""Jobs as rows: each change with its events, its money and its engine workflow, in one transaction."""
