"""Serves the demo's two sources together."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo_sources import postgres, service
from demo_sources.generator import Generator

logger = logging.getLogger(__name__)


@contextmanager
def demo_sources(
    generator: Generator,
    *,
    end_inclusive: bool = False,
    port: int = 0,
    folder: Path | None = None,
) -> Iterator[tuple[service.Service, str]]:
    """Serve made-up data from a real API and a real Postgres on 127.0.0.1.

    Args:
        generator: the data.
        end_inclusive: whether the API's windows include `end_date`.
        port: the API's port; 0 for a free one.
        folder: where to create Postgres's folder; see `postgres.running`.

    Yields:
        The running API, and the libpq URL of the database with `deftunes.songs`.

    Raises:
        PostgresError: Postgres cannot be run.
        OSError: the port is in use.

    """
    with (
        service.running(generator, end_inclusive=end_inclusive, port=port) as api,
        postgres.running(folder) as dsn,
    ):
        songs = postgres.load_songs(dsn, generator.song_tables())
        logger.info("Serving %s and a database of %d songs.", api.url, songs)
        yield api, dsn
