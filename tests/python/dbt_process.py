"""Runs dbt in a process of its own that is quick to start and ends with its lock."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

from deftunes.settings import PROJECT

TIMEOUT_SECONDS = 900.0
# Writing these takes a second or two.
_KEEPS_NOTHING = {"DBT_WRITE_JSON": "false", "DBT_LOG_LEVEL_FILE": "none"}


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
    # As in a terminal: a shell starts background commands with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(project)
    # Imported already where this process was forked from.
    from dbt.cli.main import dbtRunner
    from dbt_warm import manifest_for

    manifest = manifest_for(arguments, environment, project)
    sys.exit(not dbtRunner(manifest).invoke([*arguments]).success)


def fork(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    said: Path,
    project: Path = PROJECT,
) -> multiprocessing.context.ForkServerProcess:
    """Start dbt in a process that has it loaded already.

    Args:
        arguments: what would follow `dbt` on a command line.
        environment: all variables that dbt is to see; unless they say otherwise, it
            leaves neither a log nor JSON of its run behind.
        said: the file for what dbt says.
        project: the folder to run it in.

    Returns:
        The process.

    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            *("dbt.cli.main", "dbt.task.build", "dbt.task.run_operation"),
            *(
                "dbt.adapters.duckdb.environments.local",
                "dbt_common.clients.agate_helper",
            ),
            *("deftunes.dbt_plugin.plugin", "dbt_warm"),
        ]
    )
    process = context.Process(
        target=invoke,
        args=(arguments, _KEEPS_NOTHING | dict(environment), said, project),
    )
    said.write_text("")
    # The server that processes are forked from starts with the first of them.
    with patch.dict(os.environ, {"PYTHONPATH": os.pathsep.join(sys.path)}):
        process.start()
    return process


def lines(
    process: multiprocessing.context.ForkServerProcess, said: Path
) -> Iterator[str]:
    """Yield the lines that a process says, as it says them, until it has ended."""
    line = ""
    with said.open() as file:
        while True:
            has_ended = not process.is_alive()
            if part := file.readline():
                line += part
                if line.endswith("\n"):
                    yield line
                    line = ""
            elif has_ended:
                return
            else:
                time.sleep(0.001)


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
