"""The decision log: decisions and their feedback, from the serving process to a training table."""
