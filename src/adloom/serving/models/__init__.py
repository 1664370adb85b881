"""Models in a running service: load, verify, cache, and refresh them."""
