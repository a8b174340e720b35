from typing import Any

from deftunes.ml import churn, recommendations
from deftunes.ml.evaluations import evaluations_of, evaluations_table, marked_anew
from deftunes.ml.features import as_of_dates, checksum_before, described_dates
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Train and measure what was not yet trained on what has been bought."""
    dbt.config(materialized="incremental")
    days, songs = dbt.ref("int_purchases_per_day"), dbt.ref("dim_songs")
    items, features = dbt.ref("fact_order_items"), dbt.ref("ml_user_features")
    horizon = dbt.config.meta_get("horizon_days")
    described = described_dates(features)
    churn_id = churn.training_id(described, horizon)
    before = as_of_dates(
        session, days, horizon, dbt.config.meta_get("as_of_date")
    ).scoring
    sales = recommendations.sales_before(session, items, before)
    songs_id = recommendations.training_id(
        before,
        checksum_before(session, before, days),
        recommendations.songs_checksum_of(session, songs, sales),
    )
    held = evaluations_of(session, str(dbt.this) if dbt.is_incremental else None)
    trained = {training for (training,) in held.select("training_id").fetchall()}
    found = []
    if churn_id not in trained:
        found.append(churn.evaluate(session, features, items, described, horizon))
    if songs_id not in trained:
        works = recommendations.works_of(session, songs, sales)
        found.append(recommendations.evaluate(session, items, works, before, songs_id))
    marked = marked_anew(session, held, [churn_id, songs_id])
    return session.from_arrow(evaluations_table(found)).union(marked)
