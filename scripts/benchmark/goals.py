"""The goals of the benchmark, and whether a value meets them."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmark.scenarios import MANY_GROUPS, Figures

MILLION = 1_000_000
GIB = 1 << 30


@dataclass(frozen=True)
class Goal:
    """A goal.

    Attributes:
        name: what is measured or compared.
        bound: the limit of the value.
        value: computes the value; raises KeyError if something was not measured.
        at_least: whether the bound is a lower bound.
        smallest: the smallest number of items that the goal applies to.
        largest: the largest number of items.
        unit: the unit of the value; empty for a ratio.

    """

    name: str
    bound: float
    value: Callable[[Figures], float]
    at_least: bool = False
    smallest: int = 0
    largest: float = math.inf
    unit: str = ""

    def holds_for(self, items: int) -> bool:
        """Return whether the goal applies to this number of items."""
        return self.smallest <= items <= self.largest

    def is_met(self, value: float) -> bool:
        """Return whether a value meets the goal."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        """Return the bound as text."""
        how = "at least" if self.at_least else "at most"
        return f"{how} {self.bound:g}{self.unit}"


def _ratio(one: str, other: str) -> Callable[[Figures], float]:
    return lambda figures: figures[one] / figures[other]


def _median(name: str) -> Callable[[Figures], float]:
    return lambda figures: figures[name]


def _chosen_over_better(figures: Figures) -> float:
    """Return the worst ratio of a view: the chosen method over the faster of both."""
    return max(
        figures[f"view {view}, chosen"]
        / min(
            figures[name]
            for name in (f"view {view}, feed", f"view {view}, recomputed")
            if name in figures
        )
        for view in _views(figures)
    )


def _worst(figures: Figures, start: str, end: str = "") -> float:
    return max(
        figures[name]
        for name in figures.of
        if name.startswith(start) and name.endswith(end)
    )


def _views(figures: Figures) -> Iterator[str]:
    for name in figures.of:
        view = name.removeprefix("view ").removesuffix(", chosen")
        if name == f"view {view}, chosen":
            yield view


def _lake_writes(figures: Figures) -> float:
    return max(figures.of["nothing new, lake writes"])


GOALS = (
    Goal("`make demo` in a new clone", 75, _median("make demo, cold"), unit=" s"),
    Goal("`make demo` again", 20, _median("make demo, again"), unit=" s"),
    Goal(
        "`dbt build` of the demo with nothing new",
        10,
        _median("demo, nothing new"),
        unit=" s",
    ),
    Goal("`mf query`, cold", 5, _median("mf query, cold"), unit=" s"),
    Goal(
        "a full build, in all",
        60,
        _median("full build"),
        smallest=MILLION,
        largest=MILLION,
        unit=" s",
    ),
    Goal(
        "a day, in all",
        25,
        _median("day"),
        smallest=MILLION,
        largest=MILLION,
        unit=" s",
    ),
    Goal(
        "a build with nothing new, in all",
        12,
        _median("nothing new"),
        smallest=MILLION,
        largest=MILLION,
        unit=" s",
    ),
    Goal(
        "a day on the history over the same day on a tenth of it",
        1.2,
        _ratio("day", "day on a tenth"),
        smallest=MILLION,
    ),
    Goal(
        "view by day, country and artist: recomputing over the feed",
        10,
        _ratio(f"view {MANY_GROUPS}, recomputed", f"view {MANY_GROUPS}, feed"),
        at_least=True,
        smallest=10 * MILLION,
    ),
    Goal(
        "views: the chosen way over the better of two, worst view",
        1.1,
        _chosen_over_better,
    ),
    Goal(
        "views: refreshing when nothing moved, engine time, worst view",
        0.02,
        lambda figures: _worst(figures, "view ", ", nothing moved"),
        unit=" s",
    ),
    Goal(
        "landing sessions, speed over dlt's",
        10,
        _ratio("dlt sessions", "landing sessions"),
        at_least=True,
    ),
    Goal(
        "landing songs, speed over dlt's",
        5,
        _ratio("dlt songs", "landing songs"),
        at_least=True,
    ),
    Goal("a build with nothing new, lake writes", 0, _lake_writes, unit=" snapshots"),
    Goal(
        "dashboard questions of the published file, 95th percentile, worst",
        0.05,
        lambda figures: _worst(figures, "question "),
        smallest=10 * MILLION,
        unit=" s",
    ),
    Goal(
        "peak memory of the full build",
        4,
        lambda figures: max(figures.of["full build, peak bytes"]) / GIB,
        smallest=100 * MILLION,
        unit=" GiB",
    ),
    Goal(
        "bytes in the lake over the same rows as plain zstd Parquet",
        1.1,
        _ratio("lake, bytes", "plain Parquet, bytes"),
    ),
    Goal(
        "full build over the full build of a tenth",
        11,
        _ratio("full build", "full build of a tenth"),
        smallest=100 * MILLION,
    ),
)
"""The goals of the project."""
