from typing import Any

from deftunes.ml.recommendations import MODEL_NAME, similar_songs
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Find similar songs again after a training that is offered."""
    dbt.config(materialized="incremental")
    offered = dbt.ref("int_offered_trainings")
    if dbt.is_incremental:
        offered = offered.join(session.table(str(dbt.this)), "training_id", how="anti")
    training_ids = dict(offered.select("model_name, training_id").fetchall())
    return similar_songs(
        session, dbt.ref("int_learned_purchases"), training_ids.get(MODEL_NAME)
    )
