"""Writes a card for each model: what it is for, learns from, and how good it is.

What a card should say is described in Mitchell et al., "Model Cards for Model
Reporting", 2019.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from deftunes.ml import churn, recommendations

_SWITCHED_OFF = (
    "Machine learning is switched off by DEFTUNES_WITHOUT_ML: there are no models."
)
_NOTHING_PUBLISHED = (
    "No model has been published yet. `dbt build` trains, measures and publishes them."
)

# The model, the table of what it offers, the table that it learns from, and its inputs.
_MODELS = (
    (churn.MODEL_NAME, "ml_churn_scores", "int_churn_inputs", churn.INPUTS),
    (
        recommendations.MODEL_NAME,
        "ml_song_recommendations",
        "int_learned_purchases",
        recommendations.INPUTS,
    ),
)
_CURRENT = """
    from ml.ml_model_evaluations
    where is_current and model_name = ?
    order by metric_name, baseline_name
"""

Row = Mapping[str, Any]


def model_cards(manifest: Row, database: Path) -> str:
    """Return the cards of all models as Markdown.

    Args:
        manifest: dbt's manifest, which has the descriptions.
        database: the published database with everything, which has the evaluations.

    Returns:
        A section per model, without any data of persons; one sentence if there is no
        model.

    """
    nodes = {
        node["name"]: node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
    }
    if "ml_model_evaluations" not in nodes:
        return _SWITCHED_OFF
    if not database.exists():
        return _NOTHING_PUBLISHED
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
        ).fetchall()
        if ("ml.ml_model_evaluations",) not in tables:
            return _NOTHING_PUBLISHED
        cards = []
        for model, offers, learns_from, inputs in _MODELS:
            rows = connection.execute(_CURRENT, [model]).to_arrow_table().to_pylist()
            cards.append(_card(nodes[offers], nodes[learns_from], inputs, rows))
    columns = nodes["ml_model_evaluations"]["columns"]
    return "\n\n".join(
        [
            f"Metrics. {columns['metric_name']['description']}",
            f"Baselines. {columns['baseline_name']['description']}",
            *cards,
        ]
    )


def _card(node: Row, learned: Row, inputs: Sequence[str], rows: Sequence[Row]) -> str:
    """Return the card of a model.

    Args:
        node: dbt's node of the table that the model offers.
        learned: that of the table that it learns from.
        inputs: the columns of that table.
        rows: the rows of its current training in `ml_model_evaluations`.

    """
    training, meta, columns = rows[0], node["config"]["meta"], learned["columns"]
    reason = training["withheld_reason"]
    status = f"Withheld: {reason}.** Tried" if reason else "Offered.** Trained"
    measured = _days(training, "evaluation")
    figures = [
        (
            row["metric_name"],
            _interval(row, "metric"),
            row["baseline_name"],
            _interval(row, "baseline"),
            _interval(row, "difference"),
            "no" if row["is_worse"] or not row["is_better"] else "yes",
        )
        for row in rows
        if row["metric_value"] is not None
    ]
    return f"""### {training["model_name"]}

{_link(node)}: {node["description"]}

**Intended use.** {meta["intended_use"]}

**Out of scope.** {meta["out_of_scope"]}

**{status} at {training["trained_at"]:%Y-%m-%d %H:%M} UTC, with the parameters
`{training["parameters"]}`, on {_days(training, "offered_training")}.

**Measured** by a training of the same kind on {_days(training, "training")}:
on {measured}. In brackets are 95 % intervals.

{_table(("metric", "model", "baseline", "baseline's", "difference", "better"), figures)}

**Inputs**, of {_link(learned)}:

{_table(("input", "meaning"), [(i, columns[i]["description"]) for i in inputs])}"""


def _days(training: Row, of: str) -> str:
    """Return the days of one part of a training, and how many examples they gave."""
    count, start = training[f"{of}_count"], training[f"{of}_start_date"]
    if not start:
        return "nothing"
    end = training[f"{of}_end_date"]
    return f"{count:,} examples, from {start} to before {end}"


def _interval(row: Row, of: str) -> str:
    """Return a figure and its 95 % interval."""
    low, high = row[f"{of}_low"], row[f"{of}_high"]
    if of == "difference":
        value = row["metric_value"] - row["baseline_value"]
        return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"{row[f'{of}_value']:.3f} ({low:.3f} to {high:.3f})"


def _link(node: Row) -> str:
    return f"[{node['name']}](#!/model/{node['unique_id']})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown; a sentence if it has no rows."""
    if not rows:
        return "There are no figures, because nothing was measured."
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
