"""The boards: every number equals that of the star, and no person is named."""

import os
import re
import shutil
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml  # type: ignore[import-untyped]
from conftest import Demonstration
from deftunes import dashboard
from deftunes.dashboard import (
    BOARDS,
    MADE_UP,
    NAMES,
    DashboardError,
    draw,
    explore,
    for_page,
    for_phone,
)
from deftunes.settings import PROJECT
from jinja2 import Environment, StrictUndefined

PERSONAL = {
    *("user_id", "user_name", "user_lastname", "place_name", "latitude", "longitude"),
    *("session_id", "record_id", "payload"),
}
CHANNELS = ("x", "y", "color", "value")
# They join and count sessions, and show none.
COUNTED = (
    "count(distinct session_id)",
    "count(session_id)",
    "sold.session_id = orders.order_id",
)
FIGURES = """
select
    format('{:,d}', sum(price_usd)::decimal(18, 0)::bigint) as revenue,
    format('{:,d}', count(*)) as items,
    format('{:,d}', count(distinct user_id)) as buyers,
    (sum(price_usd) / count(distinct session_id))::decimal(18, 2)::varchar as value
from marts.fact_order_items
inner join marts.dim_users using (user_key)
"""


def board(name: str) -> dict[str, Any]:
    """Return the content of a board's YAML file."""
    held: dict[str, Any] = yaml.safe_load(
        (BOARDS / "charts" / f"{name}.yml").read_text("utf-8")
    )
    return held


def queries(held: dict[str, Any]) -> dict[str, str]:
    """Return the SQL of a board's queries, with those of the files that it extends."""
    found = dict(held["queries"])
    while "extends" in held:
        file = BOARDS / "parts" / Path(held["extends"]).name
        held = yaml.safe_load(file.read_text("utf-8"))
        found = held["queries"] | found
    return found


def rendered(held: dict[str, Any]) -> dict[str, str]:
    """Return the SQL of a board's queries as it is with no filter set."""

    class Queries:
        def __getitem__(self, name: str) -> str:
            return f"({render(found[name])}) as {name}"

    def render(text: str) -> str:
        return environment.from_string(text).render(
            queries=Queries(),
            filter=lambda *_: "true",
            period="'Last 91 days'",
            **dict.fromkeys(("from_date", "to_date", "country", "artist", "currency")),
        )

    found = queries(held)
    environment = Environment(undefined=StrictUndefined)  # noqa: S701  it is SQL
    return {name: render(text) for name, text in found.items()}


def shown(page: Path) -> list[str]:
    """Return the text of each drawing of a dashboard, its parts separated by spaces."""
    drawings = re.findall(r'srcdoc="([^"]*)"', page.read_text("utf-8"))
    return [
        re.sub(
            r"\s+",
            " ",
            re.sub(
                r"<(style|script).*?</\1>|<[^>]*>", " ", unescape(drawing), flags=16
            ),
        )
        for drawing in drawings
    ]


@pytest.fixture
def reader(demonstration: Demonstration) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the analysts' published database, as a BI tool does."""
    published = demonstration.settings.serving / dashboard.ANALYST
    with duckdb.connect(str(published), read_only=True) as held:
        yield held


def test_the_dashboard_shows_the_figures_of_the_star_on_every_screen(
    demonstration: Demonstration, reader: duckdb.DuckDBPyConnection
) -> None:
    ((revenue, items, buyers, value),) = reader.execute(FIGURES).fetchall()
    ((rejected,),) = reader.execute(
        "select sum(landed_count - loaded_count) from quality.batch_reconciliation"
    ).fetchall()
    batches = len(list(demonstration.settings.landing.glob("[!.]*/_batch_id=*")))
    left_by_a_kill = demonstration.settings.serving / ".dashboard-killed"
    left_by_a_kill.mkdir()
    os.utime(left_by_a_kill, (0, 0))

    page = draw(demonstration.settings)

    boards = [shown(page)[at : at + 2] for at in range(0, 2 * len(NAMES), 2)]
    sales, songs, customers, churn, quality = boards
    said = MADE_UP.strip("* ") + " Sales until 28 Feb 2023. Published "
    days = "1 Jan to 28 Feb 2023"
    for screen in (0, 1):
        assert all(said in board[screen] for board in boards)
        for figure in (
            f" $ {revenue} Revenue, {days} ",
            f" {items} Songs Bought, {days} ",
            f" {buyers} Buyers, {days} ",
            f" $ {value} Average Order Value, {days} ",
        ):
            assert figure in sales[screen]
        assert " Too few complete months: 1 of 4 errors are known. " in sales[screen]
        # Of January it is not known who had bought before.
        assert " Had Bought Before, 1 Feb to 28 Feb 2023 " in customers[screen]
        assert f" $ {revenue} Revenue, {days} " in songs[screen]
        assert f" {buyers} Buyers, {days} " in customers[screen]
        assert f" {batches} Batches So Far " in quality[screen]
        assert f" {rejected} Records Rejected So Far 0 Records" in quality[screen]
        assert " No buyer has a score; " in churn[screen]
    drawings = unescape(page.read_text("utf-8"))
    for name in NAMES:
        # Two months are not enough for a forecast.
        for chart in board(name)["charts"].keys() - {"churn", "forecast"}:
            assert drawings.count(f'data-chart-id="{chart}"') >= 2
    assert not re.search(r"(src|href)=.?https?:|url\(.?https?:", drawings)
    assert page == demonstration.lakehouse.home / "serving" / "dashboard.html"
    assert not list(page.parent.glob(".dashboard*"))


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_has_data_and_the_same_each_time(
    name: str, reader: duckdb.DuckDBPyConnection
) -> None:
    held = board(name)
    results = {}
    for query, text in rendered(held).items():
        found = reader.sql(text)
        rows = found.fetchall()
        results[query] = {
            column: [row[at] for row in rows] for at, column in enumerate(found.columns)
        }
        with reader.cursor() as other:
            # The order of what is equal would differ, unless the query decides it.
            other.execute("set threads = 1")
            again = other.execute(text).fetchall()
            if query in {chart["query"] for chart in held["charts"].values()}:
                assert again == rows
    # The models of machine learning are not built here, and two months are not enough
    # for a forecast.
    charts = [
        each
        for each in held["charts"].values()
        if each["query"] not in ("churn", "forecast")
    ]
    for chart in charts:
        columns = results[chart["query"]]
        assert not PERSONAL & columns.keys()
        drawn = [chart[channel] for channel in CHANNELS if channel in chart]
        for column in drawn or columns:
            for each in [column] if isinstance(column, str) else column:
                assert each in columns
                # There are no days before the first, nor 3 months after it, nor 30
                # days after February.
                if not re.search(r"_change$|^month_|^value_", each):
                    assert any(value is not None for value in columns[each]), each


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_stacked_bars_have_no_straight_apostrophe(
    name: str, demonstration: Demonstration, tmp_path: Path
) -> None:
    """In a tiny bar, dbt Charts takes it for the end of a text and draws nothing."""
    held, copy = board(name), tmp_path / "analyst.duckdb"
    shutil.copyfile(demonstration.settings.serving / dashboard.ANALYST, copy)
    with duckdb.connect(str(copy)) as reader:
        reader.execute("update marts.dim_users set country_name = 'Côte d''Ivoire'")
        texts = rendered(held)
        for chart in held["charts"].values():
            if "stack" in chart.get("style", {}):
                found = reader.sql(texts[chart["query"]])
                labels = found.select(chart["x"], chart["color"]).fetchall()
                assert labels
                assert "'" not in " ".join(str(each) for row in labels for each in row)


def test_features_and_buyers_add_up_to_the_star(
    reader: duckdb.DuckDBPyConnection,
) -> None:
    totals = "sum(item_count), sum(revenue_usd)"
    ((items, revenue),) = reader.execute(
        "select count(*), sum(price_usd) from marts.fact_order_items"
    ).fetchall()
    for report in ("decade", "duration", "artist_hotness", "month"):
        sales = reader.table(f"reports.sales_per_{report}_vw")
        assert sales.aggregate(totals).fetchall() == [(items, revenue)]
    ((buyers, earned),) = (
        reader.table("reports.buyers_per_order_count_vw")
        .aggregate("sum(buyer_count), sum(revenue_usd)")
        .fetchall()
    )
    assert earned == revenue
    ((asked, ordered),) = reader.execute(
        "select sum(user_count),"
        " sum(user_count) filter (band not like 'No order%')"
        " from reports.users_per_days_to_first_order_vw"
    ).fetchall()
    ((users,),) = reader.execute(
        "select count(distinct user_id) from marts.dim_users where user_id <> ''"
    ).fetchall()
    assert (ordered, asked) == (buyers, users)


def test_boards_name_no_person_and_are_exposed_with_what_they_read() -> None:
    exposed = yaml.safe_load(
        (PROJECT / "models" / "reports" / "_exposures.yml").read_text("utf-8")
    )["exposures"]
    read = {}
    for name in NAMES:
        text = " ".join(queries(board(name)).values())
        for counted in COUNTED:
            text = text.replace(counted, "")
        assert not PERSONAL & set(re.findall(r"\w+", text))
        tables = re.findall(r"\b(?:from|join) \w+\.(\w+)", text)
        read[f"board_{name}"] = sorted(f"ref('{table}')" for table in set(tables))
    assert read == {
        exposure["name"]: sorted(exposure["depends_on"])
        for exposure in exposed
        if exposure["name"].startswith("board_")
    }


def test_a_phone_shows_one_chart_beside_another_only_if_both_are_figures() -> None:
    charts = {name: {"type": "kpi"} for name in "abc"} | {"d": {"type": "bar"}}
    rows = [{"cols": ["a", "b", "c"]}, "d", {"rows": [{"cols": ["a", "d"]}]}]
    held = {"charts": charts, "rows": rows, "extends": "./base.yml"}
    assert for_phone(held)["rows"] == [
        *({"cols": ["a", "b"]}, {"cols": ["c"]}, "d", {"rows": ["a", "d"]}),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_page_needs_no_server(name: str) -> None:
    assert "link" not in re.findall(r"\w+", yaml.safe_dump(for_page(board(name))))


def test_a_board_that_cannot_be_drawn_leaves_the_last_page(
    demonstration: Demonstration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = demonstration.settings.serving / "dashboard.html"
    page.write_text("the last one")
    boards = shutil.copytree(BOARDS, tmp_path / "boards")
    broken = board("data_quality")
    broken["charts"]["rejected"]["value"] = "no_such_column"
    (boards / "charts" / "broken.yml").write_text(yaml.safe_dump(broken))
    monkeypatch.setattr(dashboard, "BOARDS", boards)
    monkeypatch.setattr(dashboard, "NAMES", ("broken",))
    with pytest.raises(DashboardError, match=r"rejected(.|\n)*no_such_column"):
        draw(demonstration.settings)
    assert page.read_text() == "the last one"


def test_without_machine_learning_there_is_no_board_of_churn(
    demonstration: Demonstration, tmp_path: Path
) -> None:
    analyst = tmp_path / "serving" / dashboard.ANALYST
    analyst.parent.mkdir(parents=True)
    shutil.copyfile(demonstration.settings.serving / dashboard.ANALYST, analyst)
    settings = type(demonstration.settings)(tmp_path, None, None, None)
    assert [*dashboard._boards(settings)] == [*dashboard.NAMES]
    with duckdb.connect(str(analyst)) as published:
        published.execute("drop schema ml cascade")
    assert {*dashboard.NAMES} - {*dashboard._boards(settings)} == {"churn"}


def test_nothing_is_drawn_before_anything_is_published(
    demonstration: Demonstration, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere = type(demonstration.settings)(tmp_path, None, None, None)
    with pytest.raises(DashboardError, match="dbt build"):
        draw(nowhere)
    with pytest.raises(DashboardError, match="dbt build"):
        explore(nowhere, 0)
    monkeypatch.setattr(dashboard, "find_spec", lambda _: None)
    with pytest.raises(DashboardError, match=r"Python 3\.11 to 3\.13"):
        draw(demonstration.settings)
