"""Erases a person: from the landing zone, every lake with its history, and every copy.

Any step may be cut short; the same command again finishes the work.
"""

import logging
import multiprocessing
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from tqdm import tqdm  # type: ignore[import-untyped]

from deftunes.landing.zone import LandingZone, check_landing_zone
from deftunes.lock import home_lock
from deftunes.privacy.forgotten import (
    ENTITIES,
    USER_WITHOUT_ID,
    Forgotten,
    Person,
    canonical,
    canonical_sql,
)
from deftunes.settings import PROJECT, Settings

LOCK_WAIT_SECONDS = 600.0
CATALOGUE_WAIT_SECONDS = 60.0

# A damaged record may lack the id and tell the name all the same, or a part of it.
_RECORDS = """
    with

    texts as (

        select *, if(json_valid(_payload), _payload, null) as payload
        from landed

    )

    select
        *,
        nullif(coalesce(user_id, payload ->> '$.user_id'), '') as id,
        nullif(nfc_normalize(lower(trim(
            coalesce(user_name, payload ->> '$.user_name')
        ))), '') as name,
        nullif(nfc_normalize(lower(trim(
            coalesce(user_lastname, payload ->> '$.user_lastname')
        ))), '') as lastname,
        nullif(coalesce(user_since, payload ->> '$.user_since'), '') as since
    from texts
"""
_WITHOUT_ID = """
    select *
    from records
    where
        id is null
        and exists (
            from people
            where
                (
                    records.name = people.name
                    and (
                        records.lastname is null or records.lastname = people.lastname
                    )
                )
                or (records.name is null and records.lastname = people.lastname)
                or (
                    records.since = people.since
                    and coalesce(records.name, records.lastname) is null
                )
        )
"""


# What dbt keeps of what it ran; `dbt show --inline` may name anybody.
_TRACES = ("compiled", "run", "run_results.json", "manifest.json")

logger = logging.getLogger(__name__)


class UnknownUserError(Exception):
    """Nothing tells of the person; the message says what was looked through."""


class IncompleteError(Exception):
    """The person is not erased everywhere; the message says what to do."""


@dataclass
class Erased:
    """What tells of a person: to be erased, or erased, from the landing zone.

    Attributes:
        users: records of users that tell of the person.
        sessions: records of sessions that do.
        batches: how many batches hold them and are written anew.

    """

    users: int
    sessions: int
    batches: int

    def __str__(self) -> str:
        """Return it without a word of whom."""
        return (
            f"{_counted(self.users, 'record')} of users and "
            f"{_counted(self.sessions, 'record')} of sessions in "
            f"{_counted(self.batches, 'batch', 'es')}"
        )


@dataclass(frozen=True)
class Survey:
    """What forgetting a person will do.

    Attributes:
        landed: what tells of the person in the landing zone.
        lakes: the targets whose lakes are built anew.

    """

    landed: Erased
    lakes: list[str]

    def __str__(self) -> str:
        """Return it in a few lines, without a word of whom."""
        lakes = ", ".join(self.lakes) or "none"
        return (
            f"landing zone: {self.landed}\n"
            f"Lakes to be built anew and published, by target: {lakes}. Their history "
            "and earlier publications go. This cannot be undone."
        )


def survey(settings: Settings, user_id: str) -> Survey:
    """Look what tells of a person, and whether all of it can be erased.

    How many rows of each lake do is printed.

    Args:
        settings: where the lakehouse lives; its sources are not used.
        user_id: the person's id at the API.

    Raises:
        UnknownUserError: nothing tells of the person.
        IncompleteError: a lake cannot be reached, or a table that this project does not
            make tells of the person. Nothing was changed.

    """
    lakes = _lakes(settings)
    zone = LandingZone(settings.landing)
    with duckdb.connect() as connection:
        forgotten, told = _told(connection, zone, user_id)
        if not forgotten.digests <= zone.forgotten.digests and not told:
            raise _unknown(zone)
        names: list[tuple[str, ...]] = []
        if _view_people(connection, zone, user_id):
            names = connection.sql(
                "from people select distinct name, lastname"
                " where name is not null and lastname is not null"
            ).fetchall()
    person = Person(user_id, frozenset((name, last) for name, last in names))
    for target in lakes:
        _in_a_process(
            _survey_lake,
            [target, person],
            f"The lake of target {target} cannot be looked through, see above. Nothing "
            "was changed.",
        )
    return Survey(_erased(told), lakes)


def forget(settings: Settings, user_id: str) -> Erased:
    """Erase a person everywhere, and keep them out from now on.

    Args:
        settings: where the lakehouse lives; its sources are not used.
        user_id: the person's id at the API.

    Returns:
        What was erased; little if an earlier run did most of it.

    Raises:
        UnknownUserError: nothing tells of the person; nothing was changed.
        IncompleteError: a lake cannot be reached or could not be built anew.
        LandingZoneError, ManifestError: the landing zone is not as it was left.
        LockedError: another run holds the lakehouse.
        HomeError: the home cannot be written to.

    """
    settings.make_home()
    lakes = _lakes(settings)
    with home_lock(settings.home, LOCK_WAIT_SECONDS):
        # A damaged batch that is written anew would count as landed like that.
        check_landing_zone(settings.landing)
        erased = _forget_landed(LandingZone(settings.landing), user_id)
        _remove_traces(settings)
    for target in lakes:
        logger.info("Building the lake of target %s anew ...", target)
        # It holds the lock from its first query to its end.
        _in_a_process(
            _rebuild,
            [settings.serving, target],
            f"The lake of target {target} was not built anew, see above. The landing "
            "zone is free of the person; the lake and what is published are not. Mend "
            "it, then run the same again.",
        )
        with home_lock(settings.home, LOCK_WAIT_SECONDS):
            if target == "local":
                _compact(settings.home / "lake" / "catalog.sqlite")
            else:
                _vacuum(settings.need("catalogue_dsn"))
    return erased


def _lakes(settings: Settings) -> list[str]:
    """Return the targets that have a lake; first those that will not stay published.

    Raises:
        IncompleteError: a lake may be where nobody can look.

    """
    lakes = []
    if (settings.home / "lake" / "catalog.sqlite").exists():
        lakes.append("local")
    if settings.catalogue_dsn is None:
        if (settings.home / "lake_pg").exists():
            raise IncompleteError(
                f"{settings.home / 'lake_pg'} says that target lake_pg has a lake too: "
                "set DBT_ENV_SECRET_CATALOG_DSN, and DEFTUNES_LAKE_DATA if it was set. "
                "If that lake is no more, remove the folder. Nothing was changed."
            )
    elif _has_catalogue(settings.catalogue_dsn):
        lakes.append("lake_pg")
    if not lakes and settings.serving.exists():
        lakes.append("local")
    return sorted(lakes, key=settings.target.__eq__)


def _has_catalogue(dsn: str) -> bool:
    """Tell whether a database holds a lake's catalogue.

    Raises:
        IncompleteError: it cannot be reached.

    """
    with _postgres(dsn) as connection:
        tables = connection.sql("from duckdb_tables()")
        return bool(tables.filter("table_name = 'ducklake_metadata'").fetchall())


@contextmanager
def _postgres(dsn: str) -> Iterator[DuckDBPyConnection]:
    """Open the database of a catalogue.

    Raises:
        IncompleteError: it cannot be reached, or a query fails.

    """
    try:
        with duckdb.connect() as connection:
            connection.load_extension("postgres_scanner")
            connection.execute(f"attach {_literal(dsn)} as catalogue (type postgres)")
            yield connection
    except duckdb.Error as error:
        reason = " ".join(str(error).replace(dsn, "it").split())
        raise IncompleteError(
            f"The database that DBT_ENV_SECRET_CATALOG_DSN names: {reason}. Mend it, "
            "then run the same again."
        ) from None


def _vacuum(dsn: str) -> None:
    """Overwrite what was deleted from a catalogue in Postgres, and its statistics.

    Raises:
        IncompleteError: another process reads it, or it cannot be reached.

    """
    # libpq reads it; whoever reads the catalogue holds a lock.
    os.environ["PGOPTIONS"] = f"-c lock_timeout={CATALOGUE_WAIT_SECONDS:.0f}s"
    with _postgres(dsn) as connection:
        ((tables,),) = connection.execute(
            "from postgres_query('catalogue', $$select string_agg("
            "format('%I.%I', schemaname, tablename), ', ') from pg_tables"
            " where tablename like 'ducklake\\_%'$$)"
        ).fetchall()
        for statement in (
            f"vacuum (full, analyze) {tables}",
            "vacuum full pg_catalog.pg_statistic",
        ):
            connection.execute(
                "call postgres_execute('catalogue', ?, use_transaction => false)",
                [statement],
            )


def _in_a_process(
    function: Callable[..., None], arguments: list[Any], failure: str
) -> None:
    """Run a function of dbt's, whose state ends with the process.

    Raises:
        IncompleteError: it fails; the message is the one given.

    """
    process = multiprocessing.get_context("spawn").Process(
        target=function, args=arguments
    )
    process.start()
    process.join()
    if process.exitcode:
        raise IncompleteError(failure)


def _forget_landed(zone: LandingZone, user_id: str) -> Erased:
    """Write all batches anew that tell of a person."""
    zone.sweep()
    with duckdb.connect() as connection:
        forgotten, told = _told(connection, zone, user_id)
        # An earlier run may have done everything here.
        if not forgotten.digests <= zone.forgotten.digests and not told:
            raise _unknown(zone)
        forgotten.write(zone.folder)
        # Nothing is shown where nobody watches (disable=None).
        for entity, file in tqdm(told, unit="batch", disable=None):
            rows = connection.read_parquet(str(file))
            zone.rewrite(file, forgotten.erase(entity, rows))
    return _erased(told)


def _told(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> tuple[Forgotten, dict[tuple[str, Path], int]]:
    """Return who is forgotten with a person; of how many rows of which file."""
    digest = zone.forgotten.digest(canonical(user_id))
    forgotten = zone.forgotten.with_digests(
        digest, *_without_id(connection, zone, user_id)
    )
    if not canonical(user_id):
        return forgotten, {}
    return forgotten, {
        (entity, file): count
        for entity in ENTITIES
        for file, count in _counts(
            connection, zone.files(entity), forgotten.tells(entity)
        )
    }


def _erased(told: dict[tuple[str, Path], int]) -> Erased:
    """Return the counts of the rows that tell of a person."""
    return Erased(
        users=sum(count for (entity, _), count in told.items() if entity == "users"),
        sessions=sum(count for (entity, _), count in told.items() if entity != "users"),
        batches=len(told),
    )


def _unknown(zone: LandingZone) -> UnknownUserError:
    return UnknownUserError(
        f"Nothing in {zone.folder} tells of this user. Give the id as the API spells "
        "it."
    )


def _counted(number: int, name: str, ending: str = "s") -> str:
    """Return a number of things in words."""
    return f"{number:,} {name}{ending if number != 1 else ''}"


def _without_id(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> list[str]:
    """Return the digests of a person's records of users that lack the id."""
    if not _view_people(connection, zone, user_id):
        return []
    records = connection.sql(_WITHOUT_ID)
    digests = records.select(zone.forgotten.digest_of(USER_WITHOUT_ID)).fetchall()
    return [digest for (digest,) in digests]


def _view_people(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> bool:
    """Make views of the users' records, and of what they say of a person.

    Returns:
        Whether there are any.

    """
    files = zone.files("users")
    if files:
        _read(connection, files).create_view("landed")
        records = connection.sql(_RECORDS)
        is_theirs = canonical_sql("id") + f" = {_literal(canonical(user_id))}"
        records.create_view("records")
        records.filter(is_theirs).create_view("people")
    return bool(files)


def _literal(text: str) -> str:
    """Return a text as SQL: a view takes no parameters."""
    return "'" + text.replace("'", "''") + "'"


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


def _dbt(*arguments: str) -> None:
    """Run dbt in this process, and end the process if it fails."""
    # dbt notes the command line in its log, and this one names the person.
    del sys.argv[1:]
    # A second to import, and only here.
    from dbt.cli.main import dbtRunner

    os.chdir(PROJECT)
    if not dbtRunner().invoke(["--quiet", *arguments]).success:
        sys.exit(1)


def _survey_lake(target: str, person: Person) -> None:
    """Print how many rows of a lake tell of a person."""
    person.remember()
    _dbt("run-operation", "survey_person", "--target", target)


def _rebuild(serving: Path, target: str) -> None:
    """Build a lake anew, publish it, and remove all that was before."""
    _dbt("build", "--full-refresh", "--target", target)
    _dbt("run-operation", "erase_history", "--target", target)
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
        *(settings.dbt_target / name for name in _TRACES),
        *(settings.home / "lake" / name for name in (".spool", ".tmp")),
        *PROJECT.glob(".tmp/duckdb_temp*"),  # of a killed one that ran out of memory
    ):
        _remove(path)


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
