"""The demo's sources: a real HTTP API and a real Postgres, with made-up data."""
