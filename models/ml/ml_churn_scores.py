from typing import Any

from deftunes.ml import churn
from deftunes.ml.evaluations import holds_training, latest_training
from duckdb import ConstantExpression, DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Score all buyers anew when the model was trained anew."""
    dbt.config(materialized="incremental")
    features = dbt.ref("ml_user_features")
    training_id, fitted = latest_training(
        dbt.ref("ml_model_evaluations"), churn.MODEL_NAME
    )
    latest = session.sql(
        "from features where as_of_date = (select max(as_of_date) from features)"
    )
    is_held = dbt.is_incremental and holds_training(
        session.table(str(dbt.this)), training_id
    )
    if is_held or not fitted:
        latest = latest.limit(0)
    return churn.scores(session, latest, fitted).select(
        "*", ConstantExpression(training_id).alias("training_id")
    )
