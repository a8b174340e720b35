from typing import Any

from deftunes.ml.recommendations import recommend, users_in_need
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Recommend to whom is new, has bought, or moved; to all after a training."""
    dbt.config(materialized="incremental")
    factors = dbt.ref("ml_song_factors")
    # Ranked by how many were bought: an order by revenue would tell of prices.
    country_sales = dbt.ref("top_songs_per_country_mv").select(
        "song_key, country_code, country_name, row_number() over ("
        "partition by country_code, country_name order by item_count desc, song_key"
        ") as song_rank"
    )
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
        country_sales,
        factors,
    )
