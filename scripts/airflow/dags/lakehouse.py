"""DeFtunes in Airflow: land every day, build what has landed, keep the lake small.

Airflow calls the project's commands, in the folder DEFTUNES_PROJECT with the project's
own .venv. It needs a pool `lake` of one slot, since the lake has one writer.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param
from airflow.sdk.exceptions import AirflowFailException

PROJECT = Path(os.environ["DEFTUNES_PROJECT"])
BIN = PROJECT / ".venv" / "bin"
LANDED = Asset("deftunes_landed")
PUBLISHED = Asset("deftunes_published")


def alert(context: dict[str, Any]) -> None:
    """Tell people that a task failed for good, and dbt's failing tests by name."""
    task = context["ti"]
    started = pendulum.instance(task.start_date).in_timezone("UTC")
    subprocess.run(  # noqa: S603 - the project's own command
        [
            *(BIN / "python", "scripts/alert.py"),
            f"{task.dag_id}.{task.task_id} failed, run {context['run_id']}",
            f"--since={started:%Y-%m-%dT%H:%M:%S}",
        ],
        cwd=PROJECT,
        check=True,
    )


class Command(BashOperator):  # type: ignore[misc]
    """Runs a command in the project, when no other task writes to the lake."""

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - Airflow's arguments
        """Set the folder, the pool, the retries and the alert."""
        super().__init__(
            cwd=str(PROJECT),
            append_env=True,
            pool="lake",
            on_failure_callback=alert,
            # The delay is Airflow's [core] default_task_retry_delay, five minutes.
            retries=3,
            retry_exponential_backoff=True,
            **arguments,
        )


class Dbt(Command):
    """Runs dbt. The results of its nodes are in the log, and in the XCom `nodes`."""

    def execute(self, context: dict[str, Any]) -> None:
        """Run the command, and hand on what it has tested, even if it fails."""
        results = PROJECT / os.environ.get("DBT_TARGET_PATH", "target")
        results /= "run_results.json"
        before = _modified(results)
        try:
            super().execute(context)
        finally:
            if _modified(results) != before:
                self._hand_on(json.loads(results.read_text())["results"], context)

    def _hand_on(self, results: list[dict[str, Any]], context: dict[str, Any]) -> None:
        nodes = [
            {
                "name": result["unique_id"].split(".")[2],
                "type": result["unique_id"].split(".")[0],
                "status": result["status"],
                "seconds": round(result["execution_time"], 2),
                "failures": result["failures"],
                "message": result["message"],
            }
            for result in results
        ]
        tests = [node for node in nodes if node["type"] == "test"]
        passed = sum(test["status"] == "pass" for test in tests)
        self.log.info("%d of %d tests passed.", passed, len(tests))
        for test in sorted(tests, key=lambda test: test["status"]):
            self.log.info("%(status)-7s %(seconds)7.2f s  %(name)s", test)
        context["ti"].xcom_push("nodes", nodes)
        if PUBLISHED in self.outlets:
            context["outlet_events"][PUBLISHED].extra = {"tests_passed": passed}
        failed = [node["name"] for node in nodes if node["status"] in ("fail", "error")]
        if failed:
            # Trying again would not help.
            raise AirflowFailException(f"Failed in dbt: {', '.join(failed)}")


def _modified(path: Path) -> int | None:
    """Return when a file was last written, in ns since 1970; None if it is missing."""
    return path.stat().st_mtime_ns if path.exists() else None


COMMON: dict[str, Any] = {
    "start_date": pendulum.datetime(2020, 1, 1, tz="UTC"),
    "catchup": False,
    "tags": ["deftunes"],
}

# A scheduled run lands the week that ends with its day, so that days are not missed
# while Airflow is down; what has not changed is not landed again. A backfill lands its
# day. A run by hand lands its day or, as one window, the days in its parameters.
with DAG(
    "deftunes_land",
    schedule=CronDataIntervalTimetable("15 3 * * *", "UTC"),
    params={
        "start": Param(None, type=["null", "string"], format="date"),
        "end": Param(None, type=["null", "string"], format="date"),
    },
    doc_md="Land a day of sessions, or the days from `start` to before `end`.",
    **COMMON,
):
    Command(
        task_id="land",
        bash_command=(
            "exec .venv/bin/python scripts/land.py --wait 600"
            " --start {{ params.start or (data_interval_start | ds if dag_run.run_type"
            " != 'scheduled' else macros.ds_add(data_interval_start | ds, -6)) }}"
            " --end {{ params.end or (data_interval_end | ds) }}"
        ),
        priority_weight=10,  # whatever waits to land is in the next build
        outlets=[LANDED],
    )

# One run at a time: what lands while it waits or runs is one further run.
with DAG(
    "deftunes_build",
    schedule=[LANDED],
    max_active_runs=1,
    doc_md="Build and test what has landed, publish it if all tests pass, draw boards.",
    **COMMON,
):
    Dbt(
        task_id="build", bash_command="exec .venv/bin/dbt build", outlets=[PUBLISHED]
    ) >> Command(
        task_id="boards", bash_command="exec .venv/bin/python scripts/dashboard.py"
    )

with DAG(
    "deftunes_upkeep",
    schedule="15 5 1 * *",
    max_active_runs=1,
    doc_md="Keep the lake small, and test all rows, which a build may not do.",
    **COMMON,
):
    Command(
        task_id="upkeep", bash_command="exec .venv/bin/dbt run-operation upkeep"
    ) >> Dbt(task_id="test", bash_command="exec .venv/bin/dbt test")
