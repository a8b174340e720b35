"""Keep the live view, and build at a slower rhythm: `python scripts/live.py`."""

import logging
import multiprocessing
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone

import click
import duckdb
from dbt.cli.main import dbtRunner
from deftunes.landing.download import DownloadError
from deftunes.live import LiveError, LiveView, Refreshed
from deftunes.logs import set_up_logging
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError

_AFTER_FAILURE = 60.0  # seconds until a build is tried again

logger = logging.getLogger("live")

_stop = threading.Event()


class Builder(threading.Thread):
    """Lands, builds and draws boards now and then, by the project's commands."""

    def __init__(self, every: float, whole_every: float) -> None:
        """Set the rhythm, in seconds."""
        super().__init__(name="builder", daemon=True)
        self.every = every
        self.whole_every = whole_every
        self.first_day: date | None = None
        self.is_needed = threading.Event()
        # The fork server finds the modules there, but not by this process's sys.path.
        paths = (str(PROJECT / "scripts"), os.environ.get("PYTHONPATH"))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        # Python would warn of the semaphores of a build that is stopped.
        os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
        self._forks = multiprocessing.get_context("forkserver")
        # The processes begin with everything imported and the project parsed.
        self._forks.set_forkserver_preload(
            ["__main__", "deftunes.landing.loader", "deftunes.parsed_project"]
        )
        self._process: multiprocessing.process.BaseProcess | None = None

    def run(self) -> None:
        """Build when something new was seen, but not more often than `every`."""
        built = float("-inf")
        built_whole = time.monotonic()
        is_failing = False
        while not _stop.wait(max(0.0, built + self.every - time.monotonic())):
            self.is_needed.wait()
            self.is_needed.clear()
            built = time.monotonic()
            is_whole = built - built_whole >= self.whole_every
            if not self._build(is_whole=is_whole):
                self.is_needed.set()
                if not is_failing:
                    self._alert()
                is_failing = True
                _stop.wait(_AFTER_FAILURE)
                continue
            is_failing = False
            if is_whole:
                self._call(_script, "dashboard.py")
                built_whole = time.monotonic()

    def _build(self, *, is_whole: bool) -> bool:
        """Land what is not published whole and build it; return whether both passed."""
        end = datetime.now(timezone.utc).date() + timedelta(days=1)
        window = (f"--start={self.first_day}", f"--end={end}")
        if not self._call(_script, "land.py", "sessions", *window):
            return False
        if is_whole:
            # Each build writes small files.
            self._call(_dbt, "run-operation", "upkeep")
            return self._call(_dbt, "build")
        return self._call(_dbt, "build", "--selector", "live")

    def _alert(self) -> None:
        """Tell people that builds fail, once until one passes."""
        self._call(
            *(_script, "alert.py"),
            "The live view goes on, but its builds fail, so nothing is published. "
            "The log of live.py says why.",
            # What failed before was told by others.
            f"--since={datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S}",
        )

    def end(self) -> None:
        """Stop the command that runs; the next build continues from there."""
        if self._process and self._process.is_alive():
            self._process.terminate()

    def _call(self, command: Callable[..., None], *arguments: str) -> bool:
        """Run a command in a process, and return whether it succeeded."""
        if _stop.is_set():
            return False
        started = time.monotonic()
        self._process = self._forks.Process(target=command, args=arguments)
        self._process.start()
        self._process.join()
        code = self._process.exitcode
        if not _stop.is_set():
            logger.log(
                logging.WARNING if code else logging.INFO,
                "%s ended with exit code %d after %.0f s.",
                *(" ".join(arguments), code, time.monotonic() - started),
            )
        return code == 0


def _dbt(*arguments: str) -> None:
    """Run dbt in this process, which ends with it and with the lock that it takes."""
    from deftunes.parsed_project import MANIFEST

    # The live view goes first: it needs a second, and a build half a minute.
    os.nice(10)
    # What dbt writes about a run is left to builds that somebody looks into.
    options = ("--quiet", "--no-write-json")
    sys.exit(not dbtRunner(MANIFEST).invoke([*options, *arguments]).success)


def _script(name: str, *arguments: str) -> None:
    """Run another script in this process, which ends with it."""
    os.nice(10)
    sys.argv = [name, *arguments]
    runpy.run_path(f"{PROJECT}/scripts/{name}", run_name="__main__")


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
    default=10,
    help="Least seconds between the starts of two builds; 0 for no builds.",
)
@click.option(
    "--whole-every",
    type=click.FloatRange(min=0),
    default=3600,
    help="Seconds between two builds with all tests, machine learning and boards.",
)
def main(every: float, build_every: float, whole_every: float) -> None:
    """Show purchases in serving/live/analyst.duckdb within seconds, until stopped.

    Land, build, test and publish them as well. It can be killed at any time, and
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
    builder = Builder(build_every, whole_every)
    if build_every:
        builder.start()
    last = time.monotonic()
    while not _stop.is_set():
        started = time.monotonic()
        try:
            refreshed = view.refresh()
            _report(refreshed, time.monotonic() - started)
            last = started
            builder.first_day = refreshed.days[0]
            if refreshed.is_new:
                builder.is_needed.set()
            view.get_ready()
        except (DownloadError, LiveError, OSError, duckdb.Error) as error:
            logger.warning("%.0f s behind: %s", time.monotonic() - last, error)
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
