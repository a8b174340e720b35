"""The loader: fetches from the sources and lands the records as Parquet."""
