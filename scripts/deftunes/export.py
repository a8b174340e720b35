"""Exports a published table or the result of a saved query as a file."""

import json
import stat
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from deftunes.settings import Settings
from deftunes.sql import literal

_FORMATS = (".csv", ".parquet")
_NESTED = ("list", "map", "struct")

# A spreadsheet runs text that begins like a formula, unless an apostrophe precedes it.
_ESCAPED_FORMULA = ("^([=+@\\t\\r\\n＝＋－＠-])", r"'\1")  # noqa: RUF001 - intended


class ExportError(Exception):
    """Nothing was written; the message says why and what to do."""


def export(settings: Settings, name: str, target: Path, role: str | None = None) -> int:
    """Write a published table, or the result of a saved query, to a file.

    Args:
        settings: where the lakehouse and dbt's artifacts are.
        name: a table with its schema (`marts.dim_date`), or a saved query from
            `models/semantic/saved_queries.yml`.
        target: the file; an existing file is replaced in one step. A `.parquet` file
            has the table's types. A `.csv` file is UTF-8 with a header, an empty field
            for null, JSON for lists, and an apostrophe before text that begins like a
            formula. The file has the mode of the database.
        role: the role whose database is read, one of `seeds/roles.csv`; if None, the
            database that contains everything.

    Returns:
        The number of rows.

    Raises:
        ExportError: nothing is published, there is no table or query of this name, the
            file's name ends in neither .csv nor .parquet, the role's database lacks
            something that the query needs, or the file cannot be written.

    """
    database = settings.serving / "deftunes.duckdb"
    if role is not None:
        database = _database_of(role, settings.serving / "roles")
    if not database.exists():
        raise ExportError(f"{database} does not exist. `dbt build` publishes it.")
    check_target(target)
    try:
        with duckdb.connect() as connection:
            # The name that profiles.yml uses, and so the saved queries.
            connection.execute(f"attach {literal(database)} as lake (read_only)")
            folder = literal(target.absolute().parent)
            connection.execute(f"set allowed_directories = [{folder}]")
            connection.execute("set enable_external_access = false")
            connection.execute("set timezone = 'UTC'")
            relation = _relation(connection, settings, name)
            return write(
                relation, target.absolute(), stat.S_IMODE(database.stat().st_mode)
            )
    except (duckdb.Error, OSError) as error:
        raise ExportError(f"{name} cannot be written: {error}") from error


def check_target(target: Path) -> None:
    """Raise ExportError if the file's folder is not there, or its format unknown."""
    if not target.absolute().parent.is_dir():
        raise ExportError(f"There is no folder {target.absolute().parent}")
    if target.suffix not in _FORMATS:
        raise ExportError(f"End the file's name in {' or '.join(_FORMATS)}: {target}")


def _database_of(role: str, folder: Path) -> Path:
    """Return the published database of a role; a path is not a valid role."""
    roles = {file.stem: file for file in sorted(folder.glob("*.duckdb"))}
    if role not in roles:
        published = ", ".join(roles) or "none"
        raise ExportError(
            f"There is no role {role!r}: no {role}.duckdb in {folder}. Published roles:"
            f" {published}. seeds/roles.csv lists all, `dbt build` publishes them."
        )
    return roles[role]


def _relation(
    connection: duckdb.DuckDBPyConnection, settings: Settings, name: str
) -> duckdb.DuckDBPyRelation:
    """Return the table, or the result of the saved query, with this name."""
    listed = connection.execute(
        "select schema_name || '.' || table_name from duckdb_tables() order by all"
    )
    tables = [table for (table,) in listed.fetchall()]
    if name in tables:
        return connection.table(f"lake.{name}")
    parsed = settings.dbt_target / "semantic_manifest.json"
    if not parsed.exists():
        raise ExportError(f"{parsed} does not exist. `dbt parse` creates it.")
    manifest = json.loads(parsed.read_text("utf-8"))
    queries = sorted(query["name"] for query in manifest["saved_queries"])
    if name in queries:
        # Imported here: it takes two seconds to load, and tables do not need it.
        from deftunes.metrics import query_sql

        return connection.sql(query_sql(parsed, saved_query_name=name))
    raise ExportError(
        f"There is no table or saved query {name!r}.{_nearest(name, tables + queries)} "
        f"Saved queries: {', '.join(queries)}. `make docs` lists the tables."
    )


def _nearest(name: str, known: list[str]) -> str:
    """Return which name is meant, also if its schema is left out; or nothing."""
    names = {table.rpartition(".")[2]: table for table in known}
    matches = get_close_matches(name.lower().rpartition(".")[2], names, n=1)
    return f" Did you mean {names[matches[0]]}?" if matches else ""


def write(relation: duckdb.DuckDBPyRelation, target: Path, mode: int) -> int:
    """Write a relation to a temporary file, and move it to its place.

    Args:
        relation: the rows.
        target: the file, absolute; as for `export`.
        mode: the file's mode.

    Returns:
        The number of rows.

    """
    columns = []
    for name, kind in zip(relation.columns, relation.types, strict=True):
        column: duckdb.Expression = duckdb.ColumnExpression(name)
        # The type of a sum of integers, which Parquet lacks.
        if kind.id == "hugeint":
            column = column.cast("bigint")
        elif target.suffix == ".csv" and kind.id in _NESTED:
            column = duckdb.FunctionExpression("to_json", column)
        elif target.suffix == ".csv" and kind.id == "varchar":
            column = duckdb.FunctionExpression(
                "regexp_replace",
                column,
                *map(duckdb.ConstantExpression, _ESCAPED_FORMULA),
            )
        columns.append(column.alias(name))
    rows = relation.select(*columns)
    with TemporaryDirectory(prefix=".export-", dir=target.parent) as folder:
        file = Path(folder, target.name)
        if target.suffix == ".csv":
            rows.write_csv(str(file))
        else:
            rows.write_parquet(str(file), compression="zstd")
        file.chmod(mode)
        file.replace(target)
    (count,) = rows.count("*").fetchall()[0]
    return int(count)
