"""Every metric equals plain SQL over the star, and the value in the reports."""

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from conftest import WITHOUT_TESTS, Lakehouse, song
from deftunes.metrics import engine
from deftunes.settings import PROJECT
from demo_sources import postgres
from demo_sources.service import Records

START, END = date(2023, 2, 1), date(2024, 4, 1)

TOLD_IN = """
with months as (
    select distinct date_trunc('month', date) as month from marts.dim_date
), items as (
    select *, date_trunc('month', session_start_time) as month
    from marts.fact_order_items
    inner join (select * exclude (artist_key, song_id) from marts.dim_songs)
        using (song_key)
), sessions as (
    select
        person_key, user_key, session_id, local_date, local_hour,
        min(session_start_time) as moment
    from items
    group by all
), orders as (
    select
        *,
        date_trunc('month', moment) as month,
        moment::date as day,
        max(moment::date) over () as last_day,
        lag(moment::date) over ordered as previous,
        lead(moment::date) over ordered as following
    from sessions
    window ordered as (partition by person_key order by moment, session_id)
), users as (
    select *, date_trunc('month', user_since) as month
    from marts.dim_users
    where is_current and user_since is not null
)
"""
"""What the expectations below are told in."""

OF_ITEMS = {
    "revenue": "sum(price_usd)",
    "items_sold": "count(*)",
    "orders": "count(distinct session_id)",
    "average_order_value": "sum(price_usd) / count(distinct session_id)",
    "buyers": "count(distinct person_key)",
    "items_liked": "count(*) filter (where liked)",
    "items_judged": "count(liked)",
    "like_rate": "count(*) filter (where liked) / count(liked)",
    "catalogue_coverage": "count(*) filter (where not is_inferred) / count(*)",
    "average_song_age": "avg(year(session_start_time) - year)",
    "revenue_per_buyer": "sum(price_usd) / count(distinct person_key)",
}
OF_ORDERS = {
    "ordering_buyers": "count(distinct person_key)",
    "new_buyers": "count(*) filter (where previous is null)",
    "repeat_buyers": "count(distinct person_key) filter (where previous is not null)",
    "repeat_purchase_rate": "count(distinct person_key) filter"
    " (where previous is not null) / count(distinct person_key)",
    "retained_buyers": "count(distinct person_key) filter (where day - previous <= 90)",
    "observed_buyers": "count(distinct person_key) filter (where last_day - day >= 90)",
    "churned_buyers": "count(distinct person_key) filter"
    " (where last_day - day >= 90 and coalesce(following - day > 90, true))",
    "churn_rate_90_days": "count(distinct person_key) filter"
    " (where last_day - day >= 90 and coalesce(following - day > 90, true))"
    " / nullif(count(distinct person_key) filter (where last_day - day >= 90), 0)",
}
BUYERS = "(select count(distinct person_key) from orders where orders.month {})"
REVENUE = "coalesce((select sum(price_usd) from items where items.month {}), 0)"
OF_MONTHS = {
    "cumulative_revenue": REVENUE.format("<= months.month"),
    "cumulative_buyers": BUYERS.format("<= months.month"),
    "customer_lifetime_value": "{} / nullif({}, 0)".format(
        REVENUE.format("<= months.month"), BUYERS.format("<= months.month")
    ),
    "revenue_month_over_month": "{} / nullif({}, 0) - 1".format(
        REVENUE.format("= months.month"),
        REVENUE.format("= months.month - interval 1 month"),
    ),
    "revenue_year_over_year": "{} / nullif({}, 0) - 1".format(
        REVENUE.format("= months.month"),
        REVENUE.format("= months.month - interval 1 year"),
    ),
    "sign_ups": "(select count(*) from users where users.month = months.month)",
    "sign_up_conversion_30_days": "(select count(*) filter (where exists ("
    "select * from orders where orders.person_key = users.person_key"
    " and moment::date between user_since::date and user_since::date + 30))"
    " / nullif(count(*), 0) from users where users.month = months.month)",
}

FILLED = {
    *("revenue", "items_sold", "buyers", "items_liked", "items_judged", "orders"),
    *("ordering_buyers", "new_buyers", "repeat_buyers", "retained_buyers"),
    *("observed_buyers", "churned_buyers", "sign_ups", "cumulative_revenue"),
    "cumulative_buyers",
}
"""What is 0 where nothing happened; all else is unknown there."""


def bands(column: str) -> str:
    """Return the band of 0.2 that a column is in."""
    whens = (
        f"when {column} < {end / 10} then '{(end - 2) / 10} to {end / 10}'"
        for end in range(2, 24, 2)
    )
    return f"case {' '.join(whens)} else 'Unknown' end"


OF_USERS = {
    "user__country_name": "country_name",
    "user__place_name": "place_name",
    "user__is_inferred": "buyer.is_missing",
    "user__timezone": "timezone",
    "user__signed_up_at__month": "date_trunc('month', user_since)",
}
SLICES = OF_USERS | {
    "song__track_id": "track_id",
    "song__song_title": "song_title",
    "song__release": "release",
    "song__duration_band": "case when duration >= 480 then '8 or more' when duration"
    " is null then 'Unknown' else printf('%d to %d', trunc(duration / 60)::int,"
    " trunc(duration / 60)::int + 1) end",
    "song__release_year": "items.year",
    "song__decade": "items.year // 10 * 10",
    "song__is_inferred": "items.is_inferred",
    "artist__artist_id": "artist.artist_id",
    "artist__artist_name": "artist_name",
    "artist__familiarity_band": bands("artist_familiarity"),
    "artist__hotness_band": bands("artist_hotness"),
    "artist__is_inferred": "artist.is_missing",
    "order_item__local_day_of_week": "isodow(local_date)",
    "order_item__local_hour": "local_hour",
    "order_item__currency": "currency",
}
SLICES_OF_ORDERS = OF_USERS | {
    "order__local_day_of_week": "isodow(local_date)",
    "order__local_hour": "local_hour",
}
OF_ARTISTS = """
left join (
    select * exclude is_inferred, is_inferred as is_missing from marts.dim_artists
) as artist
    on items.artist_key = artist.artist_key
"""
MONTH = "metric_time__month"

SOLD = {"revenue_usd": "revenue", "item_count": "items_sold"}
ORDERED = SOLD | {"order_count": "orders"}
BOUGHT = ORDERED | {"buyer_count": "buyers"}
"""The columns of reports that are metrics: what each is called there, and here."""
YEAR, DAY = "metric_time__year", "metric_time__day"
MONTHS = {"month_date": MONTH}
COUNTRY = {"country_name": "user__country_name"}
REPORTS: list[tuple[str, dict[str, str], dict[str, str]]] = [
    ("reports.sales_per_month_vw", MONTHS, BOUGHT),
    ("reports.revenue_per_day_vw", {"date": DAY}, ORDERED),
    ("reports.sales_per_day_mv", {"date": DAY}, SOLD),
    (
        "reports.sales_per_artist_mv",
        {"artist_key": "artist", "make_date(year, 1, 1)": YEAR},
        SOLD,
    ),
    (
        "reports.sales_per_country_mv",
        COUNTRY | {"make_date(year, month, 1)": MONTH},
        SOLD,
    ),
    ("reports.sales_per_song_mv", {"song_key": "song"}, SOLD),
    ("reports.top_songs_per_country_mv", {"song_key": "song"} | COUNTRY, SOLD),
    ("reports.sales_per_decade_vw", {"decade": "song__decade"}, SOLD),
    ("reports.sales_per_duration_vw", {"minutes_name": "song__duration_band"}, SOLD),
    (
        "reports.sales_per_artist_hotness_vw",
        {"hotness_name": "artist__hotness_band"},
        SOLD,
    ),
    (
        "reports.buyers_per_order_count_vw",
        {},
        {"revenue_usd": "revenue", "buyer_count": "buyers"}
        | {"order_count * buyer_count": "orders"},
    ),
    (
        "reports.buyer_cohorts_mv",
        {"cohort_date + to_months(months_since)": MONTH},
        {"revenue_usd": "revenue", "buyer_count": "buyers"},
    ),
    (
        "reports.buyer_cohorts_mv where months_since = 0",
        {"cohort_date": MONTH},
        {"buyer_count": "new_buyers"},
    ),
    (
        "reports.users_per_days_to_first_order_vw where band <> 'No order yet'",
        {},
        {"user_count": "buyers"},
    ),
    ("marts.fact_orders", {"date_trunc('month', session_start_time)": MONTH}, SOLD),
]
"""Where a report shows metrics: by which of its columns, and which metrics."""
Ask = Callable[[list[dict[str, list[str]]]], list[list[list[Any]]]]


def session(number: int, user: str, start: str, *items: dict[str, Any]) -> str:
    """Return a session as a record of the API."""
    return json.dumps(
        {
            "user_id": user,
            "session_id": f"s{number}",
            "session_items": items,
            "user_agent": "Opera",
            "session_start_time": start,
        }
    )


def item(track: str, price: float, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a purchased item."""
    return {
        "song_id": track,
        "song_name": "A song",
        "artist_id": None,
        "artist_name": None,
        "price": price,
        "currency": "USD",
        "liked": False,
        "liked_since": None,
    } | more


def user(user_id: str, since: str | None, *place: str) -> str:
    """Return a user as a record of the API."""
    return json.dumps(
        {
            "user_id": user_id,
            "user_name": "Ann",
            "user_lastname": "Bo",
            "user_location": ["38.71667", "-9.13333", *place],
            "user_since": since,
        }
    )


USERS = [
    user("early", "2023-02-10T12:00:00", "Lisbon", "PT", "Europe/Lisbon"),
    user("loyal", "2023-02-20T00:00:00", "Tokyo", "JP", "Asia/Tokyo"),
    user("late", "2023-03-01T00:00:00", "Tokyo", "JP", "Asia/Tokyo"),
    user("never", "2023-03-31T23:59:59", "Nowhere", "ZZ", "Mars/Base"),
    user("undated", None, "Lisbon", "PT", "Europe/Lisbon"),
]
SESSIONS = [
    # On the 30th day after the sign-up, and twice the same song.
    session(1, "early", "2023-03-12T23:00:00", item("TR1", 1.29), item("TR1", 1.29)),
    session(2, "loyal", "2023-02-20T00:00:00", item("TR2", 0.99, liked=True)),
    session(3, "loyal", "2023-02-20T00:00:00", item("TR3", 2, liked=None)),
    session(4, "loyal", "2023-05-21T10:00:00", item("TR1", 1.5, artist_id="AR1")),
    session(5, "loyal", "2023-08-20T10:00:00", item("TR9", 3, artist_id="AR9")),
    # A day too late to be a conversion, in a currency of its own.
    session(6, "late", "2023-04-01T00:00:00", item("TR2", 10, currency="EUR")),
    # Of whom no extract tells.
    session(7, "stranger", "2023-03-31T23:30:00", item("SO2", 0.5)),
    session(8, "undated", "2023-03-31T23:30:00", item("TR2", 0)),
    session(9, "undated", "2024-03-15T00:00:00", item("TR1", 7.77)),
    # Nothing bought, so no order.
    session(10, "never", "2023-04-02T00:00:00"),
]
SONGS = [
    song(1)
    | {"track_id": "TR1", "song_id": "SO1", "artist_id": "AR1", "year": 1999}
    | {"artist_hotttnesss": 0.6, "artist_familiarity": 0.8, "duration": 480.0},
    song(2)
    | {"track_id": "TR2", "song_id": "SO2", "artist_id": "AR2", "year": 2023}
    | {"artist_familiarity": float("nan"), "duration": 59.9, "release": "One"},
    song(3)
    | {"track_id": "TR3", "song_id": "SO3", "artist_id": "AR2", "year": 0}
    | {"artist_familiarity": float("nan"), "duration": 60.0},
]


@pytest.fixture(scope="module")
def shop(lakehouses: Callable[[Path], Lakehouse], rates: Path) -> Lakehouse:
    """Return a lakehouse with irregular purchases, and months without purchases."""
    lakehouse = lakehouses(rates)
    texts = [[text.encode() for text in records] for records in (USERS, SESSIONS)]
    table = pa.Table.from_pylist(SONGS, postgres.SONGS_SCHEMA)
    lakehouse.land(Records(*texts), [table], START, END)
    lakehouse.build(*WITHOUT_TESTS)
    return lakehouse


@pytest.fixture(scope="module")
def ask(shop: Lakehouse) -> Ask:
    """Return a function that queries MetricFlow."""
    # MetricFlow reads what dbt has parsed from the project's own folder.
    parsed = [str(Path(sys.executable).with_name("dbt")), "--quiet", "parse"]
    subprocess.run(parsed, cwd=PROJECT, env=shop.environment(), check=True)

    def asked(queries: list[dict[str, list[str]]]) -> list[list[list[Any]]]:
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("metricflow_process.py"))],
            input=json.dumps(queries),
            cwd=PROJECT,
            env=shop.environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: list[list[list[Any]]] = json.loads(done.stdout.splitlines()[-1])
        return answers

    return asked


def plain(value: Any) -> Any:  # noqa: ANN401 - any value of a table
    """Return a value in a common form for JSON and DuckDB."""
    text = str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, datetime | date) or text[10:] in ("T00:00:00", " 00:00:00"):
        return text[:10]
    try:
        number = round(float(text), 5)
    except ValueError:
        return text
    return None if math.isnan(number) else number


def table(rows: list[Any], metrics: list[str]) -> dict[Any, list[Any]]:
    """Return rows by their group keys, with 0 for missing values."""
    found = {}
    for key, *values in rows:
        assert plain(key) not in found, (metrics, rows)
        found[plain(key)] = [
            0.0 if value is None and metric in FILLED else plain(value)
            for metric, value in zip(metrics, values, strict=True)
        ]
    return found


def expected(shop: Lakehouse, query: str, metrics: list[str]) -> dict[Any, list[Any]]:
    """Return the result of SQL over the star."""
    with shop.lake() as connection:
        connection.execute("set timezone = 'UTC'")
        return table(connection.execute(TOLD_IN + query).fetchall(), metrics)


def test_by_month(shop: Lakehouse, ask: Ask) -> None:
    """Months without a sale are included."""
    for source, known in (("items", OF_ITEMS), ("orders", OF_ORDERS), ("", OF_MONTHS)):
        metrics = list(known)
        values = ", ".join(f"{known[name]} as {name}" for name in metrics)
        if source:
            query = f"""
                select months.month, found.* exclude (month)
                from months
                left join (select month, {values} from {source} group by month) as found
                    on months.month = found.month
            """  # noqa: S608 - our own
        else:
            query = f"select month, {values} from months"  # noqa: S608 - our own
        right = expected(shop, query, metrics)
        nothing = dict.fromkeys(metrics)
        for name, answer in zip(
            metrics,
            ask([{"metrics": [name], "group_by": [MONTH]} for name in metrics]),
            strict=True,
        ):
            found = table(answer, [name])
            # Of users nobody knows when they signed up, so nothing is counted there.
            assert found.pop(None, None) in (None, [0.0], [None])
            assert found.keys() <= right.keys(), name
            for month, values_of_month in right.items():
                told = found.get(month, list(table([[0, nothing[name]]], [name])[0]))
                assert told == [values_of_month[metrics.index(name)]], (name, month)


@pytest.mark.parametrize(
    ("source", "known", "slices"),
    [("items", OF_ITEMS, SLICES), ("orders", OF_ORDERS, SLICES_OF_ORDERS)],
)
def test_by_slice(
    shop: Lakehouse,
    ask: Ask,
    source: str,
    known: dict[str, str],
    slices: dict[str, str],
) -> None:
    """Unknown songs and artists, and users without a country, are included."""
    metrics = list(known)
    queries = [{"metrics": metrics, "group_by": [name]} for name in slices]
    for (name, expression), answer in zip(slices.items(), ask(queries), strict=True):
        values = ", ".join(known.values())
        query = f"""
            select {expression}, {values}
            from {source}
            left join (from marts.dim_users select * exclude (person_key, is_inferred),
                is_inferred as is_missing) as buyer
                on {source}.user_key = buyer.user_key
            {OF_ARTISTS if source == "items" else ""}
            group by 1
        """  # noqa: S608 - our own
        assert table(answer, metrics) == expected(shop, query, metrics), name


def shown() -> list[tuple[str, dict[str, str], dict[str, str]]]:
    """Return all reports and analyses that show metrics, as subqueries."""
    analysis = (PROJECT / "analyses/best_selling_songs_per_country.sql").read_text()
    songs = re.sub(r"{{ ref\('(\w+)'\) }}", r"marts.\1", analysis)
    return [
        *REPORTS,
        # All songs, not the best three.
        (f"({songs.replace('<= 3', '<= 99')})", COUNTRY, {"revenue_usd": "revenue"}),
    ]


def figures(rows: list[Any], keys: int) -> dict[tuple[Any, ...], list[Any]]:
    """Return rows by their group keys, without empty ones."""
    found = {
        tuple(map(plain, row[:keys])): [plain(value) or 0.0 for value in row[keys:]]
        for row in rows
    }
    assert len(found) == len(rows)
    return {key: values for key, values in found.items() if any(values)}


def test_reports_show_the_metrics(shop: Lakehouse, ask: Ask) -> None:
    cases = shown()
    queries = [
        {"metrics": [*metrics.values()], "group_by": [*keys.values()]}
        for _, keys, metrics in cases
    ]
    with shop.lake() as connection:
        connection.execute("set timezone = 'UTC'")
        for (source, keys, metrics), answer in zip(cases, ask(queries), strict=True):
            columns = [*keys, *(f"sum({column})" for column in metrics)]
            rows = connection.execute(
                f"select {', '.join(columns)} from {source} group by all"  # noqa: S608
            ).fetchall()
            assert figures(rows, len(keys)) == figures(answer, len(keys)), source


def test_two_metrics_together_have_one_row_per_year(ask: Ask) -> None:
    pairs = [
        pair
        for known in (OF_ITEMS, OF_ORDERS)
        for pair in combinations(sorted(known.keys() & FILLED), 2)
    ]
    answers = ask([{"metrics": [*pair], "group_by": [YEAR]} for pair in pairs])
    for pair, answer in zip(pairs, answers, strict=True):
        years = [plain(year) for year, *_ in answer]
        assert len(years) == len(set(years)), pair


def test_every_figure_of_a_report_is_compared() -> None:
    for path in PROJECT.glob("models/reports/[!_]*.yml"):
        for model in yaml.safe_load(path.read_text("utf-8")).get("models", []):
            compared = " ".join(
                " ".join(metrics)
                for source, _, metrics in REPORTS
                if source.split()[0] == f"reports.{model['name']}"
            )
            columns = {column["name"] for column in model["columns"]}
            missing = (BOUGHT.keys() & columns) - set(re.findall(r"\w+", compared))
            assert not missing, model["name"]


def test_every_metric_is_compared() -> None:
    text = (PROJECT / "models" / "semantic" / "metrics.yml").read_text()
    defined = {metric["name"] for metric in yaml.safe_load(text)["metrics"]}
    assert defined == OF_ITEMS.keys() | OF_ORDERS.keys() | OF_MONTHS.keys()


@pytest.mark.usefixtures("ask")
def test_every_dimension_is_described_and_compared() -> None:
    parsed = PROJECT / "target" / "semantic_manifest.json"
    compared = {re.sub("__month$", "", name) for name in SLICES | SLICES_OF_ORDERS}
    for metric in engine(parsed).list_metrics():
        # `metric_time` has no entity.
        for dimension in filter(lambda each: each.entity_links, metric.dimensions):
            assert dimension.label, dimension
            assert dimension.description, dimension
            name = dimension.granularity_free_dunder_name
            # The time is `metric_time`. Only the age of a song has each dimension by a
            # second way.
            if dimension.name != "ordered_at" and metric.name != "average_song_age":
                assert name in compared, metric.name
