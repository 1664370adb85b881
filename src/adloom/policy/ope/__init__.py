"""Off-policy evaluation: estimators, intervals, support, and the promotion test. Pure."""
