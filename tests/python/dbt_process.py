"""Runs dbt in a process of its own that is quick to start and ends with its lock."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from deftunes.settings import PROJECT

TIMEOUT_SECONDS = 900.0


def invoke(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    said: Path,
    project: Path = PROJECT,
) -> None:
    """Run dbt in this process, and end it.

    Args:
        arguments: what would follow `dbt` on a command line.
        environment: all variables that dbt is to see.
        said: the file for what dbt says.
        project: the folder to run it in.

    """
    with said.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(project)
    # Imported already where this process was forked from.
    from dbt.cli.main import dbtRunner

    sys.exit(not dbtRunner().invoke([*arguments]).success)


def fork(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    said: Path,
    project: Path = PROJECT,
) -> multiprocessing.context.ForkServerProcess:
    """Start dbt in a process that has it loaded already.

    Args:
        arguments: what would follow `dbt` on a command line.
        environment: all variables that dbt is to see.
        said: the file for what dbt says.
        project: the folder to run it in.

    Returns:
        The process.

    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["dbt.cli.main", "dbt.task.build", "dbt.adapters.duckdb", "dbt_warm"]
    )
    process = context.Process(
        target=invoke, args=(arguments, environment, said, project)
    )
    # The server that processes are forked from starts with the first of them.
    with patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path)}):
        process.start()
    return process


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    said: Path,
    project: Path = PROJECT,
) -> subprocess.CompletedProcess[str]:
    """Run dbt in such a process, and return what came of it; all it says is stdout.

    Raises:
        TimeoutExpired: it takes longer than `TIMEOUT_SECONDS`.

    """
    process = fork(arguments, environment, said, project)
    process.join(TIMEOUT_SECONDS)
    if process.exitcode is None:
        process.kill()
        raise subprocess.TimeoutExpired(["dbt", *arguments], TIMEOUT_SECONDS)
    return subprocess.CompletedProcess(
        ["dbt", *arguments], process.exitcode, said.read_text(), ""
    )
