"""The decision policy: a probability for every candidate, what it would have earned on a log, a world to try it in."""
