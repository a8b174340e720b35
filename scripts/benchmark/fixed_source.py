"""Serve the songs and some days of sessions, made up beforehand, until killed.

`python -m benchmark.served ITEMS DAYS SONGS FIRST_DAY LAST_DAY`: a contender in landing
should not have to wait for a generator.
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


class Held:
    """A source whose answers are ready."""

    def __init__(self, generator: Generator, first: date, last: date) -> None:
        """Make up the sessions of the days from the first to the last."""
        self._days: dict[date, list[Any]] = {}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            self._days[day] = list(generator.sessions(day, day + timedelta(days=1)))

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield nobody."""
        yield from ()

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions that start in [start, end); None is open."""
        for day, records in self._days.items():
            if (start is None or start <= day) and (end is None or day < end):
                yield from records


def main(data: Data, songs: int, first: date, last: date) -> None:
    """Serve; says where in one line of JSON.

    Args:
        data: which sources.
        songs: how many songs the database has, at most.
        first: the first day of sessions.
        last: the last.

    """
    held = Held(data.generator, first, last)
    with service.running(held) as api, postgres.running() as dsn:
        table = pa.concat_tables(data.generator.song_tables()).slice(0, songs)
        postgres.load_songs(dsn, [table])
        with postgres.connected(dsn) as connection:
            # The first to read after a load would tidy up for all others.
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
