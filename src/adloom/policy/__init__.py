"""Which creative to show: a probability for each candidate, and what a policy is worth before it is shipped."""
