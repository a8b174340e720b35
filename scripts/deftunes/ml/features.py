"""What is known of each buyer as of a date, and from which dates the models look."""

import hashlib
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from duckdb import DuckDBPyConnection, DuckDBPyRelation

_WEEK = 7  # days

# Nothing of it reads what happened on the as-of date or later: a song counts as liked
# only if it was by then, and all others count alike, since which of them were not known
# to be liked may have become known later.
_USER_FEATURES = """
    with

    past_orders as (

        select
            dates.as_of_date,
            orders.*,
            orders.session_start_time >= dates.as_of_date - interval 90 day
                as is_of_last_90_days,
            orders.session_start_time >= dates.as_of_date - interval 30 day
                as is_of_last_30_days
        from orders
        inner join dates on orders.session_start_time < dates.as_of_date

    ),

    habits as (

        select
            as_of_date,
            buyer_key,
            count(*) as order_count,
            count(*) filter (where is_of_last_90_days) as order_count_90_days,
            count(*) filter (where is_of_last_30_days) as order_count_30_days,
            cast(sum(item_count) as bigint) as item_count,
            sum(revenue_usd) as revenue_usd,
            date_diff('second', max(session_start_time), as_of_date) / 86400
                as recency_days,
            date_diff('second', min(session_start_time), as_of_date) / 86400
                as tenure_days,
            count(*) filter (where local_hour < 6) / count(*) as night_share,
            count(*) filter (where local_hour between 6 and 11) / count(*)
                as morning_share,
            count(*) filter (where local_hour between 12 and 17) / count(*)
                as afternoon_share,
            count(*) filter (where local_hour >= 18) / count(*) as evening_share,
            count(*) filter (where local_day_of_week >= 6) / count(*) as weekend_share
        from past_orders
        group by as_of_date, buyer_key

    ),

    -- Each artist once and each like, so that few rows are counted for each date.
    artists as (

        select
            buyer_key,
            min(session_start_time) as bought_at
        from items
        group by buyer_key, artist_key

    ),

    artist_counts as (

        select
            dates.as_of_date,
            artists.buyer_key,
            count(*) as artist_count
        from artists
        inner join dates on artists.bought_at < dates.as_of_date
        group by dates.as_of_date, artists.buyer_key

    ),

    like_counts as (

        select
            dates.as_of_date,
            items.buyer_key,
            count(*) as like_count
        from items
        inner join dates
            on greatest(items.session_start_time, items.liked_since) < dates.as_of_date
        where items.liked and items.liked_since is not null
        group by dates.as_of_date, items.buyer_key

    )

    select
        habits.as_of_date,
        habits.buyer_key,
        habits.order_count,
        habits.order_count_90_days,
        habits.order_count_30_days,
        habits.item_count,
        artist_counts.artist_count,
        habits.revenue_usd,
        habits.recency_days,
        habits.tenure_days,
        coalesce(like_counts.like_count, 0) / habits.item_count as like_rate,
        habits.night_share,
        habits.morning_share,
        habits.afternoon_share,
        habits.evening_share,
        habits.weekend_share,
        dates._purchases_checksum
    from habits
    inner join artist_counts using (as_of_date, buyer_key)
    left join like_counts using (as_of_date, buyer_key)
    inner join dates using (as_of_date)
"""

_DATES = """
    with

    dates as (

        select unnest(chosen_dates.col0) as as_of_date
        from chosen_dates

    )

    select
        dates.as_of_date,
        cast(sum(days.items_checksum) as varchar) as _purchases_checksum
    from days
    inner join dates
        on days.date_key < cast(strftime(dates.as_of_date, '%Y%m%d') as integer)
    group by dates.as_of_date
"""


class AsOfDates(NamedTuple):
    """From when the models look; each knows what happened before it, and no more.

    Attributes:
        training: what came after it is what churn is learned from.
        evaluation: what came after it is what tells how well it was learned.
        scoring: the date of what is published.

    """

    training: date
    evaluation: date
    scoring: date


def as_of_dates(
    connection: DuckDBPyConnection,
    days: DuckDBPyRelation,
    horizon_days: int,
    as_of_date: str | None = None,
) -> AsOfDates:
    """Choose from when the models look.

    All are Mondays unless a date is given, so that scores change once a week, and
    whole weeks apart, far enough for what comes within the horizon to be known.

    Args:
        connection: where the relation is.
        days: purchases by day, with `date_key` (yyyymmdd).
        horizon_days: how many days after a date are looked at.
        as_of_date: the date of what is published, in ISO form; by default the Monday
            of the week of the last purchase.

    """
    ((last,),) = connection.sql(
        "select cast(date_trunc('week', strptime(cast(max(date_key) as varchar),"
        " '%Y%m%d')) as date) from days"
    ).fetchall()
    scoring = date.fromisoformat(as_of_date) if as_of_date else last or date.max
    return dates_before(scoring, horizon_days)


def dates_before(scoring: date, horizon_days: int) -> AsOfDates:
    """Return the dates that go with the last of them."""
    step = timedelta(days=-(-horizon_days // _WEEK) * _WEEK)
    return AsOfDates(scoring - 2 * step, scoring - step, scoring)


def described_dates(user_features: DuckDBPyRelation) -> dict[date, str]:
    """Return the dates of features, and the checksum of what was bought before each.

    Args:
        user_features: rows of `ml_user_features`.

    """
    return dict(
        user_features.select("as_of_date, _purchases_checksum").distinct().fetchall()
    )


def with_checksums(
    connection: DuckDBPyConnection, chosen: Iterable[date], days: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Return the dates that something was bought before, and checksums of all of that.

    Args:
        connection: where the relations are.
        chosen: as-of dates.
        days: purchases by day, with `date_key` (yyyymmdd) and `items_checksum`.

    Returns:
        Columns as_of_date and _purchases_checksum.

    """
    chosen_dates = connection.values([list(chosen)])
    return connection.sql(_DATES)


def checksum_before(
    connection: DuckDBPyConnection, day: date, days: DuckDBPyRelation
) -> str:
    """Return the checksum of all that was bought before a day; empty without any."""
    found = with_checksums(connection, [day], days).fetchall()
    return found[0][1] if found else ""


def user_features(
    connection: DuckDBPyConnection,
    orders: DuckDBPyRelation,
    items: DuckDBPyRelation,
    dates: DuckDBPyRelation,
) -> DuckDBPyRelation:
    """Describe each buyer as of each date, by what happened before it alone.

    Args:
        connection: where the relations are.
        orders: rows of `fact_orders`.
        items: rows of `fact_order_items`.
        dates: as `with_checksums` gives them.

    Returns:
        A row per date and buyer who had bought by then, as `models/ml/
        ml_user_features.yml` says.

    """
    return connection.sql(_USER_FEATURES)


def fingerprint(*parts: object) -> str:
    """Return 32 hexadecimal digits that change when a part does; a path's content."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        held = part.read_bytes() if isinstance(part, Path) else repr(part).encode()
        digest.update(b"%d:" % len(held) + held)
    return digest.hexdigest()
