"""Audience segments: features, clustering, assignment and profiles. Pure."""
