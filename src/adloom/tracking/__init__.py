"""Tracking of trainings."""
