"""Keeps the Parquet files of two catalogues apart.

DuckLake removes Parquet files below its data path that its catalogue does not name, as
orphans. So a data path holds a file that says which catalogue uses it, and no other one
may.
"""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

MARKER = ".catalogue"
"""The file in a data path that says which catalogue uses it."""

_LAKE = "select schema_uuid from {metadata}.ducklake_schema where schema_id = 0"
_RECORDED = "select value from {metadata}.ducklake_metadata where key = 'data_path'"
_DATABASE = """
    from postgres_query('{metadata}', '
        select concat_ws(
            '' '', ''postgres'', system_identifier, oid, current_schema()
        )
        from pg_control_system()
        inner join pg_database on datname = current_database()
    ')
"""
# The names of files are unique, wherever the lakehouse was moved.
_COUNTS = """
    with

    data_files as (

        select parse_filename(path) as name, end_snapshot is null as is_live
        from {metadata}.ducklake_data_file

    ),

    known as (

        select name from data_files
        union
        select parse_filename(path) from {metadata}.ducklake_delete_file
        union
        select parse_filename(path)
        from {metadata}.ducklake_files_scheduled_for_deletion

    ),

    found as (

        select file, parse_filename(file) as name
        from glob($data_path || '/**/*.parquet')

    )

    select
        (select min(file) from found where name not in (from known)),
        (
            select count(*)
            from data_files
            where is_live and name not in (select name from found)
        )
"""


class DataPathError(Exception):
    """The data path is not this catalogue's alone; the message says what to do."""


@dataclass(frozen=True)
class Owner:
    """Who uses a data path.

    Attributes:
        lake: the id that the lake was made with; a copy has it too.
        catalogue: the file of the catalogue, or which database of which server it is.
        home: the folder of `landing/`, of which the lake is built.
        data_path: where the files were when it was used last.

    """

    lake: str
    catalogue: str
    home: str
    data_path: str

    def conflict(self, marker: "Owner") -> str:
        """Say why a data path cannot be used; nothing if it can.

        A lakehouse may be moved, or copied with its files. Then the files have another
        place as well.

        Args:
            marker: who used it last.

        """
        if marker.lake != self.lake:
            return "holds the files of another catalogue"
        if marker.data_path != self.data_path:
            is_copy = marker.catalogue == self.catalogue and (
                Path(marker.data_path, MARKER).exists()
            )
            return f"is a copy of {marker.data_path}" if is_copy else ""
        if marker.catalogue != self.catalogue and (
            not Path(marker.catalogue).is_absolute() or Path(marker.catalogue).exists()
        ):
            return f"is used by a copy of this catalogue too ({marker.catalogue})"
        if marker.home != self.home and Path(marker.home, "landing").exists():
            return f"is used by the lakehouse {marker.home} too"
        return ""


def claim_data_path(
    connection: DuckDBPyConnection, database: str, catalogue: str, home: Path
) -> None:
    """Make sure that a data path is this catalogue's alone, and keep it so.

    Args:
        connection: has the lake attached.
        database: the lake's name there.
        catalogue: the file of its catalogue; empty if that is in Postgres.
        home: the folder of `landing/`.

    Raises:
        DataPathError: another catalogue's files are there, or this one's are not.

    """
    metadata = f"__ducklake_metadata_{database}"

    def value(query: str, **parameters: str) -> str:
        rows = connection.execute(query.format(metadata=metadata), parameters)
        return str(rows.fetchall()[0][0])

    data_path = _absolute(
        value("select data_path from ducklake_settings($lake)", lake=database)
    )
    owner = Owner(
        lake=value(_LAKE),
        catalogue=_absolute(catalogue) if catalogue else value(_DATABASE),
        home=_absolute(str(home)),
        data_path=data_path,
    )
    marker = _marker(connection, data_path)
    if marker == owner:
        return
    if marker:
        reason = owner.conflict(marker)
    elif _is_inside_another(data_path):
        reason = "lies in the data path of another catalogue"
    else:
        counts = connection.execute(
            _COUNTS.format(metadata=metadata), {"data_path": _literal(data_path)}
        )
        ((unknown, missing),) = counts.fetchall()
        if missing:
            raise DataPathError(
                f"{missing} files of this catalogue are not in {data_path}. They were "
                f"written to {value(_RECORDED)}: set DEFTUNES_LAKE_DATA to their place."
            )
        reason = f"holds files that this catalogue did not write ({unknown})"
        reason = reason if unknown else ""
    if reason:
        raise DataPathError(
            f"{data_path} {reason}. Two catalogues would remove each other's files: "
            "give each a folder of its own (DEFTUNES_LAKE_DATA, DEFTUNES_HOME). If no "
            f"other uses it, move what is not this one's out of it, {MARKER} too."
        )
    _mark(connection, owner)


def _absolute(path: str) -> str:
    """Return a path as it holds anywhere; a URL holds as it is."""
    return path.rstrip("/") if "://" in path else str(Path(path).resolve())


def _literal(path: str) -> str:
    """Return a pattern that only a path matches."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _is_inside_another(data_path: str) -> bool:
    return "://" not in data_path and any(
        (folder / MARKER).exists() for folder in Path(data_path).parents
    )


def _marker(connection: DuckDBPyConnection, data_path: str) -> Owner | None:
    """Return who used a data path last; None if it is new or a kill came between."""
    query = "select content from read_text($file)"
    file = f"{_literal(data_path)}/{MARKER}"
    try:
        ((text,),) = connection.execute(query, {"file": file}).fetchall()
        return Owner(**json.loads(text))
    except (duckdb.IOException, ValueError, TypeError):
        return None


def _mark(connection: DuckDBPyConnection, owner: Owner) -> None:
    """Write down who uses a data path."""
    if "://" not in owner.data_path:
        Path(owner.data_path).mkdir(parents=True, exist_ok=True)
    columns = ", ".join(
        f"{_quoted(text)} as {name}" for name, text in asdict(owner).items()
    )
    file = _quoted(f"{owner.data_path}/{MARKER}")
    connection.execute(f"copy (select {columns}) to {file} (format json)")


def _quoted(text: str) -> str:
    """Return a text as SQL: COPY takes no parameters."""
    return "'" + text.replace("'", "''") + "'"
