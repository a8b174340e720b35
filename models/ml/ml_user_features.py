from typing import Any

from deftunes.ml.evaluations import remove_rows
from deftunes.ml.features import (
    as_of_dates,
    described_dates,
    user_features,
    with_checksums,
)
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Describe all buyers anew when a date, or what came before it, has changed."""
    dbt.config(materialized="incremental")
    days = dbt.ref("int_purchases_per_day")
    chosen = as_of_dates(
        session,
        days,
        dbt.config.meta_get("horizon_days"),
        dbt.config.meta_get("as_of_date"),
    )
    dates = with_checksums(session, chosen, days)
    if dbt.is_incremental:
        described = dict(dates.fetchall())
        if not described:
            remove_rows(session, str(dbt.this))
        elif described == described_dates(session.table(str(dbt.this))):
            dates = dates.limit(0)
    orders, items = dbt.ref("fact_orders"), dbt.ref("fact_order_items")
    return user_features(session, orders, items, dates)
