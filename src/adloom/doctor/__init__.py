"""Checks of the environment for `adloom doctor`."""
