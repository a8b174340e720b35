"""One run of the loader: what to fetch, side by side, and what came of it."""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from tqdm import tqdm  # type: ignore[import-untyped]

from deftunes.landing import api, postgres, rates
from deftunes.landing.download import DownloadError, Patience
from deftunes.landing.zone import WHOLE, Landed, LandingZone, ShrinkError
from deftunes.lock import home_lock
from deftunes.settings import Settings

ENTITIES = ("users", "sessions", "songs", "exchange_rates")

_MISFIT = "_payload is not null"
_SESSION_MISFIT = (
    f"{_MISFIT} or"
    " len(list_filter(session_items, lambda item: item._payload is not null)) > 0"
)
_EXPECTED = (
    DownloadError,
    postgres.PostgresError,
    rates.RatesError,
    ShrinkError,
)
_JOURNAL_LIFE = timedelta(days=1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a run is to land.

    Attributes:
        entities: some of `ENTITIES`.
        start: the first day of sessions (UTC).
        end: the day after the last.
        workers: how many windows to land side by side.
        max_shrink: the share by which an extract may be smaller than the one before.
        wait: how long to wait for another run to end, in seconds.

    """

    entities: tuple[str, ...]
    start: date
    end: date
    workers: int = 4
    max_shrink: float = 0.1
    wait: float = 60.0


@dataclass
class Summary:
    """What came of a run.

    Attributes:
        landed: what came of each window, by entity.
        resumed: how many windows an unfinished run of the same command had done.
        failed: the windows that did not land.

    """

    landed: dict[str, list[Landed]] = field(default_factory=dict)
    resumed: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the run in one line."""
        parts = [_one_line(entity, landed) for entity, landed in self.landed.items()]
        if self.resumed:
            parts.append(f"windows done before: {self.resumed}")
        if self.failed:
            parts.append(f"did not land: {len(self.failed)}; run the same again")
        return "; ".join(parts)


@dataclass(frozen=True)
class Task:
    """One window to fetch and land.

    Attributes:
        entity: one of `ENTITIES`.
        window: the day, or `WHOLE`.
        source: where its records come from, without secrets.
        misfit: the SQL condition of a record that does not fit its types.
        read: fetches the records by way of a connection.

    """

    entity: str
    window: str
    source: str
    misfit: str
    read: Callable[[DuckDBPyConnection], DuckDBPyRelation]

    def __str__(self) -> str:
        return self.entity if self.window == WHOLE else f"{self.entity} {self.window}"


def run(settings: Settings, plan: Plan, patience: Patience | None = None) -> Summary:
    """Land what is asked for.

    A window that fails does not stop the others. A run that does not finish leaves a
    journal, and the same command within a day goes on from there.

    Args:
        settings: where the sources and the landing zone are.
        plan: what to land.
        patience: how long to insist on downloads.

    Returns:
        What came of it.

    Raises:
        SettingsError: a setting is missing that an entity needs.
        HomeError: the home cannot be written to.
        LockedError: another run holds the lakehouse.
        ManifestError: what has landed cannot be told.

    """
    planned = list(tasks(settings, plan, patience))
    settings.make_home()
    with home_lock(settings.home, plan.wait):
        zone = LandingZone(settings.landing)
        zone.sweep()
        with _journal(zone, _command(settings, plan)) as journal:
            todo = [task for task in planned if str(task) not in journal.done]
            summary = Summary(resumed=len(planned) - len(todo))
            if summary.resumed:
                logger.info(
                    "Going on with an unfinished run of the same command: %d of %d "
                    "windows are done.",
                    summary.resumed,
                    len(planned),
                )
            with engine(zone, min(plan.workers, len(todo))) as database:
                _land_all(todo, zone, database, plan, journal, summary)
            try:
                zone.manifest.settle()
            except OSError as error:
                summary.failed.append(zone.manifest.path.name)
                logger.error("%s was not written: %s", zone.manifest.path, error)
            journal.finished = not summary.failed
    return summary


def tasks(settings: Settings, plan: Plan, patience: Patience | None) -> Iterator[Task]:
    """Yield the windows of a plan, after making sure that the settings suffice.

    Args:
        settings: where the sources are.
        plan: what to land.
        patience: how long to insist on downloads.

    Raises:
        SettingsError: a setting is missing that an entity needs.

    """
    if {"users", "sessions"} & {*plan.entities}:
        url = settings.need("api_url")
    if "songs" in plan.entities:
        dsn = settings.need("postgres_dsn")
        yield Task(
            "songs",
            WHOLE,
            "postgres:deftunes.songs",
            _MISFIT,
            lambda connection: postgres.read_songs(connection, dsn),
        )
    if "users" in plan.entities:
        yield Task(
            "users",
            WHOLE,
            "api:/users",
            _MISFIT,
            lambda connection: connection.from_arrow(api.users(url, patience)),
        )
    if "exchange_rates" in plan.entities:
        place = settings.exchange_rates
        yield Task(
            "exchange_rates",
            WHOLE,
            f"ecb:{rates.file_name(place)}",
            "false",
            lambda connection: connection.from_arrow(
                rates.exchange_rates(place, patience)
            ),
        )
    if "sessions" in plan.entities:
        for number in range((plan.end - plan.start).days):
            yield _day_task(url, plan.start + timedelta(days=number), patience)


def _day_task(url: str, day: date, patience: Patience | None) -> Task:
    """Return the window of one day's sessions."""
    return Task(
        "sessions",
        day.isoformat(),
        f"api:{api.sessions_path(day)}",
        _SESSION_MISFIT,
        lambda connection: connection.from_arrow(api.sessions(url, day, patience)),
    )


@contextmanager
def engine(zone: LandingZone, windows: int) -> Iterator[DuckDBPyConnection]:
    """Start the database that windows go through; that takes as long as a small one.

    Args:
        zone: where it puts what is larger than the memory.
        windows: how many will land side by side; they share the processor's cores.

    Yields:
        A connection to it.

    """
    threads = max(1, (os.cpu_count() or 1) // max(1, windows))
    with (
        zone.workplace() as place,
        duckdb.connect(
            config={
                "threads": threads,
                "temp_directory": str(place),
                "preserve_insertion_order": False,
            }
        ) as connection,
    ):
        yield connection


def land(
    task: Task, zone: LandingZone, database: DuckDBPyConnection, max_shrink: float
) -> Landed:
    """Fetch and land one window.

    Args:
        task: the window.
        zone: where it lands.
        database: a connection of `engine`; threads may share it.
        max_shrink: the share by which an extract may be smaller than the one before.

    Returns:
        What came of it.

    Raises:
        DownloadError, PostgresError, RatesError: the records cannot be had.
        ShrinkError: there are too few of them.

    """
    moment = zone.next_time()
    with database.cursor() as connection:
        landed = zone.land(
            task.entity,
            task.window,
            task.read(connection),
            misfit=task.misfit,
            source=task.source,
            ingested_at=moment,
            max_shrink=max_shrink if task.window == WHOLE else None,
        )
    if task.window == WHOLE:
        zone.mark_fetched(task.entity, moment)
    return landed


def _land_all(
    tasks: Sequence[Task],
    zone: LandingZone,
    database: DuckDBPyConnection,
    plan: Plan,
    journal: "_Journal",
    summary: Summary,
) -> None:
    """Land windows side by side, noting each one."""
    work = partial(land, zone=zone, database=database, max_shrink=plan.max_shrink)
    unchanged: dict[Task, Landed] = {}
    pool = ThreadPoolExecutor(plan.workers, thread_name_prefix="land")
    try:
        futures = {pool.submit(work, task): task for task in tasks}
        # Nothing is shown where nobody watches (disable=None).
        for future in tqdm(
            as_completed(futures), total=len(tasks), unit="window", disable=None
        ):
            task = futures[future]
            try:
                landed = future.result()
            except (*_EXPECTED, OSError, duckdb.IOException) as error:
                summary.failed.append(str(task))
                logger.error("%s did not land: %s", task, error)
            except Exception:
                summary.failed.append(str(task))
                logger.exception("%s did not land.", task)
            else:
                if landed.changed:
                    summary.landed.setdefault(task.entity, []).append(landed)
                    journal.add(str(task))
                else:
                    unchanged[task] = landed
    finally:
        pool.shutdown(cancel_futures=True)
    # What is unchanged is done once all have been fetched: see land_overtaken.
    try:
        with database.cursor() as connection:
            again = zone.land_overtaken(connection)
    except (OSError, duckdb.Error) as error:
        summary.failed += map(str, unchanged)
        logger.error("What is unchanged was not compared with later days: %s", error)
        return
    for task, landed in unchanged.items():
        result = replace(landed, changed=task.window in again)
        summary.landed.setdefault(task.entity, []).append(result)
        journal.add(str(task))


@dataclass
class _Journal:
    """What a run has done so far, in a file that outlives it."""

    path: Path
    done: set[str]
    finished: bool = False

    def add(self, task: str) -> None:
        """Note a window that is done."""
        # Without the note, on a full disk, an unfinished run only fetches it again.
        with suppress(OSError), self.path.open("a") as file:
            file.write(f"{task}\n")


@contextmanager
def _journal(zone: LandingZone, command: str) -> Iterator[_Journal]:
    """Open the command's journal; it goes when the run has finished."""
    zone.make()
    oldest = (datetime.now(timezone.utc) - _JOURNAL_LIFE).timestamp()
    for path in zone.incoming.glob("*.journal"):
        if path.stat().st_mtime < oldest:
            path.unlink()
    path = zone.incoming / f"{hashlib.sha256(command.encode()).hexdigest()}.journal"
    # A line that a kill left unfinished names no window, or the one that was done.
    done = set(path.read_text().splitlines()) if path.exists() else set()
    journal = _Journal(path, done)
    yield journal
    if journal.finished:
        path.unlink(missing_ok=True)


def _command(settings: Settings, plan: Plan) -> str:
    """Return what makes a run the same: its windows and sources, without secrets."""
    return json.dumps(
        [
            sorted(plan.entities),
            str(plan.start),
            str(plan.end),
            _address(settings.api_url),
            _address(settings.postgres_dsn),
            settings.exchange_rates,
        ]
    )


def _address(url: str | None) -> str:
    """Return a URL or libpq string without user, password and parameters."""
    if url is None:
        return ""
    if "://" in url:
        parts = urlsplit(url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    return " ".join(re.findall(r"\b(?:host|port|dbname)\s*=\s*\S+", url))


def _one_line(entity: str, landed: Sequence[Landed]) -> str:
    """Return what came of an entity."""
    changed = [window for window in landed if window.changed]
    records = sum(window.records for window in changed)
    misfits = sum(window.misfits for window in changed)
    left_out = sum(window.left_out for window in changed)
    forgotten = f", {left_out:,} of forgotten people left out" if left_out else ""
    return (
        f"{entity}: {records - left_out:,} records landed "
        f"({misfits:,} do not fit their types{forgotten}), "
        f"windows: {len(changed)} new, {len(landed) - len(changed)} unchanged"
    )
