"""The decision log, from serving to a training table."""
