"""Checksums of tables, to check that all contenders make the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from deftunes.spark_lake import SparkLake
from deftunes.sql import literal

TABLES = (
    *("marts.fact_order_items", "marts.fact_orders", "marts.dim_users"),
    *("marts.dim_songs", "marts.dim_artists", "marts.dim_date"),
    *("reports.sales_per_day_mv", "reports.sales_per_artist_mv"),
    *("reports.sales_per_song_mv", "reports.sales_per_country_mv"),
    *("reports.buyer_cohorts_mv", "reports.top_songs_per_country_mv"),
)
"""The tables that every contender makes: the star and the materialized views."""

_OF_THE_PROJECT = {
    *("rate_published_date", "is_rate_provisional", "is_user_version_assumed"),
    "device_type",
}
"""Columns that only the project makes: where a value comes from, and the device."""

Checksums = dict[str, str]


class MismatchError(Exception):
    """Two contenders made different tables; the message names contender and tables."""


@contextmanager
def lake(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a lake read-only, as database `lake`."""
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner"):
            connection.load_extension(extension)
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        connection.execute(
            f"attach 'ducklake:sqlite:{home}/lake/catalog.sqlite' as lake (read_only)"
        )
        yield connection


def of_lake(home: Path) -> Checksums:
    """Return the checksums of the tables of a lake."""
    with lake(home) as connection:
        return {name: _checksum(connection.table(f"lake.{name}")) for name in TABLES}


def of_spark(home: Path) -> Checksums:
    """Return the checksums of the tables that Spark has built."""
    with duckdb.connect() as connection:
        for extension in ("avro", "iceberg"):
            connection.load_extension(extension)
        connection.execute("set timezone = 'UTC'")
        return {
            table.name: _checksum(
                connection.sql(f"from iceberg_scan({literal(table.metadata)})")
            )
            for table in SparkLake(home).relations()
            if table.name in TABLES
        }


def compare(expected: Checksums, found: Checksums, contender: str) -> None:
    """Check that a contender has made the same tables as the project.

    Raises:
        MismatchError: some tables differ.

    """
    different = [name for name, value in expected.items() if found.get(name) != value]
    if different:
        raise MismatchError(
            f"These tables of {contender} differ from the project's: "
            f"{', '.join(different)}."
        )


def _checksum(rows: duckdb.DuckDBPyRelation) -> str:
    """Return the number of rows and a digest of their values, independent of order.

    Metadata columns such as `_batch_id` and those of `_OF_THE_PROJECT` are left out.
    Keys are compared as text without dashes, since their types differ.
    """
    values = ", ".join(
        f"replace(cast({name} as varchar), '-', '')"
        if name.endswith("_key") and not name.endswith("date_key")
        else f"cast({name} as {kind})"
        for name, kind in zip(
            rows.columns, map(_plain, map(str, rows.types)), strict=True
        )
        if not name.startswith("_") and name not in _OF_THE_PROJECT
    )
    ((count, checksum),) = rows.aggregate(
        f"count(*), coalesce(sum(cast(hash({values}) as hugeint)), 0)"
    ).fetchall()
    return f"{count} rows, {checksum:x}"


def _plain(name: str) -> str:
    """Return the common type in which values are compared."""
    if name.startswith("DECIMAL"):
        return "decimal(38, 6)"
    if name.startswith("TIMESTAMP"):
        return "timestamp"
    return {"INTEGER": "bigint", "FLOAT": "double"}.get(name, name)
