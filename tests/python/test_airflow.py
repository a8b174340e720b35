"""A real Airflow lands and builds days in any order, and tells people what failed."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
import run_airflow
from conftest import Lakehouse
from deftunes.landing.download import RetryPolicy
from deftunes.settings import PROJECT
from demo_sources import postgres, service
from demo_sources.generator import Generator
from test_schedule import webhook

pytestmark = pytest.mark.usefixtures("long_mode")

START = date(2023, 2, 1)
DAYS = [START + timedelta(days=number) for number in range(12)]
HEALS, FAILS = DAYS[4], DAYS[7]
PATIENCE = 900.0  # seconds

STAR = {
    "facts": """
        select
            session_id, item_number, track_id, artist_id, user_id, valid_from, date,
            price, currency, price_usd, liked, liked_since, session_start_time,
            fact.device_type, fact.has_known_timezone, local_date, local_hour
        from marts.fact_order_items as fact
        left join marts.dim_artists using (artist_key)
        left join marts.dim_users using (user_key)
        left join marts.dim_date using (date_key)
        order by all
    """,
    "orders": "select * exclude (user_key) from marts.fact_orders order by all",
    "revenue": "from reports.sales_per_day_mv order by all",
    "songs": "select song_key, song_title from marts.dim_songs order by all",
}


@dataclass
class Shop:
    """The made-up API's data; some days cannot be answered.

    Attributes:
        generator: the data.
        failures: how often a day is still to fail.

    """

    generator: Generator
    failures: dict[date, int] = field(default_factory=dict)

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the users."""
        return self.generator.users(start, end)

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions, or break off."""
        if start and self.failures.get(start, 0):
            self.failures[start] -= 1
            raise RuntimeError("The API has a bad day.")
        return self.generator.sessions(start, end)


@dataclass
class Observed:
    """A running Airflow, seen through its API."""

    airflow: run_airflow.Airflow

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return the JSON of an answer."""
        url = f"{self.airflow.url}/api/v2/{path}"
        answer = requests.get(url, parameters, timeout=60)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def trigger(self, dag: str, **conf: str) -> str:
        """Queue a run, and return its id."""
        answer = requests.post(
            f"{self.airflow.url}/api/v2/dags/{dag}/dagRuns",
            json={"logical_date": None, "conf": conf},
            timeout=60,
        )
        assert answer.ok, answer.text
        return str(answer.json()["dag_run_id"])

    def runs(self, dag: str) -> dict[str, str]:
        """Return the states of a DAG's runs, by id."""
        runs = self.get(f"dags/{dag}/dagRuns", limit=100)["dag_runs"]
        return {run["dag_run_id"]: run["state"] for run in runs}

    def tries(self, dag: str, run: str, task: str) -> int:
        """Return how often a task was tried."""
        found = self.get(f"dags/{dag}/dagRuns/{run}/taskInstances/{task}")
        return int(found["try_number"])

    def settle(self) -> None:
        """Wait until nothing runs, and nothing that landed waits for a build."""
        deadline = time.monotonic() + PATIENCE
        quiet = 0
        while quiet < 3:  # the scheduler makes new runs in between
            assert time.monotonic() < deadline, self.airflow.folder
            states = [
                state
                for dag in ("deftunes_land", "deftunes_build")
                for state in self.runs(dag).values()
            ]
            is_quiet = not {"queued", "running"} & {*states}
            quiet = quiet + 1 if is_quiet else 0
            time.sleep(3)


@pytest.fixture(scope="module")
def observed(
    lakehouses: Callable[[Path], Lakehouse], rates: Path
) -> Iterator[tuple[Observed, Shop, Lakehouse, list[dict[str, Any]]]]:
    """Run Airflow beside an API; yield both, the lakehouse, and the alerts."""
    install = ["make", ".venv-airflow/requirements.txt"]
    subprocess.run(install, cwd=PROJECT, check=True)
    lakehouse = lakehouses(rates)
    shop = Shop(Generator(items=300, start=START, end=DAYS[-1] + timedelta(days=1)))
    postgres.load_songs(lakehouse.postgres_dsn, shop.generator.song_tables())
    with service.running(shop) as api, webhook() as (url, told):
        settings = {
            "DEFTUNES_HOME": str(lakehouse.home),
            "DEFTUNES_API_URL": api.url,
            "DEFTUNES_POSTGRES_DSN": lakehouse.postgres_dsn,
            "DEFTUNES_EXCHANGE_RATES": str(rates),
            "DEFTUNES_WITHOUT_ML": "1",
            "DEFTUNES_ALERT_URLS": url,
            "DBT_TARGET_PATH": str(lakehouse.home / "target"),
            "DBT_LOG_PATH": str(lakehouse.home / "logs"),
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "1",
            # How soon a task whose process was killed is tried again.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": (
                "5"
            ),
        }
        folder = lakehouse.home.parent / "airflow"
        with run_airflow.running(folder, settings) as airflow:
            # Its schedule would land days of this year: it stays without runs, since
            # only queued runs are made while it is unpaused.
            for dag in ("deftunes_build", "deftunes_land"):
                airflow.command("dags", "unpause", dag, "--yes")
            yield Observed(airflow), shop, lakehouse, told


def test_days_in_any_order_make_the_star_of_one_landing(
    observed: tuple[Observed, Shop, Lakehouse, list[dict[str, Any]]],
    lakehouses: Callable[[Path], Lakehouse],
    proven: dict[str, str],
) -> None:
    seen, shop, lakehouse, told = observed
    seen.settle()  # the last week, which has no sessions
    attempts = RetryPolicy().attempts
    shop.failures = {HEALS: attempts, FAILS: 1_000}
    days = [DAYS[number] for number in (6, 1, 9, 4, 0, 7, 3, 8, 2, 5)]
    runs = {
        day: seen.trigger(
            "deftunes_land", start=str(day), end=str(day + timedelta(days=1))
        )
        for day in days
    }
    # The scheduler is killed in the middle, with the tasks that it has started.
    while list(seen.runs("deftunes_land").values()).count("success") < 4:
        time.sleep(1)
    seen.airflow.stop("scheduler", signal.SIGKILL)
    time.sleep(5)
    seen.airflow.start("scheduler")
    seen.settle()
    states = seen.runs("deftunes_land")
    assert {day: states[run] for day, run in runs.items()} == {
        day: "failed" if day == FAILS else "success" for day in days
    }
    assert seen.tries("deftunes_land", runs[HEALS], "land") >= 2
    assert seen.tries("deftunes_land", runs[FAILS], "land") == 4
    (alert,) = [each["message"] for each in told]
    assert alert.startswith("deftunes_land.land failed")
    builds = seen.runs("deftunes_build")
    assert len(builds) < len(days)  # what waits to land is built together

    # A backfill over days that are there, when the API has recovered.
    shop.failures = {}
    seen.airflow.command(
        *("backfill", "create", "--dag-id", "deftunes_land"),
        *("--from-date", str(DAYS[0]), "--to-date", str(DAYS[10])),
    )
    seen.settle()
    # Further days as one window, which is built once.
    before = seen.runs("deftunes_build")
    run = seen.trigger("deftunes_land", start=str(DAYS[0]), end="2023-02-13")
    seen.settle()
    after = seen.runs("deftunes_build")
    assert seen.runs("deftunes_land")[run] == "success"
    assert len(after) == len(before) + 1
    assert len(told) == 1

    at_once = lakehouses(lakehouse.rates)
    at_once.land(shop, shop.generator.song_tables(), START, date(2023, 2, 13))
    at_once.build()
    for name, query in STAR.items():
        rows = lakehouse.published(query)
        assert rows
        assert rows == at_once.published(query), name

    # dbt's tests can be seen, by run.
    last = max(after)
    xcom = f"dags/deftunes_build/dagRuns/{last}/taskInstances/build/xcomEntries/nodes"
    nodes = seen.get(xcom, deserialize="true")["value"]
    tests = [node for node in nodes if node["type"] == "test"]
    assert len(tests) > 100
    assert {node["status"] for node in tests} == {"pass"}
    events = seen.get("assets/events", source_dag_id="deftunes_build")["asset_events"]
    assert {"tests_passed": len(tests)} in [event["extra"] for event in events]
    proven["days through Airflow"] = (
        f"{len(days)} shuffled in {len(builds)} builds, scheduler killed; the star of "
        "one landing"
    )


def test_an_alert_names_the_tests_that_failed(
    observed: tuple[Observed, Shop, Lakehouse, list[dict[str, Any]]],
) -> None:
    seen, _, lakehouse, told = observed
    told.clear()
    shown = lakehouse.database.read_bytes()
    change = "update lake.marts.fact_order_items set price_usd = price_usd {} 1"
    with lakehouse.writing() as lake:
        lake.execute(change.format("+"))
    run = seen.trigger("deftunes_build")
    seen.settle()
    assert seen.runs("deftunes_build")[run] == "failed"
    assert seen.tries("deftunes_build", run, "build") == 1
    (alert,) = [each["message"] for each in told]
    assert alert.startswith("deftunes_build.build failed")
    assert "assert_revenue_per_day_equals_landed_revenue" in alert
    assert lakehouse.database.read_bytes() == shown
    with lakehouse.writing() as lake:
        lake.execute(change.format("-"))
    run = seen.trigger("deftunes_build")
    seen.settle()
    assert seen.runs("deftunes_build")[run] == "success"
