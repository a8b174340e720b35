from typing import Any

from deftunes.ml.recommendations import rankings
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Rank songs for users whose training or profile has changed."""
    dbt.config(materialized="incremental")
    users = dbt.ref("int_user_profiles")
    if dbt.is_incremental:
        users = users.join(
            session.table(str(dbt.this)).filter("song_rank = 1"),
            "person_key, training_id, _profile_checksum",
            how="anti",
        )
    purchases, similar = dbt.ref("int_purchased_works"), dbt.ref("int_similar_works")
    return rankings(session, users, purchases, similar)
