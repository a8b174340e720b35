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
from fill_overview import TIMES

AGENTS = [
    "Opera/8.77.(X11; Linux x86_64; lb-LU) Presto/2.9.170",
    "Mozilla/5.0 (Android 14; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0",
    "not a browser",
]
WINDOWS = [
    (date(2023, 2, 3), date(2023, 9, 16)),
    (date(2023, 10, 1), date(2024, 3, 21)),
]
"""What is landed, each without its end: two weeks are missing, the last one is open."""

TOLD_IN = """
with landed as (
    select day::date as day, date_trunc('month', day) as month
    from (values {WINDOWS}) as windows (first, beyond),
        unnest(generate_series(first, beyond - 1, interval 1 day)) as days (day)
), months as (
    select distinct month, month = (select min(month) from landed) as is_first
    from landed
), known as (
    select
        month,
        is_first,
        (select count(*) from landed where landed.month = months.month)
        = day(last_day(month)) as is_complete,
        (
            select count(*) from landed
            where day between months.month and last_day(months.month + interval 1 month)
        ) = last_day(month + interval 1 month) - month::date + 1 as shows_next,
        (
            select count(*) from landed
            where day between months.month and last_day(months.month) + 90
        ) = last_day(month) + 91 - month::date as shows_churn,
        (
            select count(*) from landed
            where day between months.month and last_day(months.month) + 30
        ) = last_day(month) + 31 - month::date as shows_conversion
    from months
), items as (
    select * from (
        select *, date_trunc('month', session_start_time) as month
        from marts.fact_order_items
        inner join (select * exclude (artist_key, track_id) from marts.dim_songs)
            using (song_key)
    ) inner join known using (month)
), visits as (
    select * from (
        select
            *,
            date_trunc('month', session_start_time) as month,
            session_id in (select session_id from items) as is_order
        from marts.fact_sessions
    ) inner join known using (month)
), sessions as (
    select
        person_key, user_key, session_id, local_date, local_hour,
        min(session_start_time) as moment, sum(price_usd) as revenue_usd
    from items
    group by all
), orders as (
    select
        * exclude (order_month),
        moment::date as day,
        lag(moment::date) over ordered as previous,
        lead(moment::date) over ordered as following
    from (
        select *, date_trunc('month', moment) as order_month
        from sessions
    )
    inner join known on order_month = known.month
    window ordered as (partition by person_key order by moment, session_id)
), buyer_months as (
    select
        orders.*,
        exists (
            select * from sessions
            where sessions.person_key = orders.person_key
                and date_trunc('month', sessions.moment)
                = orders.month + interval 1 month
        ) as comes_back,
        not coalesce(following - day <= 90, false) as is_lost
    from orders
    where coalesce(date_trunc('month', following) > month, true)
), cohorts as (
    select
        person_key,
        min(month) as month,
        any_value(shows_churn) filter (where previous is null) as shows_churn,
        any_value(is_first) filter (where previous is null) as is_first,
        sum(revenue_usd) filter (where day <= first_day + 90) as value
    from (select *, min(day) over (partition by person_key) as first_day from orders)
    group by person_key
), users as (
    select *
    from (select *, date_trunc('month', user_since) as month from marts.dim_users)
    inner join known using (month)
    where is_current and user_since::date in (select day from landed)
)
""".replace(
    "{WINDOWS}",
    ", ".join(f"(date '{first}', date '{beyond}')" for first, beyond in WINDOWS),
)
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


def later(figure: str) -> str:
    """Return a figure of orders after the first landed month; null without one."""
    return f"case when bool_or(not is_first) then {figure} end"


def revenue_of(*, previous: str) -> str:
    """Return the revenue of orders after the first landed month."""
    return later(
        f"coalesce(sum(revenue_usd) filter (where not is_first and {previous}), 0)"
    )


_REPEAT = "count(distinct person_key) filter (where not is_first and previous notnull)"
OF_ORDERS = {
    "ordering_buyers": "count(distinct person_key)",
    "new_buyers": later("count(*) filter (where not is_first and previous is null)"),
    "repeat_buyers": later(_REPEAT),
    "repeat_purchase_rate": later(
        f"{_REPEAT} / count(distinct person_key) filter (where not is_first)"
    ),
    "revenue_from_new_buyers": revenue_of(previous="previous is null"),
    "revenue_from_repeat_buyers": revenue_of(previous="day - previous <= 90"),
    "revenue_from_returning_buyers": revenue_of(previous="day - previous > 90"),
}
OF_BUYER_MONTHS = {
    "retained_buyers": "sum(comes_back::int) filter (where shows_next)",
    "monthly_retention_rate": "avg(comes_back::int) filter (where shows_next)",
    "churned_buyers": "sum(is_lost::int) filter (where shows_churn)",
    "churn_rate_90_days": "avg(is_lost::int) filter (where shows_churn)",
}
OF_VISITS = {
    "sessions": "count(*)",
    "session_conversion_rate": "count(*) filter (where is_order) / count(*)",
}
BUYERS = "(select count(distinct person_key) from orders where orders.month {})"
REVENUE = "coalesce((select sum(price_usd) from items where items.month {}), 0)"
COMPLETE = "(select sum(price_usd) from items where is_complete and items.month = {})"
OF_MONTHS = {
    "cumulative_revenue": REVENUE.format("<= months.month"),
    "cumulative_buyers": BUYERS.format("<= months.month"),
    "revenue_per_buyer_to_date": "{} / nullif({}, 0)".format(
        REVENUE.format("<= months.month"), BUYERS.format("<= months.month")
    ),
    "revenue_of_complete_months": COMPLETE.format("months.month"),
    "revenue_month_over_month": "{} / {} - 1".format(
        COMPLETE.format("months.month"),
        COMPLETE.format("months.month - interval 1 month"),
    ),
    "revenue_year_over_year": "{} / {} - 1".format(
        COMPLETE.format("months.month"),
        COMPLETE.format("months.month - interval 1 year"),
    ),
    "buyer_value_90_days": "(select avg(value) from cohorts"
    " where cohorts.month = months.month and shows_churn and not is_first)",
    "sign_ups": "(select count(*) from users where users.month = months.month)",
    "sign_up_conversion_30_days": "(select avg(exists ("
    "select * from orders where orders.person_key = users.person_key"
    " and moment::date between user_since::date and user_since::date + 30)::int)"
    " from users where users.month = months.month and shows_conversion)",
    "landed_days": "(select count(*) from landed where landed.month = months.month)",
}

FILLED = {
    *("revenue", "items_sold", "buyers", "items_liked", "items_judged", "orders"),
    *("ordering_buyers", "sign_ups", "cumulative_revenue", "cumulative_buyers"),
    "sessions",
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
OF_DATES = {
    "date__is_landed": "true",
    "date__is_first_month": "is_first",
    "date__is_month_complete": "is_complete",
    "date__is_next_month_complete": "shows_next",
    "date__is_churn_known": "shows_churn",
    "date__is_conversion_known": "shows_conversion",
}
OF_BUYERS = {
    "buyer__segment": """(
        select
            case
                when count(*) = 0 then null
                when max(day) < date '2024-03-15' - 28 then 'lost'
                when count(*) = 1 then 'new'
                when count(*) < 5 then 'repeat'
                else 'loyal'
            end
        from orders as theirs
        where theirs.person_key = buyer.key_of_person
    )""",
}
OF_SESSIONS = {
    "session__device_type": "visit.device_type",
    "session__operating_system": "visit.operating_system",
    "session__browser": "visit.browser",
    "session__local_day_of_week": "isodow(visit.local_date)",
    "session__local_hour": "visit.local_hour",
}
OF_ALL = OF_USERS | OF_DATES | OF_BUYERS | OF_SESSIONS
SLICES = OF_ALL | {
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
SLICES_OF_ORDERS = OF_ALL | {
    "order__order_type": "case when previous is null then 'first' when day - previous"
    " > 90 then 'returning' else 'repeat' end",
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
        # Who bought in the first landed month need not be new.
        "reports.buyer_cohorts_mv"
        " where months_since = 0 and cohort_date > '2023-02-01'",
        {"cohort_date": MONTH},
        {"buyer_count": "new_buyers"},
    ),
    (
        "reports.retention_per_month_vw",
        MONTHS,
        {"buyer_count": "buyers"}
        | {"retained_buyer_count": "retained_buyers"}
        | {"monthly_retention_rate": "monthly_retention_rate"}
        | {"churned_buyer_count": "churned_buyers"}
        | {"churn_rate_90_days": "churn_rate_90_days"},
    ),
    *(
        (
            f"reports.revenue_per_order_type_vw where order_type = '{kind}'",
            MONTHS,
            {"revenue_usd": f"revenue_from_{metric}_buyers"},
        )
        for kind, metric in (
            ("first", "new"),
            ("repeat", "repeat"),
            ("returning", "returning"),
        )
    ),
    (
        "reports.revenue_per_order_type_vw",
        MONTHS,
        {"revenue_usd": "revenue", "order_count": "orders"},
    ),
    (
        "reports.buyer_value_per_cohort_vw",
        {"cohort_date": MONTH},
        {"revenue_per_buyer_90_days_usd": "buyer_value_90_days"},
    ),
    (
        "reports.buyer_value_per_cohort_vw",
        {"cohort_date": MONTH},
        {"buyer_count": "new_buyers"},
    ),
    (
        "reports.revenue_growth_per_month_vw",
        MONTHS,
        {"revenue_usd": "revenue", "revenue_growth": "revenue_month_over_month"},
    ),
    (
        "reports.revenue_per_currency_mv",
        MONTHS | {"currency": "order_item__currency"},
        SOLD,
    ),
    ("reports.sales_per_release_vw", {"release": "song__release"}, SOLD),
    ("reports.orders_per_month_mv", MONTHS, BOUGHT),
    (
        "reports.users_per_days_to_first_order_vw where band not like 'No order%'",
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
            "user_agent": AGENTS[number % len(AGENTS)],
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
    # Before and after the days that are landed, and just in time.
    user("older", "2023-02-02T23:59:59", "Lisbon", "PT", "Europe/Lisbon"),
    user("newer", "2024-03-21T00:00:00", "Lisbon", "PT", "Europe/Lisbon"),
    user("just", "2024-01-31T00:00:00", "Lisbon", "PT", "Europe/Lisbon"),
    user("unjust", "2024-02-01T00:00:00", "Lisbon", "PT", "Europe/Lisbon"),
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
    # In the next month twice, and again before and after the days that are missing.
    session(11, "early", "2023-04-01T00:00:00", item("TR1", 1)),
    session(12, "early", "2023-04-30T23:59:59", item("TR2", 1.01)),
    session(13, "early", "2023-09-10T00:00:00", item("TR2", 1.02)),
    session(14, "early", "2023-10-10T00:00:00", item("TR3", 1.03)),
    session(15, "older", "2023-11-01T00:00:00", item("TR3", 1.04)),
    session(16, "older", "2023-12-31T00:00:00", item("TR3", 1.05)),
    session(17, "just", "2024-03-01T00:00:00", item("TR3", 1.06)),
    session(18, "loyal", "2023-12-15T00:00:00", item("TR3", 1.07)),
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
    for window in WINDOWS:
        lakehouse.land(Records(*texts), [table], *window)
    # Figures that are called "90 days" are about 90 days, whatever churn is.
    lakehouse.build(*WITHOUT_TESTS, "--vars", "{churn_days: 28}")
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


SOURCES = (
    ("items", OF_ITEMS),
    ("orders", OF_ORDERS),
    ("buyer_months", OF_BUYER_MONTHS),
    ("visits", OF_VISITS),
)
ALL_SLICES = {"items": SLICES, "visits": OF_ALL}


def test_by_month(shop: Lakehouse, ask: Ask) -> None:
    """Months without a sale are included."""
    for source, known in (*SOURCES, ("", OF_MONTHS)):
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
    [
        (source, known, ALL_SLICES.get(source, SLICES_OF_ORDERS))
        for source, known in SOURCES
    ],
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
                person_key as key_of_person, is_inferred as is_missing) as buyer
                on {source}.user_key = buyer.user_key
            left join (
                select session_id as visit_id, visit from marts.fact_sessions as visit
            ) as of_session
                on {source}.session_id = of_session.visit_id
            {OF_ARTISTS if source == "items" else ""}
            group by 1
        """  # noqa: S608 - our own
        right = expected(shop, query, metrics)
        # A group without any known value is no row.
        known_rows = {key: row for key, row in right.items() if set(row) != {None}}
        assert table(answer, metrics) == known_rows, name


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


def test_reports_say_nothing_of_what_is_not_known(shop: Lakehouse) -> None:
    """Months of which some days are missing, and what the last days cannot tell."""
    with shop.lake() as connection:

        def months(condition: str) -> set[str]:
            rows = connection.execute(
                f"select strftime(month_date, '%y-%m') from reports.{condition}"  # noqa: S608
            ).fetchall()
            return {month for (month,) in rows}

        parts = {"23-02", "23-09", "24-03"}
        for report in (
            *("sales_per_month_vw", "retention_per_month_vw"),
            *("revenue_per_order_type_vw", "revenue_growth_per_month_vw"),
        ):
            assert months(f"{report} where not is_complete") == parts, report
        growth = "revenue_growth_per_month_vw where {} is not null"
        for column in ("revenue_growth", "constant_revenue_growth"):
            # Without June, July, September and January there is nothing to compare.
            assert months(growth.format(column)) == {"23-04", "23-05", "23-11", "23-12"}
        # Their rates are as they were, and so is the growth of dollars.
        rates = connection.execute(
            "select month_date, revenue_growth - constant_revenue_growth"
            " from reports.revenue_growth_per_month_vw where month_date > '2023-09-01'"
            " and revenue_growth is not null"
        ).fetchall()
        assert all(abs(difference) < 1e-9 for _, difference in rates)
        retention = "retention_per_month_vw where {} is not null"
        assert months(retention.format("monthly_retention_rate")) == {
            *("23-03", "23-04", "23-05", "23-10", "23-11", "23-12")
        }
        assert months(retention.format("churn_rate_90_days")) == {
            *("23-03", "23-04", "23-05", "23-10", "23-11")
        }
        forecasts = connection.execute(
            "select strftime(forecasts.month_date, '%y-%m'), forecasts.actual_usd"
            " is not distinct from case when sales.is_complete then sales.revenue_usd"
            " end, forecasts.forecast_usd, forecasts.missing_reason"
            " from reports.revenue_forecast_per_month_vw as forecasts"
            " left join reports.sales_per_month_vw as sales using (month_date)"
        ).fetchall()
        assert {month for month, *_ in forecasts} == {
            *("23-04", "23-05", "23-06", "23-09", "23-11", "23-12", "24-01")
        }
        assert all(is_right for _, is_right, *_ in forecasts)
        # Four errors are known only after December: June and July have no sales.
        given = {month for month, _, figure, _ in forecasts if figure is not None}
        assert given == {"24-01"}
        assert all((figure is None) == bool(why) for *_, figure, why in forecasts)
        hours = "local_day_of_week, local_hour, sum(price_usd), count(*)"
        assert (
            connection.execute(
                "from reports.sales_per_weekday_and_hour_mv order by all"
            ).fetchall()
            == connection.execute(
                f"select {hours} from marts.fact_order_items"  # noqa: S608 - our own
                " inner join marts.dim_users using (user_key)"
                " where timezone in ('Europe/Lisbon', 'Asia/Tokyo')"
                " group by all order by all"
            ).fetchall()
        )
        kinds = connection.execute(
            "select distinct order_type from reports.revenue_per_order_type_vw"
            " where month_date = '2023-02-01'"
        ).fetchall()
        assert kinds == [("unknown",)]
        cohorts = connection.execute(
            "select strftime(cohort_date, '%y-%m'), is_first_month, bool_and("
            "is_complete = (strftime(cohort_date + to_months(months_since), '%y-%m')"
            " not in ('23-02', '23-09', '24-03')))"
            " from reports.buyer_cohorts_mv group by all order by all"
        ).fetchall()
        assert all(is_right for *_, is_right in cohorts)
        assert {month for month, is_first, _ in cohorts if is_first} == {"23-02"}
        values = connection.execute(
            "select strftime(cohort_date, '%y-%m'),"
            " revenue_per_buyer_30_days_usd is not null,"
            " revenue_per_buyer_60_days_usd is not null,"
            " revenue_per_buyer_90_days_usd is not null"
            " from reports.buyer_value_per_cohort_vw order by all"
        ).fetchall()
        assert values == [
            ("23-03", True, True, True),
            ("23-04", True, True, True),
            ("23-11", True, True, True),
            ("24-03", False, False, False),
        ]


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
            # No metric leaves out unknown time zones.
            if model["name"] == "sales_per_weekday_and_hour_mv":
                continue
            missing = (BOUGHT.keys() & columns) - set(re.findall(r"\w+", compared))
            assert not missing, model["name"]


def test_every_metric_is_compared() -> None:
    text = (PROJECT / "models" / "semantic" / "metrics.yml").read_text()
    defined = {metric["name"] for metric in yaml.safe_load(text)["metrics"]}
    compared = (OF_ITEMS, OF_ORDERS, OF_BUYER_MONTHS, OF_VISITS, OF_MONTHS)
    assert defined == {name for known in compared for name in known}


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
            # Only the age of a song has each dimension by a second way.
            if dimension.name not in TIMES and metric.name != "average_song_age":
                assert name in compared, metric.name
