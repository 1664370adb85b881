"""Tables: what comes in, what is kept of it, and how it is split. Pure: no network, no environment."""
