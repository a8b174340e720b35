"""What to do about a broken disk or lake, in one line: DuckDB says only what broke."""

import re
from pathlib import Path

_FULL = "No space left on device|disk is full|File too large|Disk quota exceeded"
_CLOSED = "Read-only file system|Permission denied|readonly database"
_CATALOGUE = "disk image is malformed|file is not a database"
_LAKE_FILE = r"[^\"'\n]*ducklake-[0-9a-f-]+\.parquet"
_FOOTER = "Parquet footer length"  # DuckDB knows it for the lake's own files only
_PATH = r"[\"'](/[^\"'\n]+)[\"']"


class LostCatalogueError(Exception):
    """A lake has files and no catalogue; the message says where and what to do."""


def remedy(error: str, home: Path) -> str:
    """Return what an error of the disk or of the lake means, where, and what to do.

    Args:
        error: what DuckDB, SQLite or the operating system said.
        home: the folder of the lakehouse, named where the error names no place.

    Returns:
        One line; empty if the error is of another kind.

    """
    again = "then run the same again. What was published before stays."
    place = next(iter(re.findall(_PATH, error)), str(home))
    if re.search(_FULL, error):
        return f"The disk is full: {place}. Free some space, {again}"
    if re.search(_CLOSED, error):
        return f"{place} cannot be written. Make it writable, {again}"
    if lost := re.search(_LAKE_FILE, error):
        return f"{lost[0]} is lost or damaged. {_restore(home / 'lake')}"
    if re.search(_FOOTER, error):
        return f"A file in {home / 'lake'} is damaged. {_restore(home / 'lake')}"
    if re.search(_CATALOGUE, error):
        return f"The catalogue of the lake is damaged. {_restore(home / 'lake')}"
    return ""


def refuse_lost_catalogue(lake: Path) -> None:
    """Make sure that no new catalogue is made beside the files of one that is lost.

    Args:
        lake: the folder of a lake whose catalogue is a SQLite file.

    Raises:
        LostCatalogueError: the catalogue is missing or empty, and there are files.

    """
    catalogue = lake / "catalog.sqlite"
    if catalogue.exists() and catalogue.stat().st_size:
        return
    if any((lake / "data").rglob("*.parquet")):
        raise LostCatalogueError(
            f"{catalogue} is missing or empty, and {lake / 'data'} has files. "
            + _restore(lake)
        )


def _restore(lake: Path) -> str:
    """Return how a lake becomes whole again."""
    return (
        f"Restore the lake from a backup, or remove it ({lake}; where its catalogue is "
        "in Postgres, that database too). Then `dbt build` makes it again from the "
        "landing zone."
    )
