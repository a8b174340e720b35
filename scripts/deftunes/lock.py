"""The lock that lets only one process write to a lakehouse: loader, build or upkeep."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = ".lock"

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
