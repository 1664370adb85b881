"""Migrations of the library's schema."""
