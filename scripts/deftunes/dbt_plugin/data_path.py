"""Makes sure that only one catalogue uses a data path.

DuckLake treats Parquet files below its data path as orphans, and deletes them, if its
catalogue does not list them. So two catalogues with one data path would delete each
other's files. A marker file in the data path names the catalogue that uses it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import duckdb
from duckdb import DuckDBPyConnection

from deftunes.sql import literal

MARKER = ".catalogue"
"""The marker file in a data path that names the catalogue that uses it."""

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
# One file that the catalogue does not list, and the number of missing files. Files are
# compared by name, since names are unique and the lakehouse may have been moved.
_COUNTS = """
    with

    data_files as (

        select parse_filename(path) as name, end_snapshot is null as is_live
        from {metadata}.ducklake_data_file

    ),

    listed as (

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
        (select min(file) from found where name not in (from listed)),
        (
            select count(*)
            from data_files
            where is_live and name not in (select name from found)
        )
"""


class DataPathError(Exception):
    """Another catalogue may use the data path; the message says what to do."""


@dataclass(frozen=True)
class Owner:
    """The catalogue that uses a data path.

    Attributes:
        lake: the id that the lake got when it was created; a copy has the same id.
        catalogue: the catalogue's file, or the identity of its Postgres database.
        home: the folder, or the URL, of the `landing/` that the lake is built from.
        data_path: the data path when it was last used.

    """

    lake: str
    catalogue: str
    home: str
    data_path: str

    def conflict(self, marker: "Owner", is_marked: Callable[[str], bool]) -> str:
        """Return why this catalogue cannot use the data path; empty if it can.

        A lakehouse may be moved, or copied with its files; then the data path in the
        marker differs from the current one.

        Args:
            marker: the owner in the marker file.
            is_marked: whether a folder has a marker file.

        """
        if marker.lake != self.lake:
            return "contains the files of another catalogue"
        if marker.data_path != self.data_path:
            is_copy = marker.catalogue == self.catalogue and is_marked(marker.data_path)
            return f"is a copy of {marker.data_path}" if is_copy else ""
        if marker.catalogue != self.catalogue and (
            not Path(marker.catalogue).is_absolute() or Path(marker.catalogue).exists()
        ):
            return f"is also used by a copy of this catalogue ({marker.catalogue})"
        if marker.home != self.home and Path(marker.home, "landing").exists():
            return f"is also used by the lakehouse {marker.home}"
        return ""


def claim_data_path(
    connection: DuckDBPyConnection, database: str, catalogue: str, home: str
) -> None:
    """Check that no other catalogue uses the data path, and write the marker file.

    Args:
        connection: a connection with the lake attached.
        database: the name that the lake is attached as.
        catalogue: the file of its catalogue; empty if the catalogue is in Postgres.
        home: the folder, or the URL in a bucket, of `landing/`.

    Raises:
        DataPathError: another catalogue uses it, or files of this one are missing.

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
        home=_absolute(home),
        data_path=data_path,
    )

    def is_marked(folder: str) -> bool:
        return _is_marked(connection, folder)

    def is_copied(folder: str) -> bool:
        try:
            return is_marked(folder)
        except duckdb.Error:  # a bucket without access
            return False

    marker = _marker(connection, data_path)
    if marker == owner:
        return
    if marker:
        reason = owner.conflict(marker, is_copied)
    elif any(map(is_marked, _parents(data_path))):
        reason = "is inside the data path of another catalogue"
    else:
        counts = connection.execute(
            _COUNTS.format(metadata=metadata), {"data_path": _glob_escaped(data_path)}
        )
        ((unknown, missing),) = counts.fetchall()
        if missing:
            raise DataPathError(
                f"{missing} files of this catalogue are not in {data_path}. They were "
                f"written to {value(_RECORDED)}: set DEFTUNES_LAKE_DATA (in a bucket: "
                "DEFTUNES_STORE) to the folder where they are now."
            )
        reason = f"contains files that this catalogue did not write ({unknown})"
        reason = reason if unknown else ""
    if reason:
        raise DataPathError(
            f"{data_path} {reason}. Two catalogues would delete each other's files: "
            "give each its own folder (DEFTUNES_LAKE_DATA, DEFTUNES_STORE, "
            "DEFTUNES_HOME). If no other catalogue uses this folder, move the files "
            f"that do not belong to this one out of it, including {MARKER}."
        )
    _mark(connection, owner)


def _absolute(path: str) -> str:
    """Return a path as absolute; a URL without a trailing slash."""
    return path.rstrip("/") if "://" in path else str(Path(path).resolve())


def _glob_escaped(path: str) -> str:
    """Return a glob pattern that matches only this path."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def _parents(data_path: str) -> list[str]:
    """Return the folders above a data path."""
    scheme, separator, path = data_path.rpartition("://")
    folders = PurePosixPath(path).parents if scheme else Path(path).parents
    return [f"{scheme}{separator}{folder}" for folder in folders if str(folder) != "."]


def _is_marked(connection: DuckDBPyConnection, folder: str) -> bool:
    """Return whether a folder has a marker file."""
    if "://" not in folder:
        return Path(folder, MARKER).exists()
    # Without a wildcard, DuckDB does not ask the store.
    pattern = f"{_glob_escaped(folder)}/{MARKER[:-1]}[{MARKER[-1]}]"
    return bool(connection.execute("from glob($file)", {"file": pattern}).fetchall())


def _marker(connection: DuckDBPyConnection, data_path: str) -> Owner | None:
    """Return the owner in the marker file; None if there is none that can be read."""
    query = "select content from read_text($file)"
    file = f"{_glob_escaped(data_path)}/{MARKER}"
    try:
        ((text,),) = connection.execute(query, {"file": file}).fetchall()
        return Owner(**json.loads(text))
    except duckdb.HTTPException as error:
        if error.status_code != 404:  # the store did not answer, so there may be one
            raise
        return None
    except (duckdb.IOException, ValueError, TypeError):
        return None


def _mark(connection: DuckDBPyConnection, owner: Owner) -> None:
    """Write the marker file."""
    if "://" not in owner.data_path:
        Path(owner.data_path).mkdir(parents=True, exist_ok=True)
    columns = ", ".join(
        f"{literal(text)} as {name}" for name, text in asdict(owner).items()
    )
    file = literal(f"{owner.data_path}/{MARKER}")
    connection.execute(f"copy (select {columns}) to {file} (format json)")
