"""Writes the report: results as JSON, tables as Markdown, a plot as SVG."""

import json
import os
import platform
from collections.abc import Iterator, Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path

from benchmark.goals import GOALS, Goal
from benchmark.scenarios import Bench, Figures

_TABLE = (
    "full build",
    "full build, models",
    "full build, ml",
    "full build, tests",
    "full build, publish",
    "full build, start-up",
    "limit",
    "limit, engine",
    *(
        f"{engine}, {build}{part}"
        for build in ("first build", "next day")
        for engine in ("DuckDB", "Spark")
        for part in ("", ", models", ", tests", ", publish", ", start-up")
    ),
    "full build of a tenth",
    "full build of a tenth, models",
    "day",
    "day, models",
    "day, ml",
    "day, tests",
    "day, publish",
    "day, start-up",
    "day on a tenth",
    "day on a tenth, models",
    "dbt's own start",
    "nothing new",
    "nothing new, models",
    "nothing new, tests",
    "nothing new, publish",
)
_BAR = 14  # pixels of height


def write(bench: Bench, command: str, folder: Path) -> str:
    """Write `results.json`, `figures.json`, `report.md` and `report.svg`.

    Args:
        bench: the run.
        command: the command that started it.
        folder: the folder for the files.

    Returns:
        The text of the report.

    """
    figures = bench.figures
    values = list(measured_goals(figures))
    results = [
        {
            "name": goal.name,
            "value": round(value, 4),
            "goal": str(goal),
            "met": goal.is_met(value),
        }
        for goal, value in values
        if goal.holds_for(bench.data.items)
    ]
    text = "\n\n".join(
        [
            f"# Benchmark of {bench.data.items:,} items",
            _machine(bench, command),
            "![The medians of the builds.](report.svg)",
            "## Goals",
            _goals(values, bench.data.items),
            "## Seconds, medians",
            _seconds(figures),
            "## Nodes that take longest",
            _nodes(figures),
            "## Views after the day, questions, landing",
            _others(figures),
            "## Notes",
            "\n".join(f"- {note}" for note in figures.notes),
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (folder / "figures.json").write_text(json.dumps(figures.of, indent=1) + "\n")
    (folder / "report.md").write_text(text + "\n")
    (folder / "report.svg").write_text(plot(figures))
    return text


def measured_goals(figures: Figures) -> Iterator[tuple[Goal, float]]:
    """Yield each goal whose value was measured, with the value."""
    for goal in GOALS:
        try:
            yield goal, goal.value(figures)
        except (KeyError, ValueError):
            continue  # nothing was measured


def _machine(bench: Bench, command: str) -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    load = os.getloadavg()[0]
    packages = ("duckdb", "dbt-core", "dbt-duckdb", "pyarrow")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return "\n".join(
        [
            f"- Command: `{command}`",
            f"- Machine: {platform.machine()}, {os.cpu_count()} cores,"
            f" {memory:.0f} GiB; {platform.platform()}; load average at the end"
            f" {load:.1f} (if it is higher than the number of cores, other processes"
            " were running: then only ratios and CPU times are meaningful)",
            f"- Versions: Python {platform.python_version()}, {versions};"
            " those of dlt and Spark are in scripts/benchmark/requirements.txt and"
            " scripts/spark/requirements.txt",
            f"- Data: {bench.data.days} days with one batch each, without malformed"
            f" records; the day is {bench.data.day}; the history ends two days before"
            f" it; contenders alternate, {bench.repeats} times",
        ]
    )


def _goals(values: Sequence[tuple[Goal, float]], items: int) -> str:
    rows = []
    for goal, value in values:
        if goal.holds_for(items):
            met = "yes" if goal.is_met(value) else "**no**"
        else:
            met = f"of {goal.smallest:,} items"
        rows.append([goal.name, f"{value:.3g}{goal.unit}", str(goal), met])
    return _markdown(["what", "value", "goal", "met"], rows)


def _seconds(figures: Figures) -> str:
    rows = []
    for name in _TABLE:
        if name in figures:
            busy, peak = f"{name}, processor", f"{name}, peak bytes"
            rows.append(
                [
                    name,
                    f"{figures[name]:.2f}",
                    " ".join(f"{value:.2f}" for value in figures.of[name]),
                    f"{figures[busy]:.2f}" if busy in figures else "",
                    f"{max(figures.of[peak]) / (1 << 20):,.0f}"
                    if peak in figures
                    else "",
                ]
            )
    return _markdown(["what", "median", "runs", "processor", "peak MiB"], rows)


def _nodes(figures: Figures) -> str:
    rows = []
    for run in (
        *("full build", "day", "nothing new", "limit"),
        *("DuckDB, first build", "Spark, first build"),
        *("DuckDB, next day", "Spark, next day"),
    ):
        start = f"node of {run}: "
        nodes = sorted(
            ((figures[name], name) for name in figures.of if name.startswith(start)),
            reverse=True,
        )
        rows += [
            [run, name.removeprefix(start), f"{seconds:.2f}"]
            for seconds, name in nodes[:12]
        ]
    return _markdown(["of", "node", "seconds"], rows)


def _others(figures: Figures) -> str:
    return _markdown(
        ["what", "median"],
        [
            [name, f"{figures[name]:.4g}"]
            for name in figures.of
            if name.startswith(("view ", "question ", "landing ", "dlt ", "rows of "))
            or "bytes" in name
        ],
    )


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def plot(figures: Figures) -> str:
    """Draw the medians of the builds as bars.

    Args:
        figures: what was measured.

    Returns:
        An SVG picture.

    """
    bars = [(name, figures[name]) for name in _TABLE if name in figures]
    longest = max((seconds for _, seconds in bars), default=1.0) or 1.0
    parts = []
    for number, (name, seconds) in enumerate(bars):
        y = number * (_BAR + 4) + 4
        width = 500 * seconds / longest
        is_part = ", " in name
        parts.append(
            f'<text x="{16 if is_part else 4}" y="{y + 11}">{escape(name)}</text>'
            f'<rect x="210" y="{y}" width="{width:.1f}" height="{_BAR}"'
            f' fill="{"#9ecae1" if is_part else "#3182bd"}"/>'
            f'<text x="{width + 216:.0f}" y="{y + 11}">{seconds:.2f} s</text>'
        )
    height = len(bars) * (_BAR + 4) + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}"'
        ' font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>' + "".join(parts) + "</svg>\n"
    )
