"""How well a model does, against baselines, and what it was trained on."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
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
        ("is_worse", pa.bool_()),
        ("metric_low", pa.float64()),
        ("metric_high", pa.float64()),
        ("baseline_low", pa.float64()),
        ("baseline_high", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("offered_training_start_date", pa.date32()),
        ("offered_training_end_date", pa.date32()),
        ("offered_training_count", pa.int64()),
    ]
)
"""A row of `ml_model_evaluations`; new columns come last."""

LOWER_IS_BETTER = frozenset({"brier_score", "calibration_error"})
"""The metrics of which less is better."""

NOT_DECISIVE = frozenset({"calibration_error"})
"""Metrics for which no model is withheld. The Brier score counts this error already,
and its own differences are mostly chance: it withheld a good model in 1 of 30 weeks."""

NOTHING_BOUGHT = "nothing has been bought yet"
"""Why no model can be measured in a new shop."""

_NOTHING_MEASURED: Mapping[str, object] = {
    "metric_name": "none",
    "baseline_name": "none",
}
"""The one row of a training that was not measured."""

MOST_MEASURED = 20_000
"""How many buyers a model is measured on at most; more hardly narrow the intervals."""

_REPLICATES = 400
_BATCH = 50  # replicates: what memory has to hold at a time
_SEED = 1
_NORMAL_QUANTILE = 1.96  # of 95 %

Floats = npt.NDArray[np.float64]
Metrics = Callable[[Floats], Mapping[str, Floats]]
"""Takes how often each buyer counts, shape (replicates, buyers), and returns by name
each metric of each replicate, shape (replicates,)."""


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
class Figure:
    """A metric of a model, beside that of a baseline.

    Attributes:
        metric_name: the metric.
        baseline_name: the baseline.
        value: the metric of the model.
        baseline_value: that of the baseline.
        value_error: the standard error of the value.
        baseline_error: that of the baseline's value.
        difference_error: that of the difference. The same buyers are drawn for both, so
            luck that both share does not count.

    """

    metric_name: str
    baseline_name: str
    value: float
    baseline_value: float
    value_error: float
    baseline_error: float
    difference_error: float

    @property
    def is_better(self) -> bool:
        """Whether the model has the better figure, though it may be by chance."""
        return self._advantage > 0

    @property
    def is_worse(self) -> bool:
        """Whether the baseline is better beyond chance. What is no number is worse."""
        return not self._advantage >= -_NORMAL_QUANTILE * self.difference_error

    @property
    def _advantage(self) -> float:
        difference = self.value - self.baseline_value
        return -difference if self.metric_name in LOWER_IS_BETTER else difference

    def __str__(self) -> str:
        """Return both values as text."""
        return (
            f"{self.metric_name} {self.value:.4f} against {self.baseline_value:.4f}"
            f" ({self.baseline_name})"
        )


@dataclass(frozen=True)
class Evaluation:
    """One training, and what came of it.

    What is offered is trained again in the same way, on the newest data: it cannot be
    measured yet, so what is measured is a training of an earlier date.

    Attributes:
        training_id: says what was trained, on what and how.
        model_name: the model.
        figures: each metric against each baseline; none where nothing was measured.
        training_dates: the days that the measured model learned from; the last does not
            count. None where nothing has been bought.
        evaluation_dates: the days that it was measured on, likewise.
        offered_training_dates: the days that the offered model learns from, likewise.
        training_count: how many examples the measured model learned from.
        evaluation_count: how many buyers it was measured on.
        offered_training_count: how many examples the offered model learns from.
        parameters: how it was trained.
        fitted: what the offered model learned, where that is a few numbers.
        unmeasured_reason: why it could not be measured, where it could not.

    """

    training_id: str
    model_name: str
    figures: Sequence[Figure]
    training_dates: tuple[date, date] | None
    evaluation_dates: tuple[date, date] | None
    offered_training_dates: tuple[date, date] | None
    training_count: int
    evaluation_count: int
    offered_training_count: int
    parameters: Mapping[str, object]
    fitted: Mapping[str, float] | None = None
    unmeasured_reason: str | None = None

    @property
    def withheld_reason(self) -> str | None:
        """Why nothing of this training is offered; None where it may be.

        No baseline may be better by any metric beyond chance. What is better by no
        metric than any baseline is of no use.
        """
        if not self.figures:
            return self.unmeasured_reason
        decisive = [
            figure for figure in self.figures if figure.metric_name not in NOT_DECISIVE
        ]
        worse = [figure for figure in decisive if figure.is_worse]
        if not any(figure.is_better for figure in decisive):
            worse = decisive
        if not worse:
            return None
        return "no better than its baseline: " + ", ".join(map(str, worse))


def compare(
    model: Metrics, baselines: Mapping[str, Metrics], count: int
) -> list[Figure]:
    """Measure a model and its baselines on the same buyers, with standard errors.

    The errors are those of a bootstrap (Efron and Tibshirani, "An Introduction to the
    Bootstrap", 1993): how much the figures vary if buyers are drawn again and again,
    the same for all. How often a buyer is drawn is Poisson distributed.

    Args:
        model: what it measures.
        baselines: by name, what they measure.
        count: how many buyers there are.

    Returns:
        The figures; the same each time.

    """
    rng = np.random.default_rng(_SEED)

    def measure(weights: Floats) -> list[Floats]:
        """Return the figures, shape (replicates, metrics), of the model and of all."""
        return [
            np.column_stack([*metrics(weights).values()])
            for metrics in (model, *baselines.values())
        ]

    once = np.ones((1, count))
    names = [*model(once)]
    values = measure(once)
    batches = [
        measure(rng.poisson(1, (_BATCH, count)).astype(float))
        for _ in range(_REPLICATES // _BATCH)
    ]
    drawn = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    return [
        Figure(
            metric_name=metric,
            baseline_name=baseline,
            value=float(values[0][0, column]),
            baseline_value=float(values[row][0, column]),
            value_error=float(drawn[0][:, column].std()),
            baseline_error=float(drawn[row][:, column].std()),
            difference_error=float((drawn[0] - drawn[row])[:, column].std()),
        )
        for row, baseline in enumerate(baselines, start=1)
        for column, metric in enumerate(names)
    ]


def evaluations_table(evaluations: list[Evaluation]) -> pa.Table:
    """Return evaluations as a table of `EVALUATIONS_SCHEMA`.

    There is a row per baseline and metric; one without figures has one row all the
    same, which says why.
    """
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    rows = [
        {
            "training_id": evaluation.training_id,
            "model_name": evaluation.model_name,
            **columns,
            **_dates("training", evaluation.training_dates),
            **_dates("evaluation", evaluation.evaluation_dates),
            **_dates("offered_training", evaluation.offered_training_dates),
            "training_count": evaluation.training_count,
            "evaluation_count": evaluation.evaluation_count,
            "offered_training_count": evaluation.offered_training_count,
            "parameters": json.dumps(evaluation.parameters),
            "fitted": evaluation.fitted and json.dumps(evaluation.fitted),
            "withheld_reason": evaluation.withheld_reason,
            "is_current": True,
            "trained_at": now,
        }
        for evaluation in evaluations
        for columns in (
            [*map(_figure_columns, evaluation.figures)] or [_NOTHING_MEASURED]
        )
    ]
    return pa.Table.from_pylist(rows, EVALUATIONS_SCHEMA)


def _dates(name: str, dates: tuple[date, date] | None) -> dict[str, date | None]:
    start, end = dates or (None, None)
    return {f"{name}_start_date": start, f"{name}_end_date": end}


def _figure_columns(figure: Figure) -> Mapping[str, object]:
    """Return the columns about a figure."""
    columns: dict[str, object] = {
        "metric_name": figure.metric_name,
        "metric_value": figure.value,
        "baseline_name": figure.baseline_name,
        "baseline_value": figure.baseline_value,
        "is_better": figure.is_better,
        "is_worse": figure.is_worse,
    }
    difference = figure.value - figure.baseline_value
    # All metrics are from 0 to 1.
    for name, value, error, least in (
        ("metric", figure.value, figure.value_error, 0),
        ("baseline", figure.baseline_value, figure.baseline_error, 0),
        ("difference", difference, figure.difference_error, -1),
    ):
        columns[f"{name}_low"] = max(value - _NORMAL_QUANTILE * error, least)
        columns[f"{name}_high"] = min(value + _NORMAL_QUANTILE * error, 1)
    return columns


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
