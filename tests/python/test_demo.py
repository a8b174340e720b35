"""The demo, and that made-up and real data stay apart."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import demo
import duckdb
import pytest
from conftest import Lakehouse
from deftunes.landing import DEMO_MARKER
from deftunes.rates import SHIPPED
from deftunes.settings import PROJECT

OPTIONS = "--items 300 --seed 1"


def script(lakehouse: Lakehouse, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of the project as people do."""
    name, *rest = arguments
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / name), *rest],
        env=lakehouse.environment(),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_the_demo_shows_the_whole_way_and_the_second_run_changes_nothing(
    lakehouses: Callable[[Path], Lakehouse],
) -> None:
    lakehouse = lakehouses(SHIPPED)
    first = script(lakehouse, "demo.py", *OPTIONS.split())
    assert first.returncode == 0, first.stdout + first.stderr
    held = published(lakehouse)
    with lakehouse.lake() as lake:
        commits = lake.execute("from ducklake_snapshots('lake')").fetchall()

    second = script(lakehouse, "demo.py", *OPTIONS.split())
    assert second.returncode == 0, second.stdout + second.stderr
    assert "windows: 365 new, 0 unchanged" in first.stdout
    assert "windows: 0 new, 365 unchanged" in second.stdout
    assert published(lakehouse) == held
    with lakehouse.lake() as lake:
        assert lake.execute("from ducklake_snapshots('lake')").fetchall() == commits

    for line in ("2023-01 ", "2023-12 ", "marts.fact_order_items", "sessions "):
        assert line in first.stdout
    assert str(lakehouse.database) in first.stdout
    # What it reports is what is published.
    assert demo.report(lakehouse.database) in second.stdout

    other = script(lakehouse, "demo.py", "--items", "400")
    assert other.returncode == 1
    assert f"holds the demo of {OPTIONS}" in other.stderr

    real = script(lakehouse, "land.py", "--start", "2024-01-01")
    assert real.returncode == 2
    assert "made-up data" in real.stderr
    assert "Traceback" not in other.stderr + real.stderr


def published(lakehouse: Lakehouse) -> list[object]:
    """Return all rows of the published database."""
    with duckdb.connect(str(lakehouse.database), read_only=True) as connection:
        names = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        ).fetchall()
        return [
            (name, connection.table(name).order("all").fetchall()) for (name,) in names
        ]


def test_the_demo_refuses_a_landing_zone_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "users" / "_batch_id=1").mkdir(parents=True)
    with pytest.raises(demo.DemoError, match="DEFTUNES_HOME"):
        demo.claim(tmp_path, OPTIONS)
    assert not (tmp_path / DEMO_MARKER).exists()


def test_the_demo_claims_an_empty_landing_zone(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    (landing / ".incoming").mkdir(parents=True)
    (landing / ".incoming" / "left by a killed run").touch()
    demo.claim(landing, OPTIONS)
    demo.claim(landing, OPTIONS)
    assert (landing / DEMO_MARKER).exists()
