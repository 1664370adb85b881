"""The decision log: what was decided and what came of it, from the process that answers to a table to learn from."""
