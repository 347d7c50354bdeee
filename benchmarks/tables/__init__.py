"""Trainings kept in tables, and searches that are replayed on them."""
