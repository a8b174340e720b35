"""Update the overview page of the dbt docs: `python scripts/fill_overview.py`.

dbt's docs site shows a picture only if the page embeds it, and it cannot include text
from other files. So this script copies two things into `models/overview.md`: the
pictures of `models/pictures/`, and, from the `target/semantic_manifest.json` that `dbt
parse` writes, the metrics and the dimensions that they can be grouped by.
"""

import base64
import re
import sys
from pathlib import Path

import yaml  # type: ignore[import-untyped]
from deftunes.metrics import engine
from deftunes.settings import PROJECT, Settings
from metricflow.engine.models import Dimension, Metric

OVERVIEW = PROJECT / "models" / "overview.md"
PICTURES = PROJECT / "models" / "pictures"
METRICS = PROJECT / "models" / "semantic" / "metrics.yml"

TIMES = (
    *("ordered_at", "started_at", "registered_at", "first_ordered_at"),
    "calendar_day",
)
"""The times of semantic models; in a query, each is `metric_time`."""

_PICTURE = re.compile(r"^\[(\w+)\]: data:image/svg\+xml;base64,\S*$", re.MULTILINE)
_METRICS = re.compile(r"(^\| \[[^]]*\]\(#!/metric/.*\n)+", re.MULTILINE)
_DIMENSIONS = re.compile(r"(^\| `\w+__\w+` \|.*\n)+", re.MULTILINE)


def fill(overview: str, manifest: Path) -> str:
    """Return the overview with the current pictures, metrics and dimensions.

    Args:
        overview: the text, with a line `[<name>]: data:image/svg+xml;base64,…` for
            each picture `models/pictures/<name>.svg`, a table of metrics, and one of
            dimensions.
        manifest: the `semantic_manifest.json` of dbt.

    Raises:
        FileNotFoundError: there is no picture of that name, or dbt has not parsed.
        ValueError: a metric can be grouped by only some dimensions of an entity.

    """
    # In the order of the file, which the manifest does not keep.
    order = [
        metric["name"] for metric in yaml.safe_load(METRICS.read_text())["metrics"]
    ]
    listed = engine(manifest).list_metrics()
    metrics = sorted(listed, key=lambda metric: order.index(metric.name))
    known = {
        dimension.granularity_free_dunder_name: dimension
        for metric in metrics
        for dimension in _direct(metric)
    }
    rows = "".join(_metric_row(metric, known) for metric in metrics)
    overview = _METRICS.sub(lambda _: rows, overview)
    names = "".join(_dimension_row(name, known[name]) for name in sorted(known))
    overview = _DIMENSIONS.sub(lambda _: names, overview)
    return _PICTURE.sub(_embedded, overview)


def _direct(metric: Metric) -> list[Dimension]:
    """Return the dimensions of a metric that have an entity, without detours."""
    return [
        each
        for each in metric.dimensions
        if len(each.entity_links) == 1 and each.name not in TIMES
    ]


def _metric_row(metric: Metric, known: dict[str, Dimension]) -> str:
    names = {each.granularity_free_dunder_name for each in _direct(metric)}
    entities = sorted({name.partition("__")[0] for name in names})
    incomplete = {name for name in known if name.partition("__")[0] in entities} - names
    if incomplete:
        raise ValueError(f"{metric.name} cannot be grouped by {sorted(incomplete)}.")
    link = f"[{metric.label}](#!/metric/metric.deftunes.{metric.name})"
    meta = metric.config.meta if metric.config else {}
    groups = ", ".join(["metric_time", *entities])
    return (
        f"| {link} `{metric.name}` | {metric.description} | {meta['unit']}"
        f" | {meta['owner']} | {groups} |\n"
    )


def _dimension_row(name: str, dimension: Dimension) -> str:
    return f"| `{name}` | {dimension.label} | {dimension.description} |\n"


def _embedded(line: re.Match[str]) -> str:
    picture = (PICTURES / f"{line[1]}.svg").read_bytes()
    encoded = base64.b64encode(picture).decode()
    return f"[{line[1]}]: data:image/svg+xml;base64,{encoded}"


def main() -> int:
    """Rewrite the overview and return the exit code."""
    manifest = Settings.from_environment().dbt_target / "semantic_manifest.json"
    OVERVIEW.write_text(fill(OVERVIEW.read_text("utf-8"), manifest), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
