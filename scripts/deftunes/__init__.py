"""The Python part of the DeFtunes lakehouse: loader, dbt plugin, export, erasure."""
