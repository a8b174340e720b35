"""The loader of the DeFtunes lakehouse and what dbt needs of Python beside it."""
