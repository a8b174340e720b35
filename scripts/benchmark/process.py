"""Runs commands, and measures their time and memory."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

KEPT = ("DEFTUNES_MEMORY_LIMIT", "DEFTUNES_SPARK_MEMORY")
"""The settings of the environment that apply to the builds."""

_SAMPLING_INTERVAL = 0.05  # seconds


class CommandError(Exception):
    """A command failed; the message contains the end of its output."""


@dataclass(frozen=True)
class CompletedCommand:
    """The measurements and the output of a command.

    Attributes:
        seconds: the elapsed time.
        cpu: the CPU time of the command and its children, in seconds.
        peak: their peak memory (RSS), in bytes; None on systems without /proc.
        output: the standard output.

    """

    seconds: float
    cpu: float
    peak: int | None
    output: str


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
) -> CompletedCommand:
    """Run a command.

    Args:
        command: the program and its arguments.
        folder: the working directory.
        environment: all environment variables of the command.
        log: the file for its standard error.

    Raises:
        CommandError: it failed.

    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        samples: list[tuple[int, int]] = []
        watch = threading.Thread(target=_watch, args=(process, samples), daemon=True)
        watch.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - started
        watch.join()
    if process.returncode:
        end = (output + log.read_text())[-4000:]
        raise CommandError(f"{' '.join(map(str, command))} failed:\n{end}")
    peak, ticks = map(max, zip(*samples, strict=True)) if samples else (None, 0)
    return CompletedCommand(seconds, ticks / os.sysconf("SC_CLK_TCK"), peak, output)


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings of DeFtunes and dbt.

    Those in `KEPT` stay.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(("DEFTUNES_", "DBT_"))
    }


def _watch(process: "subprocess.Popen[str]", samples: list[tuple[int, int]]) -> None:
    """Record memory and CPU time at intervals, until a process ends."""
    while process.poll() is None:
        samples.append(_usage(process.pid))
        time.sleep(_SAMPLING_INTERVAL)


def _usage(pid: int) -> tuple[int, int]:
    """Return the resident bytes and the CPU ticks of a process and its children.

    Not by `getrusage`: it leaves out children whose end nobody waits for, such as
    Spark's Java.
    """
    status = Path("/proc") / str(pid)
    try:
        pages = int((status / "statm").read_text().split()[1])
        # The fields after the name, which may contain spaces: 11 to 14 are the times in
        # user and system mode, of the process and of its children that have ended.
        fields = (status / "stat").read_text().rpartition(")")[2].split()
        resident = pages * os.sysconf("SC_PAGESIZE")
        ticks = sum(map(int, fields[11:15]))
        for children in status.glob("task/*/children"):
            for child in children.read_text().split():
                more_resident, more_ticks = _usage(int(child))
                resident, ticks = resident + more_resident, ticks + more_ticks
    except (OSError, LookupError):
        return 0, 0  # the process has ended, or there is no /proc
    return resident, ticks
