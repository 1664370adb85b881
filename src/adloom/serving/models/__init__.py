"""Load, verify, cache and refresh models."""
