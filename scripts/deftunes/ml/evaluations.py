"""How well a model does, against a baseline, and what it was trained on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import NamedTuple

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
        ("withheld_reason", pa.string()),
        ("is_current", pa.bool_()),
        ("trained_at", pa.timestamp("us")),
    ]
)
"""A row of `ml_model_evaluations`."""

LOWER_IS_BETTER = frozenset({"brier_score", "calibration_error"})
"""The metrics of which less is better."""

NOTHING_BOUGHT = "nothing has been bought yet"
"""Why no model can be measured in a new shop."""

NOTHING_MEASURED = "none"
"""The name of the metric in the one row of a training that could not be measured."""


class Training(NamedTuple):
    """What a model is to learn from: a row of `int_trainings`.

    Attributes:
        model_name: the model.
        training_id: says what it learns from, and how.
        first_purchase_date: None where nothing has been bought.
        training_date: the as-of date that it learns from; None likewise.
        evaluation_date: the as-of date that it is measured on; None likewise.
        scoring_date: the as-of date of what is published; None likewise.

    """

    model_name: str
    training_id: str
    first_purchase_date: date | None
    training_date: date | None
    evaluation_date: date | None
    scoring_date: date | None


@dataclass(frozen=True)
class Evaluation:
    """One training, and what came of it.

    Attributes:
        training_id: says what was trained, on what and how.
        model_name: the model.
        baseline_name: what it has to beat.
        metrics: by name, the figure of the model and that of the baseline; none where
            it could not be measured.
        training_dates: the days that it learned from; the last does not count. None
            where nothing has been bought.
        evaluation_dates: the days that it was measured on, likewise.
        training_count: how many examples it learned from.
        evaluation_count: how many it was measured on.
        parameters: how it was trained.
        fitted: what it learned, where that is a few numbers.
        unmeasured_reason: why it could not be measured, where it could not.

    """

    training_id: str
    model_name: str
    baseline_name: str
    metrics: Mapping[str, tuple[float, float]]
    training_dates: tuple[date, date] | None
    evaluation_dates: tuple[date, date] | None
    training_count: int
    evaluation_count: int
    parameters: Mapping[str, object]
    fitted: Mapping[str, float] | None = None
    unmeasured_reason: str | None = None

    @property
    def figures(self) -> list[tuple[str, float | None, float | None, bool | None]]:
        """Each metric, its value, that of the baseline, and whether it is better."""
        return [
            (name, value, baseline, _is_better(name, value, baseline))
            for name, (value, baseline) in self.metrics.items()
        ] or [(NOTHING_MEASURED, None, None, None)]

    @property
    def withheld_reason(self) -> str | None:
        """Why nothing of this training is offered; None where it may be.

        It has to do better than its baseline by every metric. What is not a number is
        no better.
        """
        if not self.metrics:
            return self.unmeasured_reason
        worse = [
            f"{name} {value:.4f} against {baseline:.4f}"
            for name, value, baseline, is_better in self.figures
            if not is_better
        ]
        if not worse:
            return None
        return f"no better than its baseline, {self.baseline_name}: {', '.join(worse)}"


def evaluations_table(evaluations: list[Evaluation]) -> pa.Table:
    """Return evaluations as a table of `EVALUATIONS_SCHEMA`, a row per metric.

    One without metrics has one row all the same, which says why.
    """
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    rows = [
        {
            "training_id": evaluation.training_id,
            "model_name": evaluation.model_name,
            "metric_name": metric,
            "metric_value": value,
            "baseline_name": evaluation.baseline_name,
            "baseline_value": baseline,
            "is_better": is_better,
            "training_start_date": training_start,
            "training_end_date": training_end,
            "evaluation_start_date": evaluation_start,
            "evaluation_end_date": evaluation_end,
            "training_count": evaluation.training_count,
            "evaluation_count": evaluation.evaluation_count,
            "parameters": json.dumps(evaluation.parameters),
            "fitted": evaluation.fitted and json.dumps(evaluation.fitted),
            "withheld_reason": evaluation.withheld_reason,
            "is_current": True,
            "trained_at": now,
        }
        for evaluation in evaluations
        for training_start, training_end in [evaluation.training_dates or (None, None)]
        for evaluation_start, evaluation_end in [
            evaluation.evaluation_dates or (None, None)
        ]
        for metric, value, baseline, is_better in evaluation.figures
    ]
    return pa.Table.from_pylist(rows, EVALUATIONS_SCHEMA)


def existing_evaluations(
    connection: duckdb.DuckDBPyConnection, table: str | None
) -> duckdb.DuckDBPyRelation:
    """Return the rows of `ml_model_evaluations`, with all columns that it has now.

    Args:
        connection: where it is.
        table: its name; an older one may lack columns. None before it is made.

    """
    no_rows = connection.from_arrow(EVALUATIONS_SCHEMA.empty_table())
    if table is None:
        return no_rows
    return connection.sql(f"from no_rows union all by name from {table}")


def trainings_of(trainings: duckdb.DuckDBPyRelation) -> dict[str, Training]:
    """Return rows of `int_trainings` by the name of the model."""
    rows = trainings.select(", ".join(Training._fields)).fetchall()
    return {training.model_name: training for training in map(Training._make, rows)}


def rows_with_changed_is_current(
    connection: duckdb.DuckDBPyConnection,
    evaluations: duckdb.DuckDBPyRelation,
    trainings: duckdb.DuckDBPyRelation,
) -> duckdb.DuckDBPyRelation:
    """Return the rows in which `is_current` changes, with the new value.

    Args:
        connection: where the relations are.
        evaluations: rows of `ml_model_evaluations`.
        trainings: rows of `int_trainings`, the current ones.

    """
    return connection.sql(
        "select evaluations.* replace (trainings.training_id is not null as is_current)"
        " from evaluations left join trainings using (training_id)"
        " where is_current is distinct from (trainings.training_id is not null)"
    )


def _is_better(metric: str, value: float, baseline: float) -> bool:
    """Say whether a figure beats that of the baseline."""
    return value < baseline if metric in LOWER_IS_BETTER else value > baseline
