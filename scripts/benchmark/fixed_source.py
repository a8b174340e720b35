"""Serve songs and sessions that were generated in advance, until killed.

`python -m benchmark.fixed_source ITEMS DAYS SONGS FIRST_DAY LAST_DAY`. Generated in
advance, so that the loaders under test do not wait for the generator.
"""

import json
import sys
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
from demo_sources import postgres, service
from demo_sources.generator import Generator

from benchmark.data import Data


class FixedSource:
    """A source with all records in memory."""

    def __init__(self, generator: Generator, first: date, last: date) -> None:
        """Generate the sessions from the first to the last day."""
        self._days: dict[date, list[Any]] = {}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            self._days[day] = list(generator.sessions(day, day + timedelta(days=1)))

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield no users."""
        yield from ()

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions that start in [start, end); None: no limit."""
        for day, records in self._days.items():
            if (start is None or start <= day) and (end is None or day < end):
                yield from records


def main(data: Data, songs: int, first: date, last: date) -> None:
    """Serve the sources; print their addresses as one line of JSON.

    Args:
        data: the generated data.
        songs: the most songs in the database.
        first: the first day of sessions.
        last: the last day.

    """
    source = FixedSource(data.generator, first, last)
    with service.running(source) as api, postgres.running() as dsn:
        table = pa.concat_tables(data.generator.song_tables()).slice(0, songs)
        postgres.load_songs(dsn, [table])
        with postgres.connected(dsn) as connection:
            # Otherwise the first reader after the load does this work for all others.
            connection.execute(
                "call postgres_execute('sources', 'vacuum deftunes.songs',"
                " use_transaction := false)"
            )
        print(json.dumps({"api": api.url, "dsn": dsn}), flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    items, days, songs = map(int, sys.argv[1:4])
    main(
        Data(Path(), items, days),
        songs,
        date.fromisoformat(sys.argv[4]),
        date.fromisoformat(sys.argv[5]),
    )
