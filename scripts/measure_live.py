"""Measure the live view: `python scripts/measure_live.py --minutes 10`.

Puts purchases into an API at random times, and records when each can be read in the
live view and in what is published.
"""

import csv
import json
import logging
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import altair
import click
import duckdb
import msgspec
from deftunes.dashboard import ANALYST, LIVE
from deftunes.landing import loader
from deftunes.settings import PROJECT, Settings
from demo_sources import postgres, service
from demo_sources.generator import Generator

FOLDER = PROJECT / "target" / "live"
_READ_EVERY = 0.1  # seconds


@dataclass
class Purchase:
    """A session that was put into the API, and when it could be read.

    Attributes:
        session_id: its id.
        bought: when it was put into the API, in seconds of the monotonic clock.
        seen: when it could be read first, likewise, by where.

    """

    session_id: str
    bought: float
    seen: dict[str, float] = field(default_factory=dict)


class Shop:
    """The API's data: made-up days until yesterday, and purchases of today."""

    def __init__(self, generator: Generator, sessions: int) -> None:
        """Take that many sessions of earlier days as today's.

        Args:
            generator: the days until yesterday.
            sessions: how many sessions today has had already.

        """
        self.generator = generator
        self._lock = threading.Lock()
        self._today: list[bytes] = []
        self._models: list[dict[str, Any]] = []
        for record in generator.sessions(generator.end - timedelta(days=60), None):
            data = record if isinstance(record, bytes) else msgspec.json.encode(record)
            self._models.append(msgspec.json.decode(data))
        self._models = [each for each in self._models if each["session_items"]]
        for _ in range(sessions):
            self.buy()

    def buy(self) -> str:
        """Put a purchase of this moment into the API, and return its session's id."""
        session = dict(random.choice(self._models))  # noqa: S311 - made-up data
        session["session_id"] = str(uuid.uuid4())
        session["session_start_time"] = datetime.now(timezone.utc).isoformat()[:26]
        with self._lock:
            self._today.append(msgspec.json.encode(session))
        return str(session["session_id"])

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the users."""
        return self.generator.users(start, end)

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions."""
        yield from self.generator.sessions(start, end)
        if not end or end > datetime.now(timezone.utc).date():
            with self._lock:
                yield from [*self._today]


class Reader(threading.Thread):
    """Reads the files as a person with a BI tool would, when they are replaced."""

    def __init__(self, serving: Path, purchases: Sequence[Purchase]) -> None:
        """Set the folder of the published files, and what to look for."""
        super().__init__(name="reader", daemon=True)
        self._files = {
            "live": (serving / LIVE, "marts.fact_order_items_live"),
            "published": (serving / ANALYST, "marts.fact_order_items"),
        }
        self._purchases = purchases
        self.is_over = threading.Event()

    def run(self) -> None:
        """Read each file whenever it is another one."""
        last: dict[str, int] = {}
        while not self.is_over.wait(_READ_EVERY):
            for place, (file, table) in self._files.items():
                if not file.exists() or last.get(place) == file.stat().st_ino:
                    continue
                last[place] = file.stat().st_ino
                wanted = [each for each in self._purchases if place not in each.seen]
                with duckdb.connect(str(file), read_only=True) as connection:
                    found = {
                        id
                        for (id,) in connection.execute(
                            f"select distinct session_id from {table}"  # noqa: S608
                            " where list_contains(?, session_id)",
                            [[each.session_id for each in wanted]],
                        ).fetchall()
                    }
                moment = time.monotonic()
                for each in wanted:
                    if each.session_id in found:
                        each.seen[place] = moment


@click.command(context_settings={"show_default": True})
@click.option("--minutes", default=5.0, help="How long purchases are made.")
@click.option("--per-minute", default=0.7, help="Purchases a minute, at random times.")
@click.option("--items", default=20_000, help="Items bought in the year before today.")
@click.option("--sessions", default=1000, help="Sessions that today has had already.")
@click.option("--every", default=5.0, help="As for scripts/live.py.")
@click.option("--build-every", default=10.0, help="As for scripts/live.py.")
@click.option("--whole-every", default=3600.0, help="As for scripts/live.py.")
def main(
    minutes: float,
    per_minute: float,
    items: int,
    sessions: int,
    every: float,
    build_every: float,
    whole_every: float,
) -> None:
    """Measure how soon purchases can be read, in a lakehouse of its own.

    It is target/live, which is made anew. Writes freshness.csv and freshness.svg there.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    shutil.rmtree(FOLDER, ignore_errors=True)
    today = datetime.now(timezone.utc).date()
    start = today - timedelta(days=365)
    shop = Shop(Generator(items=items, start=start, end=today), sessions)
    with service.running(shop) as api, postgres.running() as dsn:
        postgres.load_songs(dsn, shop.generator.song_tables())
        environment = _environment(api.url, dsn)
        settings = Settings.from_environment(environment)
        click.echo("Landing and building a year ...")
        plan = loader.LandingPlan(loader.ENTITIES, start, today)
        loader.run(settings, plan)
        dbt = Path(sys.executable).with_name("dbt")
        build = [str(dbt), "--quiet", "build"]
        subprocess.run(build, env=environment, check=True, cwd=PROJECT)  # noqa: S603
        purchases: list[Purchase] = []
        reader = Reader(settings.serving, purchases)
        reader.start()
        with (FOLDER / "live.log").open("wb") as log:
            live = subprocess.Popen(  # noqa: S603
                [
                    *(sys.executable, "scripts/live.py"),
                    *(f"--every={every}", f"--build-every={build_every}"),
                    f"--whole-every={whole_every}",
                ],
                env=environment,
                cwd=PROJECT,
                stdout=log,
                stderr=log,
            )
        while not (settings.serving / LIVE).exists():
            if live.poll() is not None:
                sys.exit(f"live.py has ended: see {FOLDER / 'live.log'}")
            time.sleep(1)
        files = _files(settings.home)
        click.echo(f"Buying for {minutes:g} minutes ...")
        deadline = time.monotonic() + minutes * 60
        while time.monotonic() < deadline:
            time.sleep(random.expovariate(per_minute / 60))
            # First the clock, so that no time is left out.
            bought = time.monotonic()
            purchases.append(Purchase(shop.buy(), bought))
        # What is bought last is published by the build after the one that runs.
        places = {"live", "published"} if build_every else {"live"}
        patience = time.monotonic() + every + 180
        while time.monotonic() < patience and any(
            places - each.seen.keys() for each in purchases
        ):
            time.sleep(1)
        memory = _memory(live.pid)
        live.terminate()
        live.wait()
        reader.is_over.set()
        reader.join()
    _report(purchases, memory, files, _files(settings.home))


def _environment(url: str, dsn: str) -> dict[str, str]:
    held = {name: value for name, value in os.environ.items() if "DEFTUNES" not in name}
    return held | {
        "DEFTUNES_HOME": str(FOLDER / "lakehouse"),
        "DEFTUNES_API_URL": url,
        "DEFTUNES_POSTGRES_DSN": dsn,
        "DBT_TARGET_PATH": str(FOLDER / "dbt"),
        "DBT_LOG_PATH": str(FOLDER / "logs"),
    }


def _memory(pid: int) -> int:
    """Return the most memory that a process has used, in MB; 0 if unknown."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    (line,) = [each for each in status.read_text().splitlines() if "VmHWM" in each]
    return int(line.split()[1]) // 1024


def _files(home: Path) -> dict[str, int]:
    """Return how many files are in the folders of a lakehouse."""
    return {
        name: sum(path.is_file() for path in (home / name).rglob("*"))
        for name in ("landing", "lake", "serving")
    }


def _report(
    purchases: Sequence[Purchase],
    memory: int,
    before: dict[str, int],
    after: dict[str, int],
) -> None:
    """Print what was measured, and write it to files."""
    rows: list[dict[str, Any]] = [
        {
            "place": place,
            "bought": each.bought - purchases[0].bought,
            "seconds": seen - each.bought,
        }
        for each in purchases
        for place, seen in sorted(each.seen.items())
    ]
    for place in ("live", "published"):
        seconds = [row["seconds"] for row in rows if row["place"] == place]
        if len(seconds) > 1:
            cuts = statistics.quantiles(seconds, n=20, method="inclusive")
            click.echo(
                f"{place}: {len(seconds)} of {len(purchases)} purchases; seconds from "
                f"the purchase: median {cuts[9]:.1f}, 95 % within {cuts[18]:.1f}, "
                f"longest {max(seconds):.1f}"
            )
        else:
            click.echo(f"{place}: {len(seconds)} of {len(purchases)} purchases")
    click.echo(f"Memory of live.py: at most {memory} MB")
    click.echo(f"Files before and after: {json.dumps(before)}, {json.dumps(after)}")
    with (FOLDER / "freshness.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["place", "bought", "seconds"])
        writer.writeheader()
        writer.writerows(rows)
    if rows:
        chart = (
            altair.Chart(altair.InlineData(values=rows))
            .mark_point()
            .encode(
                x=altair.X("bought:Q", title="Bought after (seconds)"),
                y=altair.Y("seconds:Q", title="Readable after (seconds)"),
                color=altair.Color("place:N", title=None),
            )
            .properties(width=640, height=320)
        )
        chart.save(FOLDER / "freshness.svg")
    click.echo(f"Written: {FOLDER}/freshness.csv and freshness.svg")


if __name__ == "__main__":
    main()
