"""What dbt asks of Python: the lock, what is published, what a query says."""
