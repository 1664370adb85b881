"""The decision policy: scoring, training, off-policy evaluation and a simulator."""
