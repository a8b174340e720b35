from typing import Any

from deftunes.ml import churn, recommendations
from deftunes.ml.evaluations import evaluations_table
from deftunes.ml.features import as_of_dates, checksum_before
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Train and measure what was not yet trained on what has been bought."""
    dbt.config(materialized="incremental")
    days = dbt.ref("int_purchases_per_day")
    items = dbt.ref("fact_order_items")
    features = dbt.ref("ml_user_features")
    songs, sales = dbt.ref("dim_songs"), dbt.ref("sales_per_song_mv")
    horizon = dbt.config.meta_get("horizon_days")
    dates = as_of_dates(session, days, horizon, dbt.config.meta_get("as_of_date"))
    checksum = checksum_before(session, dates.scoring, days)
    held = set()
    if dbt.is_incremental:
        held = set(session.table(str(dbt.this)).select("training_id").fetchall())
    found = []
    if (churn.training_id(dates, horizon, checksum),) not in held:
        found += churn.evaluate(session, features, items, dates, horizon, checksum)
    if (recommendations.training_id(dates.scoring, checksum),) not in held:
        works = recommendations.works_of(session, songs, sales)
        found += recommendations.evaluate(
            session, items, works, dates.scoring, checksum
        )
    return session.from_arrow(evaluations_table(found))
