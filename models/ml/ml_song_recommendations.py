from typing import Any

from deftunes.ml.recommendations import recommend, users_in_need
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Recommend to whom is new, has bought, or moved; to all after a training."""
    dbt.config(materialized="incremental")
    factors = dbt.ref("ml_song_factors")
    held = None
    if dbt.is_incremental:
        held = session.table(str(dbt.this))
    return recommend(
        session,
        users_in_need(
            session,
            dbt.ref("dim_users"),
            dbt.ref("int_purchases_per_buyer"),
            factors,
            held,
        ),
        dbt.ref("fact_order_items"),
        dbt.ref("dim_songs"),
        dbt.ref("dim_artists"),
        dbt.ref("sales_per_song_mv"),
        dbt.ref("top_songs_per_country_mv"),
        factors,
    )
