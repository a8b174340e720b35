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


def evaluations_of(
    connection: duckdb.DuckDBPyConnection, table: str | None
) -> duckdb.DuckDBPyRelation:
    """Return what `ml_model_evaluations` holds, in the columns that it has now.

    Args:
        connection: where it is.
        table: its name; it may lack columns of `EVALUATIONS_SCHEMA`. None before it is
            made.

    """
    held = connection.from_arrow(EVALUATIONS_SCHEMA.empty_table())
    if table is None:
        return held
    return connection.sql(f"from held union all by name from {table}")


def marked_anew(
    connection: duckdb.DuckDBPyConnection,
    held: duckdb.DuckDBPyRelation,
    current_ids: list[str],
) -> duckdb.DuckDBPyRelation:
    """Return the rows of which it changes whether they are of a current training.

    Args:
        connection: where the relation is.
        held: rows of `ml_model_evaluations`.
        current_ids: the training of each model that goes with what has been bought.

    """
    current = connection.values([current_ids])
    return connection.sql(
        "select held.* replace ("
        " list_contains(current.col0, held.training_id) as is_current)"
        " from held cross join current"
        " where held.is_current is distinct from"
        " list_contains(current.col0, held.training_id)"
    )


def offered_training(
    evaluations: duckdb.DuckDBPyRelation, training_id: str
) -> dict[str, float] | None:
    """Return what a training learned, empty where that is more than a few numbers.

    Args:
        evaluations: rows of `ml_model_evaluations`.
        training_id: the training.

    Returns:
        None where it is withheld, or was not evaluated.

    """
    found = (
        evaluations.filter(
            (
                duckdb.ColumnExpression("training_id")
                == duckdb.ConstantExpression(training_id)
            )
            & duckdb.ColumnExpression("withheld_reason").isnull()
        )
        .limit(1)
        .project("fitted")
        .fetchall()
    )
    if not found:
        return None
    ((fitted,),) = found
    return json.loads(fitted) if fitted else {}


def holds_training(held: duckdb.DuckDBPyRelation, training_id: str) -> bool:
    """Say whether the rows of a model stem from a training."""
    is_of_it = duckdb.ColumnExpression("training_id") == duckdb.ConstantExpression(
        training_id
    )
    return bool(held.filter(is_of_it).limit(1).fetchall())


def remove_rows(connection: duckdb.DuckDBPyConnection, table: str) -> None:
    """Empty the table of a model that has no rows now.

    The strategy `replace` takes a run without rows for one in which nothing changed.
    """
    if connection.table(table).limit(1).fetchall():
        connection.execute(f"delete from {table}")  # noqa: S608 - dbt's own name


def _is_better(metric: str, value: float, baseline: float) -> bool:
    """Say whether a figure beats that of the baseline."""
    return value < baseline if metric in LOWER_IS_BETTER else value > baseline
