from typing import Any

from deftunes.ml import churn
from deftunes.ml.evaluations import holds_training, offered_training, remove_rows
from deftunes.ml.features import described_dates
from duckdb import ConstantExpression, DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Score all buyers anew when the model was trained anew, or none."""
    dbt.config(materialized="incremental")
    features = dbt.ref("ml_user_features")
    training_id = churn.training_id(
        described_dates(features), dbt.config.meta_get("horizon_days")
    )
    fitted = offered_training(dbt.ref("ml_model_evaluations"), training_id)
    latest = session.sql(
        "from features where as_of_date = (select max(as_of_date) from features)"
    )
    if fitted is None:
        latest = latest.limit(0)
    if dbt.is_incremental:
        if fitted is None:
            remove_rows(session, str(dbt.this))
        elif holds_training(session.table(str(dbt.this)), training_id):
            latest = latest.limit(0)
    return churn.scores(session, latest, fitted or {}).select(
        "*", ConstantExpression(training_id).alias("training_id")
    )
