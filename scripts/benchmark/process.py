"""Runs commands, and measures their time and memory."""

import os
import resource
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
        busy, started = _children_cpu_seconds(), time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        peaks: list[int] = []
        watch = threading.Thread(
            target=_watch_memory, args=(process, peaks), daemon=True
        )
        watch.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - started
        watch.join()
    if process.returncode:
        end = (output + log.read_text())[-4000:]
        raise CommandError(f"{' '.join(map(str, command))} failed:\n{end}")
    return CompletedCommand(
        seconds, _children_cpu_seconds() - busy, max(peaks, default=None), output
    )


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings of DeFtunes and dbt.

    Those in `KEPT` stay.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(("DEFTUNES_", "DBT_"))
    }


def _children_cpu_seconds() -> float:
    """Return the CPU time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch_memory(process: "subprocess.Popen[str]", peaks: list[int]) -> None:
    """Record the memory of a process and its children at intervals, until it ends."""
    while process.poll() is None:
        resident = _resident_memory(process.pid)
        if resident:
            peaks.append(resident)
        time.sleep(_SAMPLING_INTERVAL)


def _resident_memory(pid: int) -> int:
    """Return the resident memory of a process and its children, in bytes."""
    status = Path("/proc") / str(pid)
    try:
        pages = int((status / "statm").read_text().split()[1])
        resident = pages * os.sysconf("SC_PAGESIZE")
        for children in status.glob("task/*/children"):
            for child in children.read_text().split():
                resident += _resident_memory(int(child))
    except (OSError, LookupError):
        return 0  # the process has ended, or there is no /proc
    return resident
