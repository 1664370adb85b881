"""Parameters, gate rules, pod resources and environment settings."""
