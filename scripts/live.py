"""Keep the live view, and build at a slower rhythm: `python scripts/live.py`."""

import logging
import signal
import subprocess
import sys
import threading
import time
from datetime import date, datetime, timedelta, timezone

import click
import duckdb
from deftunes.landing.download import DownloadError
from deftunes.live import LiveError, LiveView, Refreshed
from deftunes.logs import set_up_logging
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError

# Each build writes small files, so once a month would be too rare: a day, in seconds.
_UPKEEP_EVERY = 86_400.0

logger = logging.getLogger("live")

_stop = threading.Event()


class Builder(threading.Thread):
    """Lands, builds and draws boards now and then, by the project's commands."""

    def __init__(self, every: float, boards_every: float) -> None:
        """Set the rhythm, in seconds."""
        super().__init__(name="builder", daemon=True)
        self.every = every
        self.boards_every = boards_every
        self.first_day: date | None = None
        self.is_needed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Build when something new was seen, but not more often than `every`."""
        drawn = kept = time.monotonic()
        while not _stop.wait(self.every):
            if not self.is_needed.is_set() or self.first_day is None:
                continue
            self.is_needed.clear()
            end = datetime.now(timezone.utc).date() + timedelta(days=1)
            window = (f"--start={self.first_day}", f"--end={end}")
            has_built = self._call("land.py", "sessions", *window) and self._call(
                "dbt", "--quiet", "build"
            )
            if not has_built:
                self.is_needed.set()  # tries again
            elif time.monotonic() - drawn >= self.boards_every:
                self._call("dashboard.py")
                drawn = time.monotonic()
            if time.monotonic() - kept >= _UPKEEP_EVERY:
                self._call("dbt", "--quiet", "run-operation", "upkeep")
                kept = time.monotonic()

    def end(self) -> None:
        """Stop the command that runs; the next build continues from there."""
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def _call(self, command: str, *arguments: str) -> bool:
        """Run a command, and return whether it succeeded."""
        program = (
            [sys.executable, f"scripts/{command}"]
            if command.endswith(".py")
            else [str(PROJECT / ".venv" / "bin" / command)]
        )
        started = time.monotonic()
        # The live view goes first: it needs a second, and a build a minute.
        self._process = subprocess.Popen(  # noqa: S603 - our own commands
            ["/usr/bin/env", "nice", *program, *arguments], cwd=PROJECT
        )
        code = self._process.wait()
        if not _stop.is_set():
            logger.log(
                logging.WARNING if code else logging.INFO,
                "%s ended with exit code %d after %.0f s.",
                *(command, code, time.monotonic() - started),
            )
        return code == 0


@click.command(context_settings={"show_default": True})
@click.option(
    "--every",
    type=click.FloatRange(min=1),
    default=5,
    help="Seconds between two questions to the API.",
)
@click.option(
    "--build-every",
    type=click.FloatRange(min=0),
    default=900,
    help="Seconds between two builds, if something is new; 0 for none.",
)
@click.option(
    "--boards-every",
    type=click.FloatRange(min=0),
    default=3600,
    help="Seconds between two drawings of the boards.",
)
def main(every: float, build_every: float, boards_every: float) -> None:
    """Show purchases in serving/live/analyst.duckdb within seconds, until stopped.

    Land, build and publish them at a slower rhythm. It can be killed at any time, and
    other builds may run beside it.
    """
    set_up_logging()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _stop.set())
    try:
        view = LiveView(Settings.from_environment())
    except (HomeError, LiveError, SettingsError) as error:
        logger.error("%s", error)
        sys.exit(2)
    builder = Builder(build_every, boards_every)
    if build_every:
        builder.start()
    last = time.monotonic()
    while not _stop.is_set():
        started = time.monotonic()
        try:
            refreshed = view.refresh()
        except (DownloadError, LiveError, OSError, duckdb.Error) as error:
            logger.warning("%.0f s behind: %s", time.monotonic() - last, error)
        else:
            _report(refreshed, time.monotonic() - started)
            last = started
            builder.first_day = refreshed.days[0]
            if refreshed.is_changed:
                builder.is_needed.set()
        _stop.wait(max(0.0, every - (time.monotonic() - started)))
    builder.end()


def _report(refreshed: Refreshed, seconds: float) -> None:
    """Log what has changed, if something has."""
    if refreshed.is_changed:
        logger.info(
            "%d provisional items of %d days, shown after %.1f s.",
            *(refreshed.items, len(refreshed.days), seconds),
        )


if __name__ == "__main__":
    main()
