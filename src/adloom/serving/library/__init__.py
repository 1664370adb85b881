"""The creative library in a service: its endpoints, its drafts, and the approved ads for decisions."""
