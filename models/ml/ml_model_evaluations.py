from typing import Any

from deftunes.ml import churn, recommendations
from deftunes.ml.evaluations import (
    evaluations_table,
    existing_evaluations,
    rows_with_changed_is_current,
    trainings_of,
)
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Train and evaluate each model whose current training has no evaluation yet."""
    dbt.config(materialized="incremental")
    examples = dbt.ref("int_churn_examples")
    purchases = dbt.ref("int_learned_purchases")
    trainings = dbt.ref("int_trainings")
    existing = existing_evaluations(
        session, str(dbt.this) if dbt.is_incremental else None
    )
    new = trainings_of(trainings.join(existing, "training_id", how="anti"))
    evaluations = []
    if training := new.get(churn.MODEL_NAME):
        horizon = dbt.config.meta_get("horizon_days")
        evaluations.append(churn.evaluate(examples, training, horizon))
    if training := new.get(recommendations.MODEL_NAME):
        evaluations.append(recommendations.evaluate(purchases, training))
    return session.from_arrow(evaluations_table(evaluations)).union(
        rows_with_changed_is_current(session, existing, trainings)
    )
