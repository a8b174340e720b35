"""The limit: hand-written SQL that makes the same tables as fast as possible."""
