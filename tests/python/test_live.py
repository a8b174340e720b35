"""The live view: purchases within seconds, marked, beside what is published."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
import requests
from conftest import Lakehouse
from deftunes.settings import PROJECT
from demo_sources import postgres, service
from demo_sources.generator import Generator
from test_airflow import STAR
from test_schedule import webhook

DAYS = timedelta(days=9)  # of history
PATIENCE = 120.0  # seconds
REVENUE = """
select sum(price_usd) from marts.fact_order_items_live
"""


@dataclass
class Shop:
    """The API's data: made-up days until yesterday, and what is sold today."""

    day: date
    generator: Generator
    today: list[dict[str, Any]] = field(default_factory=list)

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the users."""
        return self.generator.users(start, end)

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions."""
        yield from self.generator.sessions(start, end)
        if not end or end > self.day:
            yield from [*self.today]

    def buy(self, **changes: Any) -> str:  # noqa: ANN401 - any field of a session
        """Sell two songs in dollars, and return the session's id."""
        record = next(iter(self.generator.sessions(None, None)))
        data = record if isinstance(record, bytes) else msgspec.json.encode(record)
        session = msgspec.json.decode(data)
        item = {
            **{"song_id": "TRLIVE", "song_name": "Live", "artist_id": "ARLIVE"},
            **{"artist_name": "Live", "price": 1.25, "currency": "USD"},
            **{"liked": False, "liked_since": None},
        }
        session |= {
            "session_id": str(uuid.uuid4()),
            "session_start_time": f"{self.day}T00:00:{len(self.today) % 60:02}",
            "session_items": [item, item],
        }
        session |= changes
        self.today.append(session)
        return str(session["session_id"])


@dataclass
class Live:
    """The process that keeps the live view of a lakehouse."""

    lakehouse: Lakehouse
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def file(self) -> Path:
        """What readers open."""
        return self.lakehouse.home / "serving" / "live" / "analyst.duckdb"

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.lakehouse.home.parent / "live.log"

    def start(self, *arguments: str) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "scripts/live.py", "--every=1", *arguments],
                cwd=PROJECT,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop it, or kill it with all that it has started."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        self.process.wait(60)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the live view."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(query).fetchall()

    def wait(self, query: str, rows: list[tuple[Any, ...]]) -> None:
        """Wait until the live view answers so."""
        deadline = time.monotonic() + PATIENCE
        found = None
        while time.monotonic() < deadline:
            if self.file.exists() and (found := self.ask(query)) == rows:
                return
            assert self.process is None or self.process.poll() is None, self.said
            time.sleep(0.2)
        raise AssertionError(f"{query}: {found} and not {rows}\n{self.said}")

    @property
    def said(self) -> str:
        """All that it has said."""
        return self.log.read_text()


@contextmanager
def shop_and_live(
    lakehouse: Lakehouse, today: date
) -> Iterator[tuple[Shop, Live, service.Service]]:
    """Land and build the days until yesterday; yield the shop, its API and the view."""
    shop = Shop(today, Generator(items=200, start=today - DAYS, end=today))
    postgres.load_songs(lakehouse.postgres_dsn, shop.generator.song_tables())
    lakehouse.land(shop, shop.generator.song_tables(), today - DAYS, today)
    lakehouse.build()
    with service.running(shop) as server:
        environment = lakehouse.environment(
            {
                "DEFTUNES_API_URL": server.url,
                "DEFTUNES_POSTGRES_DSN": lakehouse.postgres_dsn,
                "DEFTUNES_EXCHANGE_RATES": str(lakehouse.rates),
                "DBT_TARGET_PATH": str(lakehouse.home / "live_target"),
                "DBT_LOG_PATH": str(lakehouse.home / "live_logs"),
            }
        )
        live = Live(lakehouse, environment)
        try:
            yield shop, live, server
        finally:
            if live.process is not None and live.process.poll() is None:
                live.stop(signal.SIGKILL)


def test_purchases_are_shown_within_seconds_and_nothing_else_changes(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, today: date
) -> None:
    lakehouse = lakehouses(rates)
    with shop_and_live(lakehouse, today) as (shop, live, server):
        ((published, items),) = lakehouse.published(
            "select sum(price_usd), count(*) from marts.fact_order_items"
        )
        landed = {*(lakehouse.home / "landing").rglob("*.parquet")}
        live.start("--build-every=0")
        live.wait("select count(*) from marts.fact_order_items_live", [(items,)])

        first = shop.buy()
        newcomer = shop.buy(user_id="somebody new")
        live.wait(REVENUE, [(published + 5,)])
        provisional = """
            select session_id, count(*), count(distinct person_key)
            from marts.fact_order_items_live where is_provisional
            group by session_id order by all
        """
        assert live.ask(provisional) == sorted([(first, 2, 1), (newcomer, 2, 1)])
        orders = (
            "select is_provisional, count(*) from marts.fact_orders_live group by 1"
        )
        assert dict(live.ask(orders))[True] == 2
        # Reports agree with the facts, also for songs that no table has yet.
        sums = "select sum(revenue_usd) from reports.sales_per_day_mv_live"
        assert live.ask(sums) == [(published + 5,)]

        # The last delivery of a session counts.
        shop.today[0]["session_items"] = shop.today[0]["session_items"][:1]
        live.wait(REVENUE, [(published + Decimal("3.75"),)])

        # A poll that finds nothing writes nothing; the time of the file says it asked.
        file, asked = live.file.stat(), len(server.requests)
        while len(server.requests) < asked + 3:
            time.sleep(0.2)
        time.sleep(0.5)
        assert live.file.stat().st_ino == file.st_ino
        assert live.file.stat().st_mtime > file.st_mtime

        # The API goes away for a while: readers keep what they have.
        server.faults.append(service.Fault("/sessions", times=3, reset=True))
        shop.buy()
        live.wait(REVENUE, [(published + Decimal("6.25"),)])
        assert "s behind:" in live.said
        check_the_sales_board(shop, live)
        live.stop()
        assert {*(lakehouse.home / "landing").rglob("*.parquet")} == landed
        assert lakehouse.published(
            "select sum(price_usd), count(*) from marts.fact_order_items"
        ) == [(published, items)]
        check_that_people_are_told(live, min(landed))


def check_that_people_are_told(live: Live, lost: Path) -> None:
    """Lose a landed file, so that builds fail: people hear of it, and readers read."""
    lost.unlink()
    shown = live.ask(REVENUE)
    with webhook() as (url, told):
        live.environment["DEFTUNES_ALERT_URLS"] = url
        live.start("--build-every=1")
        deadline = time.monotonic() + PATIENCE
        while not told and time.monotonic() < deadline:
            time.sleep(0.2)
        live.wait(REVENUE, shown)
        live.stop()
    assert [alert["message"] for alert in told] == [
        "The live view goes on, but its builds fail, so nothing is published. The log "
        "of live.py says why."
    ], live.said


def check_the_sales_board(shop: Shop, live: Live) -> None:
    """Open the sales board: it shows today's sales, and reloads with the next one."""
    log = live.lakehouse.home.parent / "explore.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "scripts/explore.py", "--port=8680"],
            cwd=PROJECT,
            env=live.environment | {"PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=output,
        )
    try:
        running = None
        while running is None:
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
            running = re.search(r"running on (http://\S+)", log.read_text())
        board = requests.get(f"{running[1]}/sales", timeout=120).text
        shown = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", board))
        assert f"{len(shop.today)} Orders Today" in shown
        with requests.get(
            f"{running[1]}/__livereload", stream=True, timeout=60
        ) as events:
            shop.buy()
            assert next(events.iter_lines()) == b"data: reload"
    finally:
        server.terminate()
        server.wait(60)


def test_a_live_build_publishes_purchases_and_leaves_machine_learning_alone(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, today: date
) -> None:
    lakehouse = lakehouses(rates)
    shop = Shop(today, Generator(items=300, start=today - DAYS, end=today))
    songs = [*shop.generator.song_tables()]
    with_models = {"DEFTUNES_WITHOUT_ML": ""}
    lakehouse.land(shop, songs, today - DAYS, today)
    whole = lakehouse.dbt("build", environment=with_models)
    assert "Published " in whole.stdout, whole.stdout
    features = "from ml.ml_user_features order by all"
    held = lakehouse.published(features)
    shop.buy()
    lakehouse.land(shop, songs, today, today + timedelta(days=1))
    # A part of it is not published.
    part = ("--selector", "live", "--exclude-resource-type", "test")
    assert "Not published" in lakehouse.build(*part, environment=with_models)
    said = lakehouse.build("--selector", "live", environment=with_models)
    assert "Published " in said
    assert "ml_" not in said
    sold = "select count(*) from marts.fact_order_items where track_id = 'TRLIVE'"
    assert lakehouse.published(sold) == [(2,)]
    assert lakehouse.published(features) == held != []


@pytest.mark.parametrize("target", ["published", "spark", "spark_serving"])
def test_a_target_without_a_lake_of_duckdb_is_refused(
    target: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "scripts/live.py"],
        cwd=PROJECT,
        env=os.environ | {"DEFTUNES_HOME": str(tmp_path), "DBT_TARGET": target},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"Target {target} has no live view" in done.stderr
    assert [*tmp_path.iterdir()] == []


@pytest.mark.usefixtures("long_mode")
def test_kills_and_builds_beside_it_end_in_the_star_of_one_landing(
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
    today: date,
    proven: dict[str, str],
) -> None:
    lakehouse = lakehouses(rates)
    with shop_and_live(lakehouse, today) as (shop, live, _):
        ((published,),) = lakehouse.published(
            "select sum(price_usd) from marts.fact_order_items"
        )
        is_over = threading.Event()

        def sell() -> None:
            while not is_over.wait(1.5):
                shop.buy()

        seller = threading.Thread(target=sell)
        seller.start()
        try:
            for pause in (8, 15, 25, 40, 60):
                live.start("--build-every=3")
                time.sleep(pause)
                live.stop(signal.SIGKILL)
            live.start("--build-every=3")
            # The nightly build beside it.
            for command in (
                [sys.executable, "scripts/land.py", "--start", str(today - DAYS)],
                [str(Path(sys.executable).with_name("dbt")), "build"],
            ):
                done = subprocess.run(
                    command,
                    cwd=PROJECT,
                    env=live.environment
                    | {"DBT_TARGET_PATH": str(lakehouse.home / "target")},
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, done.stdout + done.stderr
        finally:
            is_over.set()
            seller.join()
        revenue = published + Decimal("2.5") * len(shop.today)
        live.wait(REVENUE, [(revenue,)])
        # A build that began after the last purchase publishes all of them.
        provisional = "select count(*) from live.order_items"
        live.wait(provisional, [(0,)])
        live.stop()
        assert lakehouse.published(
            "select sum(price_usd) from marts.fact_order_items"
        ) == [(revenue,)]
        # Of each process, all builds together parse the project once.
        commands = (lakehouse.home / "live_logs" / "dbt.log").read_text()
        assert commands.count("Command `cli build` succeeded") > 0
        assert commands.count("Command `cli parse` succeeded") <= 6
        at_once = lakehouses(rates)
        end = today + timedelta(days=1)
        at_once.land(shop, shop.generator.song_tables(), today - DAYS, end)
        at_once.build()
        for name, query in STAR.items():
            assert lakehouse.published(query) == at_once.published(query), name
        files = len([*(lakehouse.home / "landing" / "sessions").rglob("*.parquet")])
        proven["purchases beside the live view"] = (
            f"{len(shop.today)}, 5 kills, {files} landed files; the star of one landing"
        )
