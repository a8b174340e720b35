"""The dbt-duckdb plugin: the lock, publishing, and analysis of view queries."""
