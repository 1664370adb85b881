"""POST /v1/decide: the latency-critical path."""
