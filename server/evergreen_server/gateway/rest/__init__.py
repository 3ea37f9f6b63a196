"""The whole contract as REST under `/api/v1`: one table of bindings, and what carries them out."""
