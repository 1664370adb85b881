"""Live experiments: arms, the assignment of users, and sequential analysis."""
