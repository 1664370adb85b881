"""The outside: stores, tracking, registry, and the files that artifacts are made of."""
