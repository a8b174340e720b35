from typing import Any

from deftunes.ml import recommendations
from deftunes.ml.evaluations import holds_training
from deftunes.ml.features import as_of_dates, checksum_before
from duckdb import ConstantExpression, DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Learn all songs anew when the date, or what came before it, has changed."""
    dbt.config(materialized="incremental")
    days = dbt.ref("int_purchases_per_day")
    songs, sales = dbt.ref("dim_songs"), dbt.ref("sales_per_song_mv")
    # What was worse than its baseline is not put in place.
    dbt.ref("ml_model_evaluations")
    dates = as_of_dates(
        session,
        days,
        dbt.config.meta_get("horizon_days"),
        dbt.config.meta_get("as_of_date"),
    )
    training_id = recommendations.training_id(
        dates.scoring, checksum_before(session, dates.scoring, days)
    )
    items = dbt.ref("fact_order_items")
    if dbt.is_incremental and holds_training(session.table(str(dbt.this)), training_id):
        items, songs, sales = (held.limit(0) for held in (items, songs, sales))
    works = recommendations.works_of(session, songs, sales)
    return recommendations.song_factors(session, items, works, dates.scoring).select(
        "*", ConstantExpression(training_id).alias("training_id")
    )
