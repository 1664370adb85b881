"""Readers of sources: files of every format as chunks of raw rows."""
