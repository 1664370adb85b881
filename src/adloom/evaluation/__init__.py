"""Evidence: metrics with intervals, the gate that decides on them, and the report that shows them. Pure."""
