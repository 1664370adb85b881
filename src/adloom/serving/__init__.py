"""Serving: load verified models and answer HTTP requests."""
