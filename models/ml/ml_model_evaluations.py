from typing import Any

from deftunes.ml import churn, recommendations
from deftunes.ml.evaluations import (
    evaluations_of,
    evaluations_table,
    marked_anew,
    trainings_of,
)
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Train and evaluate the models that have not learned from what is there now."""
    dbt.config(materialized="incremental")
    trainings = dbt.ref("int_trainings")
    held = evaluations_of(session, str(dbt.this) if dbt.is_incremental else None)
    new = trainings_of(trainings.join(held, "training_id", how="anti"))
    examples, purchases = (
        dbt.ref("int_churn_examples"),
        dbt.ref("int_learned_purchases"),
    )
    found = []
    if churn.MODEL_NAME in new:
        horizon = dbt.config.meta_get("horizon_days")
        found.append(churn.evaluate(examples, new[churn.MODEL_NAME], horizon))
    if recommendations.MODEL_NAME in new:
        training = new[recommendations.MODEL_NAME]
        found.append(recommendations.evaluate(session, purchases, training))
    return session.from_arrow(evaluations_table(found)).union(
        marked_anew(session, held, trainings)
    )
