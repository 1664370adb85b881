"""Serving: bundles of verified models and the HTTP services that answer from them."""
