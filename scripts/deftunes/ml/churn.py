"""Learns how likely each active buyer is to buy nothing for a while.

It is a logistic regression: its probabilities are calibrated, and all that it learns is
a few numbers, which can be read. Its inputs are those of `int_churn_inputs`;
`ml_churn_scores` applies what it has learned. Buyers who bought nothing in the last
churn_days have left already: they are neither learned from nor scored.

What scores is fitted to the newest buyers of whom it is known whether they left. How
good it is will be known later only. So the same is fitted one step earlier, too, and
measured on what came after.
"""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt
from duckdb import ColumnExpression as Column
from duckdb import ConstantExpression, DuckDBPyRelation

from deftunes.ml.evaluations import (
    MOST_MEASURED,
    NOTHING_BOUGHT,
    Evaluation,
    Floats,
    Metrics,
    Training,
    compare,
)

# A change of what is learned, or how, needs a new version in `int_trainings`.
MODEL_NAME = "churn"

FEWEST_OF_EACH = 50
"""How many buyers must have left, and stayed, for anything to be learned from them."""

INPUTS = (
    "log_recency",
    "log_orders",
    "log_silence",
    "log_tenure",
    "log_orders_90_days",
    "log_orders_30_days",
)
"""The columns of `int_churn_inputs` that it learns from."""

_BASELINES = {"recency alone": 1, "recency and frequency": 2}  # how many of the inputs
_INVERSE_REGULARIZATION = 0.1
_GROUPS = 10

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
        leaving; they are learned of the later date. Without figures and weights where
        there are too few buyers to learn from.

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
    measured = slice(MOST_MEASURED)  # the keys, which order buyers, are hashes
    evaluation = Evaluation(
        training_id=training.training_id,
        model_name=MODEL_NAME,
        figures=[],
        training_dates=(first, windows[0][1]) if first else None,
        evaluation_dates=windows[1] if first else None,
        offered_training_dates=(first, windows[1][1]) if first else None,
        training_count=len(churned),
        evaluation_count=len(outcomes[measured]),
        offered_training_count=len(outcomes),
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
                unmeasured_reason=f"too few active buyers: {left} left and {stayed}"
                f" stayed in the {horizon_days} days from {start}, and it takes"
                f" {FEWEST_OF_EACH} of each",
            )

    def metrics(input_count: int) -> Metrics:
        weights = _fit(inputs[:, :input_count], churned)
        return _metrics(
            outcomes[measured], _predict(weights, later_inputs[measured, :input_count])
        )

    return replace(
        evaluation,
        figures=compare(
            metrics(len(INPUTS)),
            {name: metrics(input_count) for name, input_count in _BASELINES.items()},
            evaluation.evaluation_count,
        ),
        fitted=dict(
            zip(("intercept", *INPUTS), _fit(later_inputs, outcomes), strict=True)
        ),
    )


def _examples(examples: DuckDBPyRelation, date_role: str) -> tuple[Floats, Flags]:
    """Return what is known of the buyers, shape (buyers, inputs), and who left."""
    columns = (
        examples.filter(Column("date_role") == ConstantExpression(date_role))
        .order("person_key")
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


def _metrics(churned: Flags, probabilities: Floats) -> Metrics:
    """Measure the order (AUC), the probabilities (Brier), and how far deciles are off.

    The calibration error is the mean distance, over ten groups of equal size by
    probability, of the mean probability from the share that left.
    """
    order = np.argsort(probabilities, kind="stable")
    sorted_probabilities, left = probabilities[order], churned[order].astype(float)
    _, first = np.unique(sorted_probabilities, return_index=True)
    groups = np.linspace(0, len(order), _GROUPS, endpoint=False).astype(int)

    def measure(weights: Floats) -> dict[str, Floats]:
        drawn = weights[:, order]
        # Of buyers with the same probability, one is ahead of another half the time.
        leavers = np.add.reduceat(drawn * left, first, axis=1)
        stayers = np.add.reduceat(drawn * (1 - left), first, axis=1)
        pairs = leavers * (np.cumsum(stayers, axis=1) - stayers / 2)
        error = (sorted_probabilities - left) * drawn
        counts = drawn.sum(axis=1)
        return {
            "roc_auc": pairs.sum(axis=1) / (leavers.sum(axis=1) * stayers.sum(axis=1)),
            "brier_score": (error * (sorted_probabilities - left)).sum(axis=1) / counts,
            "calibration_error": np.abs(np.add.reduceat(error, groups, axis=1)).sum(
                axis=1
            )
            / counts,
        }

    return measure
