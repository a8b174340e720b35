"""How well a model does, against a baseline, and what it was trained on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]

EVALUATIONS_SCHEMA = pa.schema(
    [
        ("training_id", pa.string()),
        ("model_name", pa.string()),
        ("metric_name", pa.string()),
        ("metric_value", pa.float64()),
        ("baseline_name", pa.string()),
        ("baseline_value", pa.float64()),
        ("is_better", pa.bool_()),
        ("training_start_date", pa.date32()),
        ("training_end_date", pa.date32()),
        ("evaluation_start_date", pa.date32()),
        ("evaluation_end_date", pa.date32()),
        ("training_count", pa.int64()),
        ("evaluation_count", pa.int64()),
        ("parameters", pa.string()),
        ("fitted", pa.string()),
        ("trained_at", pa.timestamp("us")),
    ]
)
"""A row of `ml_model_evaluations`."""

LOWER_IS_BETTER = frozenset({"brier_score", "calibration_error"})
"""The metrics of which less is better."""


@dataclass(frozen=True)
class Evaluation:
    """One training, and what came of it.

    Attributes:
        training_id: says what was trained, on what and how.
        model_name: the model.
        baseline_name: what it has to beat.
        metrics: by name, the figure of the model and that of the baseline.
        training_dates: the days that it learned from; the last does not count.
        evaluation_dates: the days that it was measured on, likewise.
        training_count: how many examples it learned from.
        evaluation_count: how many it was measured on.
        parameters: how it was trained.
        fitted: what it learned, where that is a few numbers.

    """

    training_id: str
    model_name: str
    baseline_name: str
    metrics: Mapping[str, tuple[float, float]]
    training_dates: tuple[date, date]
    evaluation_dates: tuple[date, date]
    training_count: int
    evaluation_count: int
    parameters: Mapping[str, object]
    fitted: Mapping[str, float] | None = None


def evaluations_table(evaluations: list[Evaluation]) -> pa.Table:
    """Return evaluations as a table of `EVALUATIONS_SCHEMA`, a row per metric."""
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    rows = [
        {
            "training_id": evaluation.training_id,
            "model_name": evaluation.model_name,
            "metric_name": metric,
            "metric_value": value,
            "baseline_name": evaluation.baseline_name,
            "baseline_value": baseline,
            "is_better": value < baseline
            if metric in LOWER_IS_BETTER
            else value > baseline,
            "training_start_date": evaluation.training_dates[0],
            "training_end_date": evaluation.training_dates[1],
            "evaluation_start_date": evaluation.evaluation_dates[0],
            "evaluation_end_date": evaluation.evaluation_dates[1],
            "training_count": evaluation.training_count,
            "evaluation_count": evaluation.evaluation_count,
            "parameters": json.dumps(evaluation.parameters),
            "fitted": evaluation.fitted and json.dumps(evaluation.fitted),
            "trained_at": now,
        }
        for evaluation in evaluations
        for metric, (value, baseline) in evaluation.metrics.items()
    ]
    return pa.Table.from_pylist(rows, EVALUATIONS_SCHEMA)


def latest_training(
    evaluations: duckdb.DuckDBPyRelation, model_name: str
) -> tuple[str, dict[str, float]]:
    """Return the id of a model's latest training and what it learned; empty if none."""
    found = (
        evaluations.filter(
            duckdb.ColumnExpression("model_name")
            == duckdb.ConstantExpression(model_name)
        )
        .order("trained_at desc")
        .project("training_id, fitted")
        .fetchone()
    )
    return (found[0], json.loads(found[1])) if found else ("", {})


def holds_training(held: duckdb.DuckDBPyRelation, training_id: str) -> bool:
    """Say whether the rows of a model stem from a training."""
    is_of_it = duckdb.ColumnExpression("training_id") == duckdb.ConstantExpression(
        training_id
    )
    return held.filter(is_of_it).limit(1).fetchone() is not None
