"""Reproducible runs: prepared datasets by digest, records of runs, and their reproduction."""
