from typing import Any

from deftunes.ml.recommendations import MODEL_NAME, song_factors
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Fit the factors of all songs again after a training that is offered."""
    dbt.config(materialized="incremental")
    offered = dbt.ref("int_offered_trainings")
    if dbt.is_incremental:
        offered = offered.join(session.table(str(dbt.this)), "training_id", how="anti")
    training_ids = dict(offered.select("model_name, training_id").fetchall())
    return song_factors(
        session, dbt.ref("int_learned_purchases"), training_ids.get(MODEL_NAME)
    )
