"""The result of `dbt source freshness` for each source."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
from conftest import Lakehouse
from deftunes.landing.loader import LandingTask, land
from deftunes.landing.zone import WHOLE, Batch, LandingZone

NOW = datetime.now(timezone.utc)


def put_batch(landing: Path, entity: str, fetched: datetime, query: str) -> None:
    """Put a batch with a given fetch time into a landing zone."""
    batch = Batch(fetched, WHOLE, f"{1:016x}").id
    folder = landing / entity / f"_batch_id={batch}"
    folder.mkdir(parents=True)
    duckdb.sql(query).write_parquet(str(folder / f"{entity}.parquet"))


def test_a_source_is_stale_when_it_is_no_longer_fetched(
    lakehouses: Callable[[Path], Lakehouse], rates: Path
) -> None:
    lakehouse = lakehouses(rates)
    landing = lakehouse.home / "landing"
    days = {"users": 30, "songs": 30, "sessions": 2, "exchange_rates": 0}
    for entity, age in days.items():
        query = "select 1 as _position"
        if entity == "exchange_rates":
            query = f"select date '{NOW.date()}' - 20 as rate_date"
        put_batch(landing, entity, NOW - timedelta(days=age), query)
    # The users came again as they were; nobody has asked for songs for a month.
    LandingZone(landing).mark_fetched("users", NOW)
    done = lakehouse.dbt("source", "freshness", environment={"DBT_WRITE_JSON": "true"})
    assert done.returncode == 1, done.stdout
    found = json.loads((lakehouse.home / "target" / "sources.json").read_text())
    assert {
        result["unique_id"].split(".")[-1]: result["status"]
        for result in found["results"]
    } == {
        "users": "pass",
        "songs": "error",
        "sessions": "warn",
        "exchange_rates": "warn",
    }


def test_an_extract_that_has_not_changed_was_fetched_all_the_same(
    tmp_path: Path,
) -> None:
    task = LandingTask(
        "users",
        WHOLE,
        "api:/users",
        "_payload is not null",
        lambda connection: connection.sql("select 'u' as user_id, null as _payload"),
    )
    zone = LandingZone(tmp_path)
    marks = []
    with duckdb.connect() as database:
        for is_new in (True, False):
            assert land(task, zone, database, max_shrink=0.1).changed == is_new
            (mark,) = (tmp_path / ".fetched" / "users").iterdir()
            marks.append(mark.name)
    (batch,) = (tmp_path / "users").iterdir()
    assert batch.name.startswith(f"_batch_id={marks[0]}_")
    assert marks[1] > marks[0]
