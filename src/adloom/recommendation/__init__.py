"""The next item for a user, from the sequence of items before."""
