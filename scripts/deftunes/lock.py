"""The lock that keeps writers of one lakehouse apart: loader, build and upkeep."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = ".lock"

logger = logging.getLogger(__name__)


class LockedError(Exception):
    """Another process holds the lakehouse; the message says what to do."""


@contextmanager
def home_lock(home: Path, wait: float) -> Iterator[None]:
    """Hold the lakehouse for as long as the block runs.

    The operating system frees the lock when its holder ends, however it ends.

    Args:
        home: the folder of `landing/`, `lake/` and `serving/`; made if missing.
        wait: how long to wait for another holder, in seconds.

    Yields:
        Nothing.

    Raises:
        LockedError: another process still held it after `wait` seconds.

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
