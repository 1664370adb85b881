"""Audience: features of a user, segments of users, and how well the segments hold. Pure."""
