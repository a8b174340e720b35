"""One run of the loader: plans windows, fetches and lands them in parallel."""

import hashlib
import ipaddress
import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    CancelledError,
    Future,
    ThreadPoolExecutor,
    as_completed,
)
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
from deftunes.landing.download import DownloadError, RetryPolicy
from deftunes.landing.zone import WHOLE, Landed, LandingZone, ShrinkError
from deftunes.lock import lakehouse_lock
from deftunes.settings import ApiAccess, Settings, check_url

ENTITIES = ("users", "sessions", "songs", "exchange_rates")

_IS_MALFORMED = "_payload is not null"
_SESSION_IS_MALFORMED = (
    f"{_IS_MALFORMED} or"
    " len(list_filter(session_items, lambda item: item._payload is not null)) > 0"
)
_EXPECTED = (
    DownloadError,
    postgres.PostgresError,
    rates.RatesError,
    ShrinkError,
)
_JOURNAL_LIFE = timedelta(days=1)
_PROGRESS_INTERVAL = 60.0  # seconds between two lines in a log
# A server that fails so often is not asked for the other days.
_MOST_FAILURES_IN_A_ROW = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LandingPlan:
    """What a run has to land.

    Attributes:
        entities: some of `ENTITIES`.
        start: the first day of sessions (UTC).
        end: the day after the last day.
        workers: how many windows to land in parallel.
        max_shrink: the share by which an extract may be smaller than the previous one.
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
    """The result of a run.

    Attributes:
        landed: the result of each window, by entity.
        resumed: how many windows an unfinished run of the same command had landed.
        failed: the windows that did not land.

    """

    landed: dict[str, list[Landed]] = field(default_factory=dict)
    resumed: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the result in one line."""
        parts = [_one_line(entity, landed) for entity, landed in self.landed.items()]
        if self.resumed:
            parts.append(f"windows done before: {self.resumed}")
        if self.failed:
            failed = len(self.failed)
            parts.append(f"did not land: {failed}; run the same command again")
        return "; ".join(parts)


@dataclass(frozen=True)
class LandingTask:
    """One window to fetch and land.

    Attributes:
        entity: one of `ENTITIES`.
        window: the day, or `WHOLE`.
        source: where its records come from, without secrets.
        is_malformed: the SQL condition for a record that does not match its types.
        read: fetches the records, with the DuckDB connection that it gets.

    """

    entity: str
    window: str
    source: str
    is_malformed: str
    read: Callable[[DuckDBPyConnection], DuckDBPyRelation]

    def __str__(self) -> str:
        return self.entity if self.window == WHOLE else f"{self.entity} {self.window}"


def run(
    settings: Settings, plan: LandingPlan, retry_policy: RetryPolicy | None = None
) -> Summary:
    """Land the windows of a plan.

    A window that fails does not stop the others, unless ten days of sessions in a row
    fail. A run that does not finish leaves a journal. The same command, within a day,
    continues from it.

    Args:
        settings: where the sources and the landing zone are.
        plan: what to land.
        retry_policy: how often and how long to retry downloads.

    Returns:
        The result.

    Raises:
        SettingsError: a setting that an entity needs is missing.
        HomeError: the home cannot be written to.
        LockedError: another run holds the lakehouse.
        ManifestError: the manifest cannot be read.
        ObjectStoreError: the bucket of the landing zone cannot be used.

    """
    planned = list(tasks(settings, plan, retry_policy))
    _warn_of_the_future(plan)
    settings.make_home()
    with lakehouse_lock(settings, plan.wait):
        zone = LandingZone(settings.landing, settings.store)
        zone.sweep()
        with _journal(zone, _command(settings, plan)) as journal:
            todo = [task for task in planned if str(task) not in journal.done]
            summary = Summary(resumed=len(planned) - len(todo))
            if summary.resumed:
                logger.info(
                    "Continuing an unfinished run of the same command: %d of %d "
                    "windows are done.",
                    summary.resumed,
                    len(planned),
                )
            with engine(zone, min(plan.workers, len(todo))) as database:
                _land_all(todo, zone, database, plan, journal, summary)
            try:
                zone.manifest.reconcile()
            except OSError as error:
                summary.failed.append(zone.manifest.path.name)
                logger.error("%s was not written: %s", zone.manifest.path, error)
            journal.finished = not summary.failed
    _warn_of_nothing(summary, plan)
    return summary


def tasks(
    settings: Settings, plan: LandingPlan, retry_policy: RetryPolicy | None
) -> Iterator[LandingTask]:
    """Yield a task for each window of a plan; check first that no setting is missing.

    Args:
        settings: where the sources are.
        plan: what to land.
        retry_policy: how often and how long to retry downloads.

    Raises:
        SettingsError: a setting that an entity needs is missing.

    """
    if {"users", "sessions"} & {*plan.entities}:
        access = settings.api_access()
        _warn_of_open_credentials(access)
    if "songs" in plan.entities:
        dsn = settings.require("postgres_dsn")
        yield LandingTask(
            "songs",
            WHOLE,
            "postgres:deftunes.songs",
            _IS_MALFORMED,
            lambda connection: postgres.read_songs(connection, dsn),
        )
    if "users" in plan.entities:
        yield LandingTask(
            "users",
            WHOLE,
            "api:/users",
            _IS_MALFORMED,
            lambda connection: connection.from_arrow(api.users(access, retry_policy)),
        )
    if "exchange_rates" in plan.entities:
        location = settings.exchange_rates
        if location and "://" in location:
            check_url("DEFTUNES_EXCHANGE_RATES", location)
        yield LandingTask(
            "exchange_rates",
            WHOLE,
            f"ecb:{rates.file_name(location)}",
            "false",
            lambda connection: connection.from_arrow(
                rates.exchange_rates(location, retry_policy)
            ),
        )
    if "sessions" in plan.entities:
        for number in range((plan.end - plan.start).days):
            yield _day_task(access, plan.start + timedelta(days=number), retry_policy)


def _day_task(
    access: ApiAccess, day: date, retry_policy: RetryPolicy | None
) -> LandingTask:
    """Return the task for one day of sessions."""
    return LandingTask(
        "sessions",
        day.isoformat(),
        f"api:{api.sessions_path(day)}",
        _SESSION_IS_MALFORMED,
        lambda connection: connection.from_arrow(
            api.sessions(access, day, retry_policy)
        ),
    )


@contextmanager
def engine(zone: LandingZone, windows: int) -> Iterator[DuckDBPyConnection]:
    """Start the in-memory DuckDB that all windows of a run share.

    One for all, since starting it takes as long as landing a small window.

    Args:
        zone: DuckDB spills to a temporary folder in it.
        windows: how many land in parallel; they share the processor's cores.

    Yields:
        A connection.

    """
    threads = max(1, (os.cpu_count() or 1) // max(1, windows))
    with (
        zone.temporary_folder() as folder,
        duckdb.connect(
            config={
                "threads": threads,
                "temp_directory": str(folder),
                "preserve_insertion_order": False,
            }
        ) as connection,
    ):
        zone.connect(connection)
        yield connection


def land(
    task: LandingTask,
    zone: LandingZone,
    database: DuckDBPyConnection,
    max_shrink: float,
) -> Landed:
    """Fetch and land one window.

    Args:
        task: the window.
        zone: where it lands.
        database: a connection from `engine`; threads may share it.
        max_shrink: the share by which an extract may be smaller than the previous one.

    Returns:
        The result.

    Raises:
        DownloadError, PostgresError, RatesError: the records cannot be fetched.
        ShrinkError: there are too few records.

    """
    fetched_at = zone.next_time()
    with database.cursor() as connection:
        landed = zone.land(
            task.entity,
            task.window,
            task.read(connection),
            is_malformed=task.is_malformed,
            source=task.source,
            ingested_at=fetched_at,
            max_shrink=max_shrink if task.window == WHOLE else None,
        )
    if task.window == WHOLE:
        zone.mark_fetched(task.entity, fetched_at)
    return landed


def _land_all(
    tasks: Sequence[LandingTask],
    zone: LandingZone,
    database: DuckDBPyConnection,
    plan: LandingPlan,
    journal: "_Journal",
    summary: Summary,
) -> None:
    """Land windows in parallel, and record each one in the journal and the summary."""
    work = partial(land, zone=zone, database=database, max_shrink=plan.max_shrink)
    unchanged: dict[LandingTask, Landed] = {}
    failures_in_a_row = 0
    pool = ThreadPoolExecutor(plan.workers, thread_name_prefix="land")
    try:
        futures = {pool.submit(work, task): task for task in tasks}
        with _progress(futures) as finished:
            for future in finished:
                task = futures[future]
                is_failed = True
                try:
                    landed = future.result()
                except CancelledError:
                    summary.failed.append(str(task))
                    continue
                except (*_EXPECTED, OSError, duckdb.IOException) as error:
                    logger.error("%s did not land: %s", task, error)
                except Exception:
                    logger.exception("%s did not land.", task)
                else:
                    is_failed = False
                    if landed.changed:
                        summary.landed.setdefault(task.entity, []).append(landed)
                        journal.add(str(task))
                    else:
                        unchanged[task] = landed
                if is_failed:
                    summary.failed.append(str(task))
                if task.window != WHOLE:
                    failures_in_a_row = failures_in_a_row + 1 if is_failed else 0
                if failures_in_a_row == _MOST_FAILURES_IN_A_ROW:
                    left = sum(each.cancel() for each in futures)
                    logger.error(
                        "%d days in a row did not land, so %d windows are not tried.",
                        *(failures_in_a_row, left),
                    )
    finally:
        pool.shutdown(cancel_futures=True)
    # Unchanged windows are finished after all windows have been fetched, because one of
    # them may have to land again: see `LandingZone.reland_superseded`.
    try:
        with database.cursor() as connection:
            relanded = zone.reland_superseded(connection)
    except (OSError, duckdb.Error) as error:
        summary.failed += map(str, unchanged)
        logger.error("Unchanged days were not compared with later batches: %s", error)
        return
    for task, landed in unchanged.items():
        result = replace(landed, changed=task.window in relanded)
        summary.landed.setdefault(task.entity, []).append(result)
        journal.add(str(task))


@contextmanager
def _progress(
    futures: Mapping[Future[Landed], LandingTask],
) -> Iterator[Iterator[Future[Landed]]]:
    """Yield the futures as they finish; show a bar, or log a line a minute.

    The bar needs a terminal.
    """
    finished = as_completed(futures)
    if sys.stderr.isatty():
        yield iter(tqdm(finished, total=len(futures), unit="window"))
        return
    is_over = threading.Event()

    def report() -> None:
        while not is_over.wait(_PROGRESS_INTERVAL):
            running = [
                str(task) for future, task in futures.items() if future.running()
            ]
            logger.info(
                "%d of %d windows are done. In progress: %s.",
                sum(future.done() for future in futures),
                len(futures),
                ", ".join(running) or "none",
            )

    thread = threading.Thread(target=report, name="progress", daemon=True)
    thread.start()
    try:
        yield finished
    finally:
        is_over.set()
        thread.join()


def _warn_of_open_credentials(access: ApiAccess) -> None:
    """Warn if credentials are sent over a network without encryption."""
    parts = urlsplit(access.url)
    has_credentials = access.headers or parts.password or parts.username
    if parts.scheme == "http" and has_credentials and not _is_local(parts.hostname):
        logger.warning(
            "The credentials for http://%s are sent without encryption: everyone on "
            "the way can read them. Use https:// in DEFTUNES_API_URL if the API has "
            "it.",
            parts.hostname,
        )


def _is_local(host: str | None) -> bool:
    """Return whether a host is this computer."""
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost"


def _warn_of_the_future(plan: LandingPlan) -> None:
    """Warn if days of sessions have not begun yet."""
    today = datetime.now(timezone.utc).date()
    days = (plan.end - max(plan.start, today + timedelta(days=1))).days
    if "sessions" in plan.entities and days > 0:
        logger.warning(
            "%d of the days to land are after today, %s (UTC): the API cannot have all "
            "of their sessions yet.",
            *(days, today),
        )


def _warn_of_nothing(summary: Summary, plan: LandingPlan) -> None:
    """Warn of entities without a single record in all windows of a run."""
    hints = {
        "users": "The API has no users: check DEFTUNES_API_URL.",
        "songs": "deftunes.songs has no rows: check DEFTUNES_POSTGRES_DSN.",
        "sessions": f"The API has no sessions from {plan.start} to before {plan.end}: "
        "check --start, --end and DEFTUNES_API_URL.",
    }
    for entity, hint in hints.items():
        landed = summary.landed.get(entity, [])
        # Days that landed before, or did not land, may have sessions.
        is_partial = entity == "sessions" and (summary.resumed or summary.failed)
        if landed and not is_partial and not any(each.records for each in landed):
            logger.warning("%s", hint)


@dataclass
class _Journal:
    """The windows that a run has landed, in a file that outlives the run."""

    path: Path
    done: set[str]
    finished: bool = False

    def add(self, task: str) -> None:
        """Add a window that is done."""
        # If the disk is full, the entry is missing and the window is fetched again.
        with suppress(OSError), self.path.open("a") as file:
            file.write(f"{task}\n")


@contextmanager
def _journal(zone: LandingZone, command: str) -> Iterator[_Journal]:
    """Open the command's journal; delete it when the run has finished."""
    zone.make_folders()
    oldest = (datetime.now(timezone.utc) - _JOURNAL_LIFE).timestamp()
    for path in zone.incoming.glob("*.journal"):
        if path.stat().st_mtime < oldest:
            path.unlink()
    path = zone.incoming / f"{hashlib.sha256(command.encode()).hexdigest()}.journal"
    # A line that a kill cut off names no window, or is complete without its line end.
    done = set(path.read_text().splitlines()) if path.exists() else set()
    journal = _Journal(path, done)
    yield journal
    if journal.finished:
        path.unlink(missing_ok=True)


def _command(settings: Settings, plan: LandingPlan) -> str:
    """Return what identifies a command: its windows and sources, without secrets."""
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
    """Return a URL or libpq connection string without user, password and options."""
    if url is None:
        return ""
    if "://" in url:
        parts = urlsplit(url)
        return f"{parts.netloc.rpartition('@')[2]}{parts.path}"
    return " ".join(re.findall(r"\b(?:host|port|dbname)\s*=\s*\S+", url))


def _one_line(entity: str, landed: Sequence[Landed]) -> str:
    """Return the result for one entity as text."""
    changed = [window for window in landed if window.changed]
    records = sum(window.records for window in changed)
    malformed = sum(window.malformed for window in changed)
    left_out = sum(window.left_out for window in changed)
    forgotten = f", {left_out:,} of forgotten people left out" if left_out else ""
    return (
        f"{entity}: {records - left_out:,} records landed "
        f"({malformed:,} do not fit their types{forgotten}), "
        f"windows: {len(changed)} new, {len(landed) - len(changed)} unchanged"
    )
