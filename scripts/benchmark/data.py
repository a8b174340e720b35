"""The landing data of the benchmark: the same as landed from the demo's sources."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
from deftunes.landing import api, json_parsing, loader
from deftunes.landing.manifest import Manifest
from deftunes.landing.zone import Batch, LandingZone
from deftunes.settings import Settings
from demo_sources.generator import Generator
from duckdb import DuckDBPyConnection, DuckDBPyRelation

END = date(2024, 1, 27)
"""The day after the last day. The last day is a Friday with average sales."""

_DONE = ".generated"


@dataclass(frozen=True)
class Data:
    """Generated landing data.

    Attributes:
        folder: the folder of `landing/`.
        items: the approximate number of items bought in total.
        days: the number of days.

    """

    folder: Path
    items: int
    days: int = 365

    @property
    def start(self) -> date:
        """The first day."""
        return END - timedelta(days=self.days)

    @property
    def day(self) -> date:
        """The last day, which is landed after the history was built."""
        return END - timedelta(days=1)

    @property
    def eve(self) -> date:
        """The day before the last; its build gives the first refresh times of views."""
        return END - timedelta(days=2)

    @property
    def generator(self) -> Generator:
        """The generator of the data."""
        return Generator(items=self.items, start=self.start, end=END)

    def land(self) -> None:
        """Land everything, unless that is done. Two days are in memory at most."""
        done = self.folder / "landing" / _DONE
        what = f"{self.items} items in {self.days} days until {END}"
        if done.exists() and done.read_text() == what:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        settings = Settings(self.folder, "http://127.0.0.1", "postgresql://", None)
        plan = loader.LandingPlan(loader.ENTITIES, self.start, END)
        zone, generator = LandingZone(settings.landing), self.generator
        tasks = [_from(generator, task) for task in loader.tasks(settings, plan, None)]
        # The first three in sequence: they generate users and songs for all others.
        with loader.engine(zone, 2) as database, ThreadPoolExecutor(2) as pool:
            land = partial(loader.land, zone=zone, database=database, max_shrink=0)
            for task in tasks[:3]:
                land(task)
            list(pool.map(land, tasks[3:]))
        shutil.rmtree(zone.incoming)
        done.write_text(what)

    def history(self, home: Path, share: float = 1.0) -> None:
        """Create a lakehouse with all landing data except the last two days.

        Args:
            home: its folder; it is removed first.
            share: the share of the sessions to take, 0 to 1; the latest ones.

        """
        shutil.rmtree(home, ignore_errors=True)
        for entity in ("users", "songs", "exchange_rates"):
            for file in LandingZone(self.folder / "landing").files(entity):
                _link(Path(file), home)
        days = [file for file in self._sessions() if _window(file) < str(self.eve)]
        sizes = [file.stat().st_size for file in days]
        target_bytes, linked_bytes = share * sum(sizes), 0
        for file, size in zip(reversed(days), reversed(sizes), strict=True):
            if linked_bytes < target_bytes:
                _link(file, home)
                linked_bytes += size

    def add(self, home: Path, day: date) -> None:
        """Land a day in a lakehouse."""
        for file in self._sessions():
            if _window(file) == str(day):
                _link(file, home)

    def _sessions(self) -> list[Path]:
        files = LandingZone(self.folder / "landing").files("sessions")
        return sorted(map(Path, files), key=_window)


def _window(file: Path) -> str:
    batch = Batch.of_folder(file.parent)
    assert batch is not None  # noqa: S101 - the loader made it
    return batch.window


def _link(file: Path, home: Path) -> None:
    """Add a batch to another landing zone by a hard link, since it never changes."""
    target = home / "landing" / file.parent.parent.name / file.parent.name
    target.mkdir(parents=True)
    Manifest(home / "landing").expect(target / file.name, file)
    os.link(file, target / file.name)


def _from(generator: Generator, task: loader.LandingTask) -> loader.LandingTask:
    """Return a task of the loader that reads from the generator, not from a server."""
    if task.entity == "sessions":
        return replace(task, read=partial(_sessions, generator, task.window))
    if task.entity == "users":
        return replace(task, read=partial(_users, generator))
    if task.entity == "songs":
        return replace(task, read=partial(_songs, generator))
    return task


def _sessions(
    generator: Generator, window: str, connection: DuckDBPyConnection
) -> DuckDBPyRelation:
    day = date.fromisoformat(window)
    tables = generator.session_tables(day, day + timedelta(days=1))
    return connection.from_arrow(
        json_parsing.add_landing_columns(pa.concat_tables(tables), api.SESSIONS)
    )


def _users(generator: Generator, connection: DuckDBPyConnection) -> DuckDBPyRelation:
    tables = pa.concat_tables(generator.user_tables())
    return connection.from_arrow(json_parsing.add_landing_columns(tables, api.USERS))


def _songs(generator: Generator, connection: DuckDBPyConnection) -> DuckDBPyRelation:
    return connection.from_arrow(pa.concat_tables(generator.song_tables())).select(
        "*, cast(null as varchar) as _rescued, cast(null as varchar) as _payload"
    )
