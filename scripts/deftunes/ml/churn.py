"""Learns how likely each buyer is to buy nothing for a while.

It is a logistic regression: its probabilities are calibrated, and all that it learns is
a few numbers, which can be read. Its inputs are those of `int_churn_inputs`;
`ml_churn_scores` applies what it has learned.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from duckdb import ColumnExpression as Column
from duckdb import ConstantExpression, DuckDBPyRelation

from deftunes.ml.evaluations import NOTHING_BOUGHT, Evaluation, Training

# A change of what is learned, or how, needs a new version in `int_trainings`.
MODEL_NAME = "churn"

FEWEST_OF_EACH = 100
"""How many buyers must have left, and stayed, for anything to be learned from them."""

INPUTS = (
    "log_recency",
    "log_silence",
    "log_tenure",
    "log_orders",
    "log_orders_90_days",
    "log_orders_30_days",
    "log_items",
)
"""The columns of `int_churn_inputs` that it learns from."""

_INVERSE_REGULARIZATION = 0.1
_BINS = 10
_BASELINE_INPUTS = 1  # the recency alone

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def evaluate(
    examples: DuckDBPyRelation, training: Training, horizon_days: int
) -> Evaluation:
    """Learn from what came after one date, and measure on a later one.

    Args:
        examples: rows of `int_churn_examples`.
        training: what it learns from.
        horizon_days: a buyer without a purchase for so many days has left.

    Returns:
        The evaluation, with the weights of the inputs, which add up to the log-odds of
        leaving. Without metrics and weights where there are too few buyers to learn
        from.

    """
    (inputs, churned), (later_inputs, outcomes) = (
        _examples(examples, date_role) for date_role in ("training", "evaluation")
    )
    first = training.first_purchase_date
    windows = [
        (start, start + timedelta(days=horizon_days))
        for start in (training.training_date, training.evaluation_date)
        if start
    ]
    evaluation = Evaluation(
        training_id=training.training_id,
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
    figures = _figures(outcomes, _predict(weights, later_inputs))
    baseline_weights = _fit(inputs[:, :_BASELINE_INPUTS], churned)
    baseline = _figures(
        outcomes, _predict(baseline_weights, later_inputs[:, :_BASELINE_INPUTS])
    )
    return replace(
        evaluation,
        metrics={name: (figures[name], baseline[name]) for name in figures},
        fitted=dict(zip(("intercept", *INPUTS), weights, strict=True)),
    )


def _examples(examples: DuckDBPyRelation, date_role: str) -> tuple[Floats, Flags]:
    """Return what is known of the buyers, shape (buyers, inputs), and who left."""
    columns = (
        examples.filter(Column("date_role") == ConstantExpression(date_role))
        .order("buyer_key")
        .select(*INPUTS, "has_churned")
        .fetchnumpy()
    )
    churned = np.asarray(columns.pop("has_churned"), bool)
    return np.column_stack([columns[name] for name in INPUTS]), churned


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
