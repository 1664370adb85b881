"""Tracking: parameters, metrics and provenance of runs, in memory or in MLflow."""
