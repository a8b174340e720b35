"""The benchmark: contenders make the same tables, and the report shows the goals."""

import json
import shutil
from pathlib import Path

import pytest
from benchmark import checksums, report, scenarios
from benchmark.data import END, Data
from benchmark.goals import GOALS
from deftunes.landing.loader import ENTITIES, LandingPlan, run
from deftunes.settings import Settings
from demo_sources import postgres, service


def test_generated_batches_are_those_that_landing_would_write(
    tmp_path: Path, postgres_dsn: str
) -> None:
    data = Data(tmp_path / "data", items=500, days=3)
    data.land()

    postgres.load_songs(postgres_dsn, data.generator.song_tables())
    with service.running(data.generator) as api:
        settings = Settings(tmp_path, api.url, postgres_dsn, None)
        run(settings, LandingPlan(ENTITIES, data.start, END))

    # An id is time, window and digest of the content.
    landed, generated = (
        sorted(
            (path.parent.name, path.name.split("_", 4)[-1])
            for path in (home / "landing").glob("[!.]*/*")
        )
        for home in (tmp_path, data.folder)
    )
    assert len(landed) == 6
    assert generated == landed


def test_contenders_that_differ_are_an_error_and_results_have_their_form(
    long_mode: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Data(tmp_path / "data", items=2000, days=6)
    data.land()
    bench = scenarios.Bench(data, tmp_path / "bench", repeats=1, tests=False)

    scenarios.full(bench)

    data.add(bench.project.home, data.eve)
    data.add(bench.limit.home, data.eve)
    bench.project.build()
    made = checksums.of_lake(bench.project.home)

    said = report.write(bench, "make bench", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [sorted(result) for result in results] == [["goal", "met", "name", "value"]]
    (weight,) = results
    assert (
        weight["name"] == "bytes in the lake over the same rows as plain zstd Parquet"
    )
    assert weight["goal"] == "at most 1.1"
    assert weight["met"] is (weight["value"] <= 1.1)
    assert "The checksums of all tables of 2 contenders agree" in said
    assert "full build, models" in (tmp_path / "report.svg").read_text()

    broken = shutil.copytree(scenarios.LIMIT, tmp_path / "limit")
    script = (broken / "full.sql").read_text()
    assert script.count("sum(price_usd) as revenue_usd") > 1
    (broken / "full.sql").write_text(
        script.replace("sum(price_usd) as revenue_usd", "max(price_usd) as revenue_usd")
    )
    monkeypatch.setattr(scenarios, "LIMIT", broken)
    bench.limit.clear()
    with pytest.raises(checksums.MismatchError, match=r"reports\.sales_per_day_mv"):
        scenarios.run_limit(bench, data.eve, made)


def test_goals_say_what_is_reached() -> None:
    figures = scenarios.Figures(
        {
            "full build": [59.0, 60.0, 90.0],
            "day": [13.0],
            "day on a tenth": [10.0],
            "dlt songs": [50.0],
            "landing songs": [10.0],
        }
    )
    reached = {goal.name: value for goal, value in report.measured_goals(figures)}
    goals = {goal.name: goal for goal in GOALS}

    assert reached == {
        "a full build, in all": 60.0,
        "a day, in all": 13.0,
        "a day on the history over the same day on a tenth of it": 1.3,
        "landing songs, speed over dlt's": 5.0,
    }
    assert [goals[name].is_met(value) for name, value in reached.items()] == [
        True,
        True,
        False,
        True,
    ]
    assert str(goals["landing songs, speed over dlt's"]) == "at least 5"
    full = goals["a full build, in all"]
    held = [full.holds_for(items) for items in (1_000, 1_000_000, 10_000_000)]
    assert held == [False, True, False]


def test_the_whole_benchmark_runs(long_mode: None, tmp_path: Path) -> None:
    data = Data(tmp_path / "20000" / "data", items=20_000, days=100)
    data.land()
    bench = scenarios.Bench(data, tmp_path / "20000", repeats=1)

    scenarios.full(bench)
    scenarios.days(bench)
    scenarios.dashboard(bench)
    scenarios.views(bench)
    scenarios.landing(bench, dlt=True)
    scenarios.first_use(bench)
    scenarios.spark(bench)

    report.write(bench, "make bench", tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [result["name"] for result in results] == [
        goal.name for goal in GOALS if goal.smallest == 0
    ]
