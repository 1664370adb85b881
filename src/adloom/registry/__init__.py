"""The model registry: versions, aliases, and the rules of promotion."""
