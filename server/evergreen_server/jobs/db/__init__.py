"""The database: schema, connections, migrations, group commit, and the mapping of rows to values."""
