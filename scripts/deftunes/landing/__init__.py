"""Lands what the sources deliver, as Parquet."""
