"""The decision policy: what it would have earned on a log of another, what a gate may conclude, a world to test."""
