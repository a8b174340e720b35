"""Erases a person, and keeps them out of later deliveries."""
