"""How likely each buyer is to buy nothing for a while.

A logistic regression: it is calibrated by itself, a few numbers are all that it learns,
and they can be read.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from deftunes.ml import features
from deftunes.ml.evaluations import NOTHING_BOUGHT, Evaluation
from deftunes.ml.features import dates_before, fingerprint

MODEL_NAME = "churn"

FEWEST_OF_EACH = 100
"""How many buyers must have left, and stayed, for anything to be learned from them."""

_MOST_EXAMPLES = 200_000
_INVERSE_REGULARIZATION = 0.1
_BINS = 10

# What the model looks at, as SQL over the features. Silence is measured by the buyer's
# own pace, for which the orders of a week are one.
_INPUTS = {
    "log_recency": "ln(1 + recency_days)",
    "log_silence": (
        "ln(1 + recency_days * order_count / (tenure_days - recency_days + 7))"
    ),
    "log_tenure": "ln(1 + tenure_days)",
    "log_orders": "ln(1 + order_count)",
    "log_orders_90_days": "ln(1 + order_count_90_days)",
    "log_orders_30_days": "ln(1 + order_count_30_days)",
    "log_items": "ln(1 + item_count)",
}
_BASELINE = 1  # the recency alone

# Who is in the first so many by a hash is a sample, the same one each time.
_EXAMPLES = f"""
    with

    chosen as (

        select user_features.*
        from user_features
        inner join dates on user_features.as_of_date = dates.col0
        order by hash(user_features.buyer_key), user_features.buyer_key
        limit {_MOST_EXAMPLES}

    ),

    stayed as (

        select distinct items.buyer_key
        from items
        inner join dates
            on
                items.session_start_time >= dates.col0
                and items.session_start_time < dates.col1

    )

    select
        stayed.buyer_key is null as has_churned,
        {", ".join(_INPUTS.values())}
    from chosen
    left join stayed using (buyer_key)
    order by chosen.buyer_key
"""  # noqa: S608 - of constants
_SCORES = f"""
    select
        user_features.buyer_key,
        user_features.as_of_date,
        1 / (1 + exp(-list_dot_product(
            weights.col0, [1, {", ".join(_INPUTS.values())}]
        ))) as churn_probability
    from user_features
    cross join weights
"""  # noqa: S608 - of constants

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def training_id(described: Mapping[date, str], horizon_days: int) -> str:
    """Return what tells one training from another: its data, its code, its dates.

    Args:
        described: as `features.described_dates` gives it of the features at hand, which
            may be older than the purchases.
        horizon_days: how far it looks ahead.

    """
    files = map(Path, (__file__, features.__file__))
    return fingerprint(MODEL_NAME, *files, sorted(described.items()), horizon_days)


def evaluate(
    connection: DuckDBPyConnection,
    user_features: DuckDBPyRelation,
    items: DuckDBPyRelation,
    described: Mapping[date, str],
    horizon_days: int,
) -> Evaluation:
    """Learn from what came after one date, and measure on a later one.

    Args:
        connection: where the relations are.
        user_features: `features.user_features` of both dates.
        items: rows of `fact_order_items`.
        described: as `features.described_dates` gives it of the features.
        horizon_days: a buyer without a purchase for so many days has left.

    Returns:
        The evaluation, with the weights of the inputs, which add up to the log-odds of
        leaving. Without metrics and weights where there are too few buyers to learn
        from.

    """
    dates = dates_before(max(described, default=date.max), horizon_days)
    windows = [
        (day, day + timedelta(days=horizon_days))
        for day in (dates.training, dates.evaluation)
    ]
    (inputs, churned), (later, outcomes) = (
        _examples(connection, user_features, items, window) for window in windows
    )
    ((first,),) = items.aggregate("cast(min(session_start_time) as date)").fetchall()
    evaluation = Evaluation(
        training_id=training_id(described, horizon_days),
        model_name=MODEL_NAME,
        baseline_name="recency alone",
        metrics={},
        training_dates=(first, windows[0][1]) if first else None,
        evaluation_dates=windows[1] if first else None,
        training_count=len(churned),
        evaluation_count=len(outcomes),
        parameters={
            "horizon_days": horizon_days,
            "inverse_regularization": _INVERSE_REGULARIZATION,
            "most_examples": _MOST_EXAMPLES,
        },
    )
    if not first:
        return replace(evaluation, unmeasured_reason=NOTHING_BOUGHT)
    for (start, _), flags in zip(windows, (churned, outcomes), strict=True):
        left, stayed = int(flags.sum()), int((~flags).sum())
        if min(left, stayed) < FEWEST_OF_EACH:
            return replace(
                evaluation,
                unmeasured_reason=f"too few buyers: {left} left and {stayed} stayed in"
                f" the {horizon_days} days from {start}, and it takes {FEWEST_OF_EACH}"
                " of each",
            )
    weights = _fit(inputs, churned)
    figures = _figures(outcomes, _predict(weights, later))
    held = _fit(inputs[:, :_BASELINE], churned)
    baseline = _figures(outcomes, _predict(held, later[:, :_BASELINE]))
    return replace(
        evaluation,
        metrics={name: (figures[name], baseline[name]) for name in figures},
        fitted=dict(zip(("intercept", *_INPUTS), weights, strict=True)),
    )


def scores(
    connection: DuckDBPyConnection,
    user_features: DuckDBPyRelation,
    fitted: Mapping[str, float],
) -> DuckDBPyRelation:
    """Return how likely each buyer is to leave.

    Args:
        connection: where the relation is.
        user_features: `features.user_features` of one date.
        fitted: that of the evaluation.

    Returns:
        Columns buyer_key, as_of_date, churn_probability.

    """
    held = [fitted.get(name, 0.0) for name in ("intercept", *_INPUTS)]
    weights = connection.values([held])
    return connection.sql(_SCORES)


def _examples(
    connection: DuckDBPyConnection,
    user_features: DuckDBPyRelation,
    items: DuckDBPyRelation,
    window: tuple[date, date],
) -> tuple[Floats, Flags]:
    """Return what is known of the buyers, shape (buyers, inputs), and who left."""
    dates = connection.values(list(window))
    churned, *inputs = connection.sql(_EXAMPLES).fetchnumpy().values()
    return np.column_stack(inputs), churned


def _fit(inputs: Floats, churned: Flags) -> list[float]:
    """Learn the intercept and the weights of the inputs as they are."""
    # More than a second to import, and only where something is learned.
    from sklearn.linear_model import (  # type: ignore[import-untyped]
        LogisticRegression,
    )
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    scaler, regression = make_pipeline(
        StandardScaler(), LogisticRegression(C=_INVERSE_REGULARIZATION)
    ).fit(inputs, churned)
    weights = regression.coef_[0] / scaler.scale_
    return [float(regression.intercept_[0] - weights @ scaler.mean_), *weights.tolist()]


def _predict(weights: list[float], inputs: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-weights[0] - inputs @ weights[1:])))


def _figures(churned: Flags, probabilities: Floats) -> dict[str, float]:
    """Measure the order (AUC), the probabilities (Brier), and how far deciles are off.

    The calibration error is the mean distance, over ten groups of equal size by
    probability, of the mean probability from the share that left.
    """
    from sklearn.metrics import (  # type: ignore[import-untyped]
        brier_score_loss,
        roc_auc_score,
    )

    groups = np.array_split(np.argsort(probabilities, kind="stable"), _BINS)
    error = sum(
        len(group) * abs(probabilities[group].mean() - churned[group].mean())
        for group in groups
    )
    return {
        "roc_auc": float(roc_auc_score(churned, probabilities)),
        "brier_score": float(brier_score_loss(churned, probabilities)),
        "calibration_error": float(error / len(churned)),
    }
