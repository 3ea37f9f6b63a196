"""The rows of the table: what each model takes in each operation, and the words that they share."""
