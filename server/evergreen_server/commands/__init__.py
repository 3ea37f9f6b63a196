"""The commands of an operator. Each imports what it needs when it runs: every --help loads these modules."""
