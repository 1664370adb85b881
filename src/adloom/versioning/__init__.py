"""Runs that can be made again: the dataset by its digest, the record of a run, and both brought back."""
