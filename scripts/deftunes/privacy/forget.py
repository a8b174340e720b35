"""Erases a person from the landing zone, from all lakes and from the published files.

If a step is interrupted, the same command again finishes the work.
"""

import logging
import multiprocessing
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from tqdm import tqdm  # type: ignore[import-untyped]

from deftunes.dbt_plugin.published_objects import PublishedObjects
from deftunes.files import remove
from deftunes.landing.zone import LandingZone, check_landing_zone
from deftunes.lock import lakehouse_lock
from deftunes.privacy.erasure_registry import (
    ENTITIES,
    USER_WITHOUT_ID,
    ErasureRegistry,
    Person,
    canonical,
    canonical_sql,
)
from deftunes.settings import PROJECT, Settings
from deftunes.spark_lake import SparkLake, SparkLakeError
from deftunes.sql import literal

LOCK_WAIT_SECONDS = 600.0
CATALOGUE_WAIT_SECONDS = 60.0

# The users' records. A malformed record may lack the id, but still contain the name or
# a part of it.
_USERS = """
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
_USERS_WITHOUT_ID = """
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


# What dbt writes about its runs; the SQL of `dbt show --inline` may name a person.
_DBT_ARTIFACTS = ("compiled", "run", "run_results.json", "manifest.json")

logger = logging.getLogger(__name__)


class UnknownUserError(Exception):
    """No record mentions the person; the message says what was searched."""


class IncompleteError(Exception):
    """The person is not erased everywhere; the message says what to do."""


@dataclass
class ErasureCounts:
    """How many records in the landing zone mention a person.

    Attributes:
        users: the number of user records.
        sessions: the number of session records.
        batches: the number of batches with these records, which are rewritten.

    """

    users: int
    sessions: int
    batches: int

    def __str__(self) -> str:
        """Return the counts as text, which does not mention the person."""
        return (
            f"{_with_count(self.users, 'record')} of users and "
            f"{_with_count(self.sessions, 'record')} of sessions in "
            f"{_with_count(self.batches, 'batch', 'es')}"
        )


@dataclass(frozen=True)
class Survey:
    """What erasing a person will do.

    Attributes:
        landed: the records in the landing zone that mention the person.
        lakes: the targets whose lakes will be rebuilt.

    """

    landed: ErasureCounts
    lakes: list[str]

    def __str__(self) -> str:
        """Return it in a few lines, which do not mention the person."""
        lakes = ", ".join(self.lakes) or "none"
        return (
            f"landing zone: {self.landed}\n"
            f"Lakes that will be rebuilt and published, by target: {lakes}. Their "
            "history and earlier publications will be deleted. This cannot be undone."
        )


def survey(settings: Settings, user_id: str) -> Survey:
    """Find what mentions a person, and check that all of it can be erased.

    Also prints how many rows of each lake mention the person.

    Args:
        settings: where the lakehouse is; its sources are not used.
        user_id: the person's id at the API.

    Raises:
        UnknownUserError: no record mentions the person.
        IncompleteError: a lake cannot be reached, or a table that no model of this
            project creates mentions the person. Nothing was changed.

    """
    lakes = _targets_with_lake(settings)
    zone = LandingZone(settings.landing, settings.store)
    with duckdb.connect() as connection:
        zone.connect(connection)
        registry, found = _find_records(connection, zone, user_id)
        if not registry.digests <= zone.erasure_registry.digests and not found:
            raise _unknown_user(zone)
        names: list[tuple[str, ...]] = []
        if _view_people(connection, zone, user_id):
            names = connection.sql(
                "from people select distinct name, lastname"
                " where name is not null and lastname is not null"
            ).fetchall()
    person = Person(user_id, frozenset((name, last) for name, last in names))
    for target in lakes:
        if target == "spark":
            _survey_spark(SparkLake(settings.home), person)
            continue
        _run_in_subprocess(
            _survey_lake,
            [target, person],
            f"The lake of target {target} cannot be searched, see above. Nothing was "
            "changed.",
        )
    return Survey(_counts_of(found), lakes)


def forget(settings: Settings, user_id: str) -> ErasureCounts:
    """Erase a person everywhere, and keep them out of later deliveries.

    Args:
        settings: where the lakehouse is; its sources are not used.
        user_id: the person's id at the API.

    Returns:
        How many records this run has erased from the landing zone.

    Raises:
        UnknownUserError: no record mentions the person; nothing was changed.
        IncompleteError: a lake cannot be reached or could not be rebuilt.
        LandingZoneError, ManifestError: the landing zone was changed or damaged.
        LockedError: another run holds the lakehouse.
        HomeError: the home cannot be written to.

    """
    settings.make_home()
    lakes = _targets_with_lake(settings)
    local = _local_lakes(settings)
    with lakehouse_lock(settings, LOCK_WAIT_SECONDS):
        # Rewriting a damaged batch would make the damage look like landed content.
        check_landing_zone(settings.landing, settings.store)
        zone = LandingZone(settings.landing, settings.store)
        erased = _forget_landed(zone, user_id)
        _remove_dbt_artifacts(settings)
    for target in lakes:
        logger.info("Rebuilding the lake of target %s ...", target)
        failure = (
            f"The lake of target {target} was not rebuilt, see above. The landing zone "
            "no longer mentions the person; the lake and the published files still do. "
            "Solve the problem, then run the same command again."
        )
        if target == "spark":
            _rebuild_spark(settings, failure)
            continue
        # The process takes the lock itself.
        _run_in_subprocess(_rebuild_lake, [settings.serving, target], failure)
        with lakehouse_lock(settings, LOCK_WAIT_SECONDS):
            if target in local:
                _vacuum_sqlite(local[target] / "catalog.sqlite")
            else:
                _vacuum_postgres(settings.require("catalogue_dsn"))
            if settings.store:
                PublishedObjects(settings.store).forget_previous()
                settings.store.delete_old_versions()
    return erased


def _targets_with_lake(settings: Settings) -> list[str]:
    """Return the targets that have a lake, Spark's first and the current one last.

    Each lake but Spark's is published after it is rebuilt, so the last one stays
    published.

    Raises:
        IncompleteError: a lake may exist that the settings do not give access to.

    """
    spark = SparkLake(settings.home)
    is_elsewhere = (
        settings.iceberg_uri or settings.spark_data or spark.elsewhere.exists()
    )
    if is_elsewhere or (spark.data.exists() and not spark.catalogue.exists()):
        raise IncompleteError(
            f"Spark has built tables whose catalogue is not {spark.catalogue}, or whose"
            f" files are not in {spark.data}, and they are not searched: drop them with"
            f" all their files, remove {spark.folder}, unset DBT_ENV_SECRET_ICEBERG_URI"
            " and DEFTUNES_SPARK_DATA, and run the same command again. Then set them "
            "again; `make spark` builds the tables anew from the landing zone. Nothing "
            "was changed."
        )
    lakes = [
        target
        for target, folder in _local_lakes(settings).items()
        if (folder / "catalog.sqlite").exists()
    ]
    # The target with its catalogue in Postgres that the settings give access to.
    reached = "lake_s3" if settings.store else "lake_pg"
    for target in ("lake_pg", "lake_s3"):
        is_reached = settings.catalogue_dsn is not None and target == reached
        if not is_reached and (settings.home / target).exists():
            raise IncompleteError(
                f"{settings.home / target} exists, so target {target} has a lake, too: "
                "set DBT_ENV_SECRET_CATALOG_DSN, and DEFTUNES_LAKE_DATA or "
                "DEFTUNES_STORE if it was set. "
                "If that lake no longer exists, remove the folder. If two lakes have "
                "their catalogues in Postgres, remove one of them first. Nothing was "
                "changed."
            )
    if settings.catalogue_dsn and _has_catalogue(settings.catalogue_dsn):
        lakes.append(reached)
    if not lakes and settings.serving.exists():
        lakes.append("local")
    lakes.sort(key=settings.target.__eq__)
    return ["spark", *lakes] if spark.catalogue.exists() else lakes


def _local_lakes(settings: Settings) -> dict[str, Path]:
    """Return the folders of the DuckLakes whose catalogue is a file, by target."""
    return {
        "local": settings.home / "lake",
        "spark_serving": SparkLake(settings.home).serving,
    }


def _has_catalogue(dsn: str) -> bool:
    """Return whether a database contains the catalogue of a lake.

    Raises:
        IncompleteError: it cannot be reached.

    """
    with _attach_postgres(dsn) as connection:
        tables = connection.sql("from duckdb_tables()")
        return bool(tables.filter("table_name = 'ducklake_metadata'").fetchall())


@contextmanager
def _attach_postgres(dsn: str) -> Iterator[DuckDBPyConnection]:
    """Attach the database of a catalogue as `catalogue`.

    Raises:
        IncompleteError: it cannot be reached, or a query fails.

    """
    try:
        with duckdb.connect() as connection:
            connection.load_extension("postgres_scanner")
            connection.execute(f"attach {literal(dsn)} as catalogue (type postgres)")
            yield connection
    except duckdb.Error as error:
        reason = " ".join(str(error).replace(dsn, "it").split())
        raise IncompleteError(
            f"The database that DBT_ENV_SECRET_CATALOG_DSN names: {reason}. Solve the "
            "problem, then run the same command again."
        ) from None


def _vacuum_postgres(dsn: str) -> None:
    """Remove deleted rows and old statistics from the files of a Postgres catalogue.

    Raises:
        IncompleteError: another process reads it, or it cannot be reached.

    """
    # For libpq: do not wait longer for the locks of processes that read the catalogue.
    os.environ["PGOPTIONS"] = f"-c lock_timeout={CATALOGUE_WAIT_SECONDS:.0f}s"
    with _attach_postgres(dsn) as connection:
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


def _run_in_subprocess(
    function: Callable[..., None], arguments: list[Any], failure: str
) -> None:
    """Run a function that uses dbt in its own process, as dbt keeps global state.

    Raises:
        IncompleteError: it failed; the message is `failure`.

    """
    process = multiprocessing.get_context("spawn").Process(
        target=function, args=arguments
    )
    process.start()
    process.join()
    if process.exitcode:
        raise IncompleteError(failure)


def _forget_landed(zone: LandingZone, user_id: str) -> ErasureCounts:
    """Rewrite all batches that mention a person."""
    zone.sweep()
    with duckdb.connect() as connection:
        zone.connect(connection)
        registry, found = _find_records(connection, zone, user_id)
        # An earlier run may have done everything here.
        if not registry.digests <= zone.erasure_registry.digests and not found:
            raise _unknown_user(zone)
        zone.save_erasures(registry)
        # disable=None hides the progress bar when stderr is not a terminal.
        for entity, file in tqdm(found, unit="batch", disable=None):
            rows = connection.read_parquet(zone.location(file))
            zone.rewrite(file, registry.erase(entity, rows))
        zone.manifest.reconcile()
    return _counts_of(found)


def _find_records(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> tuple[ErasureRegistry, dict[tuple[str, PurePath], int]]:
    """Find the records that mention a person.

    Returns:
        The registry with this person added, and the number of records that mention an
        erased person, by entity and file.

    """
    digest = zone.erasure_registry.digest(canonical(user_id))
    registry = zone.erasure_registry.with_digests(
        digest, *_digests_without_id(connection, zone, user_id)
    )
    if not canonical(user_id):
        return registry, {}
    return registry, {
        (entity, file): count
        for entity in ENTITIES
        for file, count in _counts(
            connection, zone, entity, registry.mentions_erased(entity)
        )
    }


def _counts_of(found: dict[tuple[str, PurePath], int]) -> ErasureCounts:
    """Return the totals of what `_find_records` has found."""
    return ErasureCounts(
        users=sum(count for (entity, _), count in found.items() if entity == "users"),
        sessions=sum(
            count for (entity, _), count in found.items() if entity != "users"
        ),
        batches=len(found),
    )


def _unknown_user(zone: LandingZone) -> UnknownUserError:
    return UnknownUserError(
        f"Nothing in {zone} mentions this user. Give the id as the API writes it."
    )


def _with_count(number: int, name: str, ending: str = "s") -> str:
    """Return a number with a noun in the singular or plural."""
    return f"{number:,} {name}{ending if number != 1 else ''}"


def _digests_without_id(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> list[str]:
    """Return the digests of those user records of a person that lack the id."""
    if not _view_people(connection, zone, user_id):
        return []
    records = connection.sql(_USERS_WITHOUT_ID)
    digest = zone.erasure_registry.digest_of(USER_WITHOUT_ID)
    return [digest for (digest,) in records.select(digest).fetchall()]


def _view_people(
    connection: DuckDBPyConnection, zone: LandingZone, user_id: str
) -> bool:
    """Create the views `records` (of all users) and `people` (of this person).

    Returns:
        False if no users have landed, so that there are no views.

    """
    files = zone.files("users")
    if files:
        _read(connection, map(zone.location, files)).create_view("landed")
        records = connection.sql(_USERS)
        is_theirs = canonical_sql("id") + f" = {literal(canonical(user_id))}"
        records.create_view("records")
        records.filter(is_theirs).create_view("people")
    return bool(files)


def _counts(
    connection: DuckDBPyConnection, zone: LandingZone, entity: str, condition: str
) -> list[tuple[PurePath, int]]:
    """Return the number of rows of an entity that meet a condition, by file."""
    files = {zone.location(file): file for file in zone.files(entity)}
    if not files:
        return []
    rows = _read(connection, files).filter(condition)
    counts = rows.aggregate("filename, count(*)").fetchall()
    return sorted((files[location], count) for location, count in counts)


def _read(connection: DuckDBPyConnection, files: Iterable[str]) -> DuckDBPyRelation:
    """Return the rows of files, each with its file's name in `filename`."""
    return connection.read_parquet([*files], filename=True)


def _dbt(*arguments: str) -> None:
    """Run dbt in this process; exit with 1 if it fails."""
    # dbt writes the command line to its log, and ours contains the person's id.
    del sys.argv[1:]
    # Imported here, as it takes a second.
    from dbt.cli.main import dbtRunner

    os.chdir(PROJECT)
    if not dbtRunner().invoke(["--quiet", *arguments]).success:
        sys.exit(1)


def _survey_lake(target: str, person: Person) -> None:
    """Print how many rows of a lake mention a person."""
    person.to_environment()
    _dbt("run-operation", "survey_person", "--target", target)


def _survey_spark(lake: SparkLake, person: Person) -> None:
    """Print how many rows of Spark's lake mention a person.

    Raises:
        IncompleteError: it cannot be searched, or a table that no model creates
            mentions the person.

    """
    try:
        unmanaged = lake.survey(person)
    except (SparkLakeError, duckdb.Error) as error:
        raise IncompleteError(
            f"The lake of target spark cannot be searched. {error} Nothing was changed."
        ) from None
    if unmanaged:
        raise IncompleteError(
            f"In the lake of target spark, no model builds {', '.join(unmanaged)}, "
            "which has rows about the person. Delete these rows or drop it, then run "
            "the same command again. Nothing was changed."
        )


def _rebuild_spark(settings: Settings, failure: str) -> None:
    """Rebuild Spark's lake, and remove its history and all temporary files.

    Raises:
        IncompleteError: it could not be rebuilt; the message contains `failure`.

    """
    lake = SparkLake(settings.home)
    try:
        lake.dbt("build", "--full-refresh")
        lake.dbt("run-operation", "erase_history")
    except SparkLakeError as error:
        raise IncompleteError(f"{error}\n{failure}") from None
    with lakehouse_lock(settings, LOCK_WAIT_SECONDS):
        lake.remove_unused()
        _vacuum_sqlite(lake.catalogue)


def _rebuild_lake(serving: Path, target: str) -> None:
    """Rebuild a lake, publish it, and remove its history and older publications."""
    _dbt("build", "--full-refresh", "--target", target)
    _dbt("run-operation", "erase_history", "--target", target)
    # The build has just published this one.
    current = (serving / "current").resolve()
    for path in (*serving.resolve().iterdir(), *current.parent.iterdir()):
        if path not in (current, current.parent) and not path.is_symlink():
            remove(path)


def _vacuum_sqlite(catalogue: Path) -> None:
    """Remove deleted rows from the file of a SQLite catalogue.

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
            f"Another process reads {catalogue}, whose file still mentions the person. "
            "When it has closed the file, run the same command again."
        )


def _remove_dbt_artifacts(settings: Settings) -> None:
    """Remove logs, artifacts and temporary files of dbt, which may mention a person."""
    for path in (
        *settings.dbt_logs.glob("dbt.log*"),
        *(settings.dbt_target / name for name in _DBT_ARTIFACTS),
        *(settings.home / "lake" / name for name in (".spool", ".tmp")),
        *PROJECT.glob(".tmp/duckdb_temp*"),  # spilled by a run that was killed
    ):
        remove(path)
