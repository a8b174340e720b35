"""Compares the tables that DuckDB and Spark have built."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from deftunes.settings import PROJECT
from deftunes.spark_lake import SparkLake
from deftunes.sql import literal

SCHEMAS = (
    *("seeds", "staging", "intermediate", "marts"),
    *("quality", "reports", "semantic", "snapshots"),
)
"""The schemas that both engines build."""

NOT_COMPARED = {
    # Hashes by functions that each engine has for itself.
    *("_version_hash", "items_checksum", "prices_checksum"),
    # When a snapshot was taken.
    *("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"),
}
"""Columns that are not the same even if both engines are right."""

_WITH_CONTRACTS = ("marts", "quality", "reports", "semantic")
_SHOWN_ROWS = 3


class ParityError(Exception):
    """The tables cannot be made or compared; the message says why and what to do."""


@dataclass(frozen=True)
class ComparedTable:
    """A table of both engines.

    Attributes:
        name: schema and name.
        rows: the number of rows that DuckDB built.
        difference: text of some lines, with the first differing rows; empty if all rows
            are equal.

    """

    name: str
    rows: int
    difference: str


def variables(home: Path, target: str) -> dict[str, str]:
    """Return the environment of a dbt command that builds what both targets build.

    Args:
        home: the folder of the lakehouse.
        target: local or spark.

    """
    return {
        **os.environ,
        # Only a shell sets it to where the command runs.
        "PWD": str(PROJECT),
        "DEFTUNES_HOME": str(home),
        "DBT_TARGET": target,
        "DBT_TARGET_PATH": str(home / "target" / target),
        "DBT_LOG_PATH": str(home / "target" / target),
        "DEFTUNES_WITHOUT_ML": "1",
    }


def compare(home: Path, exported: Path) -> Iterator[ComparedTable]:
    """Compare each table and view that both targets, `local` and `spark`, have built.

    The names are those in DuckDB's lake. Machine learning is not compared, and not
    quality.publications, which has the time of each publication.

    Args:
        home: the folder of the lakehouse.
        exported: the folder that the operation `export_for_parity` has filled.

    Yields:
        The tables by schema and name.

    Raises:
        ParityError: DuckDB's lake is missing.
        ObjectStoreError: the bucket with Spark's tables cannot be used.

    """
    catalogue = home / "lake" / "catalog.sqlite"
    if not catalogue.exists():
        raise ParityError(
            f"There is no {catalogue}. Build it first: dbt build --target local"
        )
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner", "avro", "iceberg"):
            connection.load_extension(extension)
        connection.execute("set timezone = 'UTC'")
        connection.execute(
            f"attach {literal('ducklake:sqlite:' + str(catalogue))} as lake"
            f" (data_path {literal(str(home / 'lake' / 'data'))},"
            " override_data_path true, read_only)"
        )
        SparkLake(home).open_bucket(connection, exported / "tables")
        relations = _spark_relations(connection, exported)
        # DuckDB alone builds them; they may be there from another build.
        of_machine_learning = [
            model.stem for model in (PROJECT / "models" / "ml").rglob("*.*")
        ]
        for schema, name in connection.execute(
            "select table_schema, table_name from information_schema.tables"
            " where table_catalog = 'lake' and list_contains(?, table_schema)"
            " and not ends_with(table_name, '_live') and table_name <> 'publications'"
            " and not list_contains(?, table_name)"
            " order by list_position(?, table_schema), table_name",
            [SCHEMAS, of_machine_learning, SCHEMAS],
        ).fetchall():
            spark = relations.get((schema, name))
            yield _compare_table(connection, schema, name, spark)


def _compare_table(
    connection: duckdb.DuckDBPyConnection, schema: str, name: str, spark: str | None
) -> ComparedTable:
    """Compare the rows of a table; `spark` is SQL that reads Spark's."""
    relation = f"lake.{schema}.{name}"
    (count,) = connection.sql(f"from {relation} select count(*)").fetchone() or (0,)
    if spark is None:
        return ComparedTable(f"{schema}.{name}", count, "not in Spark's lake")
    types = {
        column: kind
        for column, kind, *_ in connection.sql(f"describe {relation}").fetchall()
        if column not in NOT_COMPARED
    }
    queries = []
    for rows in (relation, spark):
        columns = [
            f"replace(cast({column} as varchar), '-', '') as {column}"
            if kind == "UUID"
            else f"cast({column} as {kind}) as {column}"
            for column, kind in types.items()
        ]
        queries.append(f"(from {rows} select {', '.join(columns)})")
    checksums = [
        connection.sql(
            f"from {query} select count(*), sum(hash({', '.join(types)}))"
        ).fetchone()
        for query in queries
    ]
    difference = ""
    if checksums[0] != checksums[1]:
        difference = _difference(connection, queries, list(types))
    elif schema in _WITH_CONTRACTS:
        difference = ", ".join(
            f"{column} is {types[column]} on DuckDB and {kind} on Spark"
            for column, kind, *_ in connection.sql(f"describe from {spark}").fetchall()
            if types.get(column, kind).replace("UUID", "VARCHAR") != kind
        )
    return ComparedTable(f"{schema}.{name}", count, difference)


def _spark_relations(
    connection: duckdb.DuckDBPyConnection, exported: Path
) -> dict[tuple[str, str], str]:
    """Return SQL that reads each table and view of Spark's lake, by schema and name."""
    relations = {}
    for folder in exported.glob("*/*/"):
        rows = f"read_parquet({literal(f'{folder}/*.parquet')})"
        relations[folder.parent.name, folder.name] = rows
    tables = connection.read_parquet(f"{exported}/tables/*.parquet")
    for schema, name, file in tables.fetchall():
        relations[schema, name] = f"iceberg_scan({literal(file)})"
    return relations


def _difference(
    connection: duckdb.DuckDBPyConnection, queries: list[str], columns: list[str]
) -> str:
    """Return which columns and rows of DuckDB's and of Spark's query differ."""
    duck, spark = queries
    lines = []
    for title, kept, removed in (("DuckDB", duck, spark), ("Spark", spark, duck)):
        rows = connection.sql(f"{kept} except all {removed}")
        (count,) = rows.count("*").fetchone() or (0,)
        lines.append(f"{count:,} rows only from {title}")
        for row in rows.order("all").limit(_SHOWN_ROWS).fetchall():
            lines.append(f"    {row}")
    differing = [
        column
        for column in columns
        if connection.sql(
            f"from {duck} select {column} except all (from {spark} select {column})"
        ).fetchone()
    ]
    return "\n    ".join([f"differs in {', '.join(differing) or 'whole rows'}", *lines])
