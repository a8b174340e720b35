"""Erases a person: from the landing zone, the lake with its history, and every copy.

Any step may be cut short; the same command again finishes the work.
"""

import logging
import multiprocessing
import os
import shutil
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from tqdm import tqdm  # type: ignore[import-untyped]

from deftunes.forgotten import ENTITIES, USER_WITHOUT_ID
from deftunes.landing import LandingZone, check_landing_zone
from deftunes.lock import home_lock
from deftunes.settings import PROJECT, Settings

LOCK_WAIT_SECONDS = 600.0
CATALOGUE_WAIT_SECONDS = 60.0

# A damaged record may lack the id and tell the name all the same.
_WITHOUT_ID = """
    with

    texts as (

        select *, if(json_valid(_payload), _payload, null) as payload
        from landed

    ),

    records as (

        select
            *,
            nullif(coalesce(user_id, payload ->> '$.user_id'), '') as id,
            nullif(coalesce(user_name, payload ->> '$.user_name'), '') as name,
            nullif(coalesce(user_lastname, payload ->> '$.user_lastname'), '')
                as lastname
        from texts

    ),

    names as (

        select distinct name, lastname
        from records
        where id = $user_id

    )

    select records.*
    from records
    inner join names using (name, lastname)
    where records.id is null
"""


logger = logging.getLogger(__name__)


class UnknownUserError(Exception):
    """Nothing tells of the person; the message says what was looked through."""


class IncompleteError(Exception):
    """The person is not erased everywhere; the message says what to do."""


@dataclass
class Erased:
    """What was erased from the landing zone.

    Attributes:
        users: records of users that told of the person.
        sessions: records of sessions that did.
        batches: how many batches held them and were written anew.

    """

    users: int
    sessions: int
    batches: int

    def __str__(self) -> str:
        """Return it in one line, without a word of whom."""
        return (
            f"The person is erased from {self.users:,} records of users and "
            f"{self.sessions:,} of sessions in {self.batches:,} batches, and from all "
            "that is made of them."
        )


def forget(settings: Settings, user_id: str) -> Erased:
    """Erase a person everywhere, and keep them out from now on.

    Args:
        settings: where the lakehouse lives; its sources are not used.
        user_id: the person's id at the API.

    Returns:
        What was erased; little if an earlier run did most of it.

    Raises:
        UnknownUserError: nothing tells of the person; nothing was changed.
        IncompleteError: the lake could not be built anew.
        LandingZoneError, ManifestError: the landing zone is not as it was left.
        LockedError: another run holds the lakehouse.
        HomeError: the home cannot be written to.

    """
    settings.make_home()
    with home_lock(settings.home, LOCK_WAIT_SECONDS):
        # A damaged batch that is written anew would count as landed like that.
        check_landing_zone(settings.landing)
        erased = _forget_landed(LandingZone(settings.landing), user_id)
        _remove_traces(settings)
    if (settings.home / "lake").exists() or settings.serving.exists():
        logger.info("Building the lake anew; that takes a while ...")
        # In a process of its own, which holds the lock from its first query to its end.
        builder = multiprocessing.get_context("spawn").Process(
            target=_rebuild, args=[settings.serving]
        )
        builder.start()
        builder.join()
        if builder.exitcode:
            raise IncompleteError(
                "The lake was not built anew, see above. The landing zone is free of "
                "the person; the lake and what is published are not. Mend it, then run "
                "the same again."
            )
        with home_lock(settings.home, LOCK_WAIT_SECONDS):
            _compact(settings.home / "lake" / "catalog.sqlite")
    return erased


def _forget_landed(zone: LandingZone, user_id: str) -> Erased:
    """Write all batches anew that tell of a person."""
    zone.sweep()
    digest = zone.forgotten.digest(user_id)
    with duckdb.connect() as connection:
        forgotten = zone.forgotten.with_digests(
            digest, *_without_id(connection, zone, user_id)
        )
        told = {
            (entity, file): count
            for entity in ENTITIES
            for file, count in _counts(
                connection, zone.files(entity), forgotten.tells(entity)
            )
        }
        # An earlier run may have done everything here.
        if digest not in zone.forgotten.digests and not (user_id and told):
            raise UnknownUserError(
                f"Nothing in {zone.folder} tells of this user. Give the id as the API "
                "spells it."
            )
        forgotten.write(zone.folder)
        # Nothing is shown where nobody watches (disable=None).
        for entity, file in tqdm(told, unit="batch", disable=None):
            rows = connection.read_parquet(str(file))
            zone.rewrite(file, forgotten.erase(entity, rows))
    return Erased(
        users=sum(count for (entity, _), count in told.items() if entity == "users"),
        sessions=sum(count for (entity, _), count in told.items() if entity != "users"),
        batches=len(told),
    )


def _without_id(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> list[str]:
    """Return the digests of a person's records of users that lack the id."""
    files = zone.files("users")
    if not files:
        return []
    _read(connection, files).create_view("landed")
    records = connection.sql(_WITHOUT_ID, params={"user_id": user_id})
    digests = records.select(zone.forgotten.digest_of(USER_WITHOUT_ID)).fetchall()
    return [digest for (digest,) in digests]


def _counts(
    connection: DuckDBPyConnection, files: list[Path], condition: str
) -> list[tuple[Path, int]]:
    """Return how many rows meet a condition, by file."""
    if not files:
        return []
    rows = _read(connection, files).filter(condition)
    counts = rows.aggregate("filename, count(*)").fetchall()
    return sorted((Path(file), count) for file, count in counts)


def _read(connection: DuckDBPyConnection, files: list[Path]) -> DuckDBPyRelation:
    """Return the rows of batches, each with the name of its file."""
    return connection.read_parquet([*map(str, files)], filename=True)


def _rebuild(serving: Path) -> None:
    """Build the lake anew, publish it, and remove all that was before."""
    # dbt notes the command line in its log, and this one names the person.
    del sys.argv[1:]
    # A second to import, and only here.
    from dbt.cli.main import dbtRunner

    os.chdir(PROJECT)
    dbt = dbtRunner()
    if not dbt.invoke(["--quiet", "build", "--full-refresh"]).success:
        sys.exit(1)
    if not dbt.invoke(["--quiet", "run-operation", "erase_history"]).success:
        sys.exit(1)
    # What the link leads to was published just now.
    current = (serving / "current").resolve()
    for path in (*serving.resolve().iterdir(), *current.parent.iterdir()):
        if path not in (current, current.parent) and not path.is_symlink():
            _remove(path)


def _compact(catalogue: Path) -> None:
    """Overwrite what was deleted from a catalogue in SQLite.

    Raises:
        IncompleteError: another process reads an earlier state of it.

    """
    if not catalogue.exists():
        return
    with closing(
        sqlite3.connect(catalogue, timeout=CATALOGUE_WAIT_SECONDS)
    ) as connection:
        try:
            connection.execute("vacuum")
            ((busy, *_),) = connection.execute("pragma wal_checkpoint(truncate)")
        except sqlite3.OperationalError:
            busy = True
    if busy:
        raise IncompleteError(
            f"Somebody reads {catalogue}, which still tells of the person. When they "
            "have closed it, run the same again."
        )


def _remove_traces(settings: Settings) -> None:
    """Remove what earlier runs of dbt left: `dbt show` writes rows into the log."""
    for path in (
        *settings.dbt_logs.glob("dbt.log*"),
        *(settings.dbt_target / name for name in ("compiled", "run")),
        *PROJECT.glob(".tmp/duckdb_temp*"),  # of a killed one that ran out of memory
    ):
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
