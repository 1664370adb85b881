"""A simulated world that joins: users, purchases, creatives and clicks with known truth."""
