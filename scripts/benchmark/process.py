"""Commands, timed and weighed from outside."""

import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_WATCH_EVERY = 0.05  # seconds


class CommandError(Exception):
    """A command failed; the message holds the end of what it said."""


@dataclass(frozen=True)
class Done:
    """A command that has run.

    Attributes:
        seconds: how long it took.
        cpu: for how long it and its children kept a core busy, in seconds.
        peak: the most memory that it and its children held at once (RSS), in bytes;
            None where there is no /proc to see it.
        output: what it wrote to the standard output.

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
) -> Done:
    """Run a command.

    Args:
        command: the program and its arguments.
        folder: where it runs.
        environment: all variables that it sees.
        log: the file for what it says besides its output.

    Raises:
        CommandError: it failed.

    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as errors:
        busy, started = _busy(), time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - our own arguments
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        peaks: list[int] = []
        watch = threading.Thread(target=_watch, args=(process, peaks), daemon=True)
        watch.start()
        output, _ = process.communicate()
        seconds = time.perf_counter() - started
        watch.join()
    if process.returncode:
        said = (output + log.read_text())[-4000:]
        raise CommandError(f"{' '.join(map(str, command))} failed:\n{said}")
    return Done(seconds, _busy() - busy, max(peaks, default=None), output)


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings of DeFtunes and dbt, but one.

    How much memory a build may take is for who runs the benchmark to say.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if name == "DEFTUNES_MEMORY_LIMIT" or not name.startswith(("DEFTUNES_", "DBT_"))
    }


def _busy() -> float:
    """Return the processor time of all children that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(process: "subprocess.Popen[str]", peaks: list[int]) -> None:
    """Note how much memory a process and its children hold, until it ends."""
    while process.poll() is None:
        held = _held(process.pid)
        if held:
            peaks.append(held)
        time.sleep(_WATCH_EVERY)


def _held(pid: int) -> int:
    """Return the resident memory of a process and its children, in bytes."""
    place = Path("/proc") / str(pid)
    try:
        held = int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        for children in place.glob("task/*/children"):
            held += sum(_held(int(child)) for child in children.read_text().split())
    except (OSError, LookupError):
        return 0  # it has ended, or there is no /proc
    return held
