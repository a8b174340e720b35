from typing import Any

from deftunes.ml import recommendations
from deftunes.ml.evaluations import holds_training, offered_training, remove_rows
from deftunes.ml.features import as_of_dates, checksum_before
from duckdb import ConstantExpression, DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Learn all songs anew when the model was trained anew, or none."""
    dbt.config(materialized="incremental")
    days, songs = dbt.ref("int_purchases_per_day"), dbt.ref("dim_songs")
    items = dbt.ref("fact_order_items")
    before = as_of_dates(
        session,
        days,
        dbt.config.meta_get("horizon_days"),
        dbt.config.meta_get("as_of_date"),
    ).scoring
    sales = recommendations.sales_before(session, items, before)
    training_id = recommendations.training_id(
        before,
        checksum_before(session, before, days),
        recommendations.songs_checksum_of(session, songs, sales),
    )
    evaluations = dbt.ref("ml_model_evaluations")
    is_offered = offered_training(evaluations, training_id) is not None
    is_held = False
    if dbt.is_incremental:
        is_held = holds_training(session.table(str(dbt.this)), training_id)
        if not is_offered:
            remove_rows(session, str(dbt.this))
    if is_held or not is_offered:
        items, songs, sales = (held.limit(0) for held in (items, songs, sales))
    works = recommendations.works_of(session, songs, sales)
    return recommendations.song_factors(session, items, works, before).select(
        "*", ConstantExpression(training_id).alias("training_id")
    )
