"""Hints for errors of the disk or the lake: DuckDB's messages do not say what to do."""

import re
from pathlib import Path

from deftunes.object_store import SCHEME

_FULL = "No space left on device|disk is full|File too large|Disk quota exceeded"
_CLOSED = "Read-only file system|Permission denied|readonly database"
_CATALOGUE = "disk image is malformed|file is not a database"
_LAKE_FILE = r"[^\"'\n]*ducklake-[0-9a-f-]+\.parquet"
# DuckDB's errors of a bucket.
_STORE = r"\bHTTP (?:Error|GET|HEAD|PUT|POST|DELETE)\b"
_ABSENT = "HTTP 404"
_FOOTER = "Parquet footer length"  # DuckDB checks it only for the lake's own files
_PATH = r"[\"'](/[^\"'\n]+)[\"']"


class LostCatalogueError(Exception):
    """A lake has data files but no catalogue; the message says where and what to do."""


def remedy(error: str, home: Path) -> str:
    """Return what an error of the disk or the lake means, where, and what to do.

    Args:
        error: the message of DuckDB, SQLite or the operating system.
        home: the folder of the lakehouse; the hint names it if the error has no path.

    Returns:
        One line; empty if the error is of another kind.

    """
    again = "then run the same command again. The published files are unchanged."
    path = next(iter(re.findall(_PATH, error)), str(home))
    if re.search(_FULL, error):
        return f"The disk is full: {path}. Free some space, {again}"
    if re.search(_CLOSED, error):
        return f"{path} cannot be written. Make it writable, {again}"
    lost = re.search(_LAKE_FILE, error)
    if re.search(_STORE, error) and not (lost and _ABSENT in error):
        return (
            "The object store did not do what was asked, see above. Check that it "
            f"works, and that the credentials are still valid, {again}"
        )
    if lost and SCHEME in lost[0]:
        return f"{lost[0]} is lost. {_restore('its folder in the bucket')}"
    if lost:
        return f"{lost[0]} is lost or damaged. {_restore(home / 'lake')}"
    if re.search(_FOOTER, error):
        return f"A file in {home / 'lake'} is damaged. {_restore(home / 'lake')}"
    if re.search(_CATALOGUE, error):
        return f"The catalogue of the lake is damaged. {_restore(home / 'lake')}"
    return ""


def refuse_lost_catalogue(lake: Path) -> None:
    """Raise if the lake has data files but its catalogue is lost.

    Otherwise dbt would create an empty catalogue beside these files.

    Args:
        lake: the folder of a lake whose catalogue is a SQLite file.

    Raises:
        LostCatalogueError: the catalogue is missing or empty, and there are data files.

    """
    catalogue = lake / "catalog.sqlite"
    if catalogue.exists() and catalogue.stat().st_size:
        return
    if any((lake / "data").rglob("*.parquet")):
        raise LostCatalogueError(
            f"{catalogue} is missing or empty, and {lake / 'data'} has data files. "
            + _restore(lake)
        )


def _restore(lake: Path | str) -> str:
    """Return how to repair a lake."""
    return (
        f"Restore the lake from a backup, or remove it ({lake}; and the database of its"
        " catalogue if that is in Postgres). Then `dbt build` builds it again from the "
        "landing zone."
    )
