"""An export has the published rows, in the requested format."""

import csv
import json
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from conftest import Demonstration
from deftunes.export import ExportError, export
from deftunes.settings import PROJECT, Settings


@pytest.fixture(scope="module")
def settings(demonstration: Demonstration) -> Settings:
    """Return the demo's settings, with dbt's artifacts."""
    return replace(
        demonstration.settings, dbt_target=demonstration.lakehouse.home / "target"
    )


def test_a_table_as_parquet_has_its_rows_and_types(
    settings: Settings, demonstration: Demonstration, tmp_path: Path
) -> None:
    target = tmp_path / "it's a folder" / "items.parquet"
    target.parent.mkdir()
    target.write_text("an older one")

    export(settings, "marts.fact_order_items", target)

    query = "select * from {} order by fact_key"
    with duckdb.connect() as connection:
        found = connection.sql(query.format("read_parquet(?)"), params=[str(target)])
        types, rows = found.types, found.fetchall()
    assert rows == demonstration.lakehouse.published(
        query.format("marts.fact_order_items")
    )
    assert "DECIMAL(18,6)" in map(str, types)
    assert list(target.parent.iterdir()) == [target]


def test_a_table_as_csv_tells_null_from_nothing_and_has_lists_as_json(
    settings: Settings, demonstration: Demonstration, tmp_path: Path
) -> None:
    target = tmp_path / "artists.csv"

    export(settings, "marts.dim_artists", target)

    with target.open(encoding="utf-8", newline="") as lines:
        found = {row["artist_id"]: row for row in csv.DictReader(lines)}
    published = demonstration.lakehouse.published(
        "select artist_id, artist_name, aliases, artist_mbid from marts.dim_artists"
    )
    assert len(found) == len(published)
    for artist_id, name, aliases, mbid in published:
        row = found[artist_id]
        assert row["artist_name"] == name
        assert json.loads(row["aliases"]) == aliases
        assert row["artist_mbid"] == (mbid or "")
    assert any(aliases for _, _, aliases, _ in published)
    assert not all(name.isascii() for _, name, _, _ in published)
    # The unknown artist: the id is nothing, the id at MusicBrainz is not known.
    assert ',"",,Unknown,[],' in target.read_text("utf-8")


def test_a_saved_query_is_answered_from_what_is_published(
    settings: Settings, demonstration: Demonstration, tmp_path: Path
) -> None:
    target = tmp_path / "months.parquet"

    export(settings, "sales_by_month", target)

    rows = [
        (
            *(row[name] for name in ("metric_time__month", "revenue", "items_sold")),
            *(row[name] for name in ("orders", "buyers")),
        )
        for row in pq.read_table(target).to_pylist()
        if row["items_sold"]
    ]
    assert rows == demonstration.lakehouse.published(
        "select month_date::timestamp, revenue_usd, item_count, order_count,"
        " buyer_count from reports.sales_per_month_vw order by month_date"
    )
    assert [type(value) for value in rows[0]] == [datetime, Decimal, int, int, int]


def test_a_role_exports_what_it_may_see(settings: Settings, tmp_path: Path) -> None:
    modes = {}
    for role in (None, "analyst"):
        target = tmp_path / f"{role}.csv"
        export(settings, "marts.dim_users", target, role)
        modes[role] = stat.S_IMODE(target.stat().st_mode)
        header = target.read_text("utf-8").partition("\n")[0].split(",")
        assert ("user_lastname" in header) == (role is None)
    # As the databases: what holds names is for those who run the lakehouse.
    assert modes[None] == 0o600
    assert modes["analyst"] & 0o044
    with pytest.raises(ExportError, match="price_usd"):
        export(settings, "sales_by_month", tmp_path / "months.csv", "marketing")


@pytest.fixture
def shelf(tmp_path: Path) -> Settings:
    """Return the settings of a lakehouse that has published two small databases."""
    settings = Settings(tmp_path / "home", None, None, None)
    for path in ("deftunes.duckdb", "roles/analyst.duckdb"):
        file = settings.serving / path
        file.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(file) as connection:
            connection.execute("create schema marts")
            connection.execute(
                "create table marts.cells (cell varchar, amount decimal(9, 2), n int)"
            )
            connection.executemany(
                "insert into marts.cells values (?, ?, ?)",
                [(cell, Decimal("-1.50"), -7) for cell in CELLS],
            )
    return settings


FORMULAS = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "＠x"]  # noqa: RUF001
CELLS = [*FORMULAS, "a=1", "'=1", "", None, "It's @ 5", "1-2", "\u4e00=1"]


def test_no_cell_of_a_csv_is_a_formula_and_numbers_stay_numbers(
    shelf: Settings, tmp_path: Path
) -> None:
    export(shelf, "marts.cells", tmp_path / "cells.csv")
    with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as lines:
        _, *rows = csv.reader(lines)
    plain = ["" if cell is None else cell for cell in CELLS[len(FORMULAS) :]]
    assert [row[0] for row in rows] == [f"'{cell}" for cell in FORMULAS] + plain
    assert {(row[1], row[2]) for row in rows} == {("-1.50", "-7")}
    export(shelf, "marts.cells", tmp_path / "cells.parquet")
    assert pq.read_table(tmp_path / "cells.parquet")["cell"].to_pylist() == CELLS


@pytest.mark.parametrize(
    "role", ["../deftunes", "", ".", "*", "analyst/../../deftunes", "ANALYST", "{home}"]
)
def test_only_a_published_role_is_a_role(
    shelf: Settings, tmp_path: Path, role: str
) -> None:
    named = role.format(home=shelf.serving / "deftunes")
    with pytest.raises(ExportError, match=r"There is no role .* analyst\. .*dbt build"):
        export(shelf, "marts.cells", tmp_path / "cells.csv", named)
    assert not (tmp_path / "cells.csv").exists()
    export(shelf, "marts.cells", tmp_path / "cells.csv", "analyst")


@pytest.mark.parametrize(
    ("name", "target", "role", "reason"),
    [
        ("sales", "sales.csv", None, r"'sales'\. Saved queries: .*sales_by_song\."),
        ("sales_by_artst", "x.csv", None, r"Did you mean sales_by_artist"),
        ("dim_dates", "days.csv", None, r"Did you mean marts\.dim_date\?"),
        ("marts.dim_date", "days.xlsx", None, r"\.csv or \.parquet"),
        ("marts.dim_date", "no such folder/days.csv", None, "There is .*such folder$"),
        ("marts.dim_date", "days.csv", "nobody", r"nobody\.duckdb.*dbt build"),
    ],
)
def test_what_cannot_be_exported_is_said_and_leaves_nothing(
    settings: Settings,
    tmp_path: Path,
    name: str,
    target: str,
    role: str | None,
    reason: str,
) -> None:
    with pytest.raises(ExportError, match=reason):
        export(settings, name, tmp_path / target, role)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", ["", "NAME=marts.dim_date", "TO=days.csv"])
def test_make_asks_for_what_is_missing(given: str) -> None:
    made = subprocess.run(
        # What is to be set up is no matter of this test.
        ["make", "--old-file=setup", "export", *given.split()],  # noqa: S607
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert made.returncode == 2
    assert "make export NAME=" in made.stderr


def test_the_command_says_what_to_do_before_anything_is_published(
    demonstration: Demonstration, tmp_path: Path
) -> None:
    def run(home: Path) -> subprocess.CompletedProcess[str]:
        command = ["marts.dim_date", str(tmp_path / "days.csv")]
        return subprocess.run(
            [sys.executable, str(PROJECT / "scripts" / "export.py"), *command],
            env=demonstration.lakehouse.environment({"DEFTUNES_HOME": str(home)}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    nothing = run(tmp_path)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "`dbt build` publishes it." in nothing.stderr
    done = run(demonstration.lakehouse.home)
    ((days,),) = demonstration.lakehouse.published(
        "select count(*) from marts.dim_date"
    )
    assert (done.returncode, done.stdout) == (
        0,
        f"Wrote {days:,} rows to {tmp_path / 'days.csv'}\n",
    )
