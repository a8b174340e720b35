"""The project's own builds, with the time of each part."""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deftunes import spark_lake
from deftunes.settings import PROJECT

from benchmark import process

_PARTS = {
    "test": "tests",
    "unit_test": "tests",
    "operation": "publish",
}

_QUALITY_ALONE = "{published_schemas: [quality], publish_copy: false}"
_WITHOUT_TESTS = (
    *("--exclude-resource-type", "test"),
    *("--exclude-resource-type", "unit_test"),
)


@dataclass(frozen=True)
class Build:
    """A `dbt build` and the seconds of its parts.

    Attributes:
        done: the whole command.
        parts: `models` (with seeds and snapshots), `ml` (machine learning), `tests`,
            `publish` (what runs before and after the nodes), and `start-up` (the rest).
        nodes: the seconds of each node, by its name.

    """

    done: process.CompletedCommand
    parts: dict[str, float]
    nodes: dict[str, float]


@dataclass(frozen=True)
class Lakehouse:
    """A lakehouse of the benchmark.

    Attributes:
        home: its folder.
        tests: whether builds run tests; without tests nothing is published.
        publishes: whether builds publish everything, not only `quality`.
        project: the dbt project that builds it.
        target: dbt's target, `local` or `spark`.
        ml: whether builds with target `local` do machine learning; Spark has none.

    """

    home: Path
    tests: bool = True
    publishes: bool = True
    project: Path = PROJECT
    target: str = "local"
    ml: bool = True

    @property
    def catalogue(self) -> Path:
        """The lake's catalogue."""
        return self.home / "lake" / "catalog.sqlite"

    @property
    def published(self) -> Path:
        """The published database."""
        return self.home / "serving" / "deftunes.duckdb"

    @property
    def _target(self) -> Path:
        """Dbt's target folder; one per home, as the parsed project depends on it."""
        return self.home.with_suffix(".dbt")

    def dbt(self, *arguments: str) -> process.CompletedCommand:
        """Run dbt.

        Raises:
            CommandError: it failed.

        """
        is_spark = self.target == "spark"
        settings = {
            "DEFTUNES_HOME": str(self.home),
            "DBT_TARGET": self.target,
            "DEFTUNES_WITHOUT_ML": "" if self.ml else "1",
            # Only a shell sets it to where the command runs.
            "PWD": str(self.project),
        }
        if is_spark:
            (self.home / "lake_spark").mkdir(exist_ok=True)
        return process.run(
            [
                spark_lake.DBT if is_spark else Path(sys.executable).with_name("dbt"),
                *arguments,
                *(() if self.publishes else ("--vars", _QUALITY_ALONE)),
                *("--profiles-dir", PROJECT),
                *("--target-path", self._target),
                *("--log-path", self.home / "logs"),
            ],
            folder=self.project,
            environment=process.clean_environment() | settings,
            log=self.home / "logs" / "stderr.log",
        )

    def build(self) -> Build:
        """Run `dbt build`.

        Raises:
            CommandError: it failed.

        """
        done = self.dbt("build", *(() if self.tests else _WITHOUT_TESTS))
        results = self._target / "run_results.json"
        parts = {"models": 0.0, "ml": 0.0, "tests": 0.0, "publish": 0.0}
        nodes: dict[str, float] = {}
        for result in json.loads(results.read_text())["results"]:
            kind, _, name = result["unique_id"].split(".", 2)
            part = "ml" if _is_ml(result) else _PARTS.get(kind, "models")
            parts[part] += result["execution_time"]
            nodes[name] = nodes.get(name, 0.0) + result["execution_time"]
        parts["start-up"] = done.seconds - sum(parts.values())
        return Build(done, parts, nodes)

    def clear(self) -> None:
        """Remove the DuckLake and the published files; keep the landing zone."""
        for folder in ("lake", "serving"):
            shutil.rmtree(self.home / folder, ignore_errors=True)


def _is_ml(result: dict[str, Any]) -> bool:
    return '"ml"."' in (result.get("relation_name") or "")
