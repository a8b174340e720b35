"""The lock that lets only one process write to a lakehouse: loader, build or upkeep.

On one machine it is a file. If several machines may write, it is a lock in the Postgres
database with the catalogue, too.
"""

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from deftunes.settings import Settings

LOCK_FILE = ".lock"

# Of an advisory lock; any two numbers that no other program takes.
_LOCK_ID = (1147495028, 1853057395)
_POLL_SECONDS = 1.0
# Without these, Postgres notices after two hours that a machine has died.
_KEEPALIVE = (
    "set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10;"
    " set tcp_keepalives_count = 3"
)
# The process that holds the lock.
_HOLDER = """
    select application_name
    from pg_stat_activity
    inner join pg_locks using (pid)
    inner join pg_database on pg_database.oid = pg_locks.database
    where
        (classid::bigint, objid::bigint) = (%s, %s)
        and granted
        and pg_database.datname = current_database()
"""

logger = logging.getLogger(__name__)


class LockedError(Exception):
    """Another process holds the lock; the message says what to do."""


@contextmanager
def home_lock(home: Path, wait: float) -> Iterator[None]:
    """Hold the lock of a lakehouse while the block runs.

    The operating system releases the lock when the process ends, even if it is killed.

    Args:
        home: the folder of `landing/`, `lake/` and `serving/`; created if missing.
        wait: how long to wait for another process, in seconds.

    Yields:
        Nothing.

    Raises:
        LockedError: another process still holds the lock after `wait` seconds.

    """
    home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(home / LOCK_FILE)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("Another run holds %s; waiting up to %g s for it.", home, wait)
        try:
            lock.acquire(timeout=wait)
        except Timeout:
            raise LockedError(
                f"Another run still holds {home} after {wait:g} s. Run this again "
                "when it has ended."
            ) from None
    try:
        yield
    finally:
        lock.release()


class CatalogueLock:
    """A lock in the Postgres database of a catalogue; held while its session lasts."""

    def __init__(self, dsn: str) -> None:
        """Connect to the database.

        Args:
            dsn: the libpq URL of the database.

        Raises:
            LockedError: it cannot be reached.

        """
        # Imported here, as only some targets need it.
        import psycopg

        self._error = psycopg.Error
        name = f"{socket.gethostname()}, process {os.getpid()}"
        try:
            self._session: Any = psycopg.connect(
                dsn, autocommit=True, application_name=name, connect_timeout=10
            )
            self._session.execute(_KEEPALIVE)
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            raise LockedError(
                f"The database that DBT_ENV_SECRET_CATALOG_DSN names: {reason}. Solve "
                "the problem, then run the same command again."
            ) from None
        except psycopg.Error:  # the message may contain the password
            raise LockedError(
                "DBT_ENV_SECRET_CATALOG_DSN is not a libpq URL that Postgres takes. "
                ".env.example describes it."
            ) from None

    def take(self, wait: float) -> None:
        """Take the lock.

        Args:
            wait: how long to wait for another process, in seconds.

        Raises:
            LockedError: another process still holds the lock after `wait` seconds.

        """
        end = time.monotonic() + wait
        is_first = True
        while not self._value("select pg_try_advisory_lock(%s, %s)", *_LOCK_ID):
            holder = self._value(_HOLDER, *_LOCK_ID) or "another machine"
            if time.monotonic() >= end:
                raise LockedError(
                    f"Another run ({holder}) still holds the lakehouse after {wait:g} "
                    "s. Run this again when it has ended."
                )
            if is_first:
                logger.warning(
                    "Another run (%s) holds the lakehouse; waiting up to %g s for it.",
                    *(holder, wait),
                )
            is_first = False
            time.sleep(min(_POLL_SECONDS, max(0.0, end - time.monotonic())))

    def check(self) -> None:
        """Check that the session, and so the lock, has not been lost.

        Raises:
            LockedError: the session has ended, so another process may write.

        """
        self._value("select 1")

    def release(self) -> None:
        """Release the lock by ending the session."""
        self._session.close()

    def _value(self, query: str, *parameters: int) -> Any:  # noqa: ANN401 - any type
        try:
            row = self._session.execute(query, parameters).fetchone()
        except self._error:
            raise LockedError(
                "The connection to the database of the catalogue was lost, so another "
                "run may have begun. Run the same command again."
            ) from None
        return row[0] if row else None


@contextmanager
def catalogue_lock(dsn: str, wait: float) -> Iterator[CatalogueLock]:
    """Hold the lock in the database of a catalogue while the block runs.

    Args:
        dsn: the libpq URL of the database.
        wait: how long to wait for another process, in seconds.

    Raises:
        LockedError: another process still holds the lock after `wait` seconds, or the
            database cannot be reached.

    """
    lock = CatalogueLock(dsn)
    try:
        lock.take(wait)
        yield lock
    finally:
        lock.release()


@contextmanager
def lakehouse_lock(settings: Settings, wait: float) -> Iterator[None]:
    """Hold the lock of a lakehouse, for a command that writes to its landing zone.

    Args:
        settings: where the lakehouse is.
        wait: how long to wait for another process, in seconds.

    Raises:
        LockedError: another process still holds the lock after `wait` seconds.
        SettingsError: the landing zone is in a bucket, and no database is set.

    """
    with ExitStack() as stack:
        stack.enter_context(home_lock(settings.home, wait))
        if settings.store:
            dsn = settings.require("catalogue_dsn")
            stack.enter_context(catalogue_lock(dsn, wait))
        yield
