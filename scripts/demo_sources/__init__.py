"""The demo's sources: a real API and a real database, with made-up data."""
