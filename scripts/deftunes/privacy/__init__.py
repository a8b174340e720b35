"""Forgets a person."""
