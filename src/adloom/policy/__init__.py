"""The decision policy: scoring, training and off-policy evaluation."""
