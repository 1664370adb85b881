"""Configuration: params.yaml, the environment's settings, gates, and the resources of pods."""
