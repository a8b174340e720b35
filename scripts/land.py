"""Land users, sessions, songs and exchange rates as Parquet."""

import logging
import os
import signal
import sys
from datetime import date, datetime, timedelta, timezone
from types import FrameType

import click
from deftunes.dbt_plugin.remedies import remedy
from deftunes.landing.loader import ENTITIES, LandingPlan, run
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import DEMO_MARKER, landed_files
from deftunes.lock import LockedError
from deftunes.logs import say, set_up_logging
from deftunes.settings import HomeError, Settings, SettingsError
from tqdm.contrib.logging import (  # type: ignore[import-untyped]
    logging_redirect_tqdm,
)

logger = logging.getLogger(__name__)

DAY = click.DateTime(["%Y-%m-%d"])
MANY_DAYS = 31


@click.command(context_settings={"show_default": True})
@click.argument("entities", nargs=-1, type=click.Choice(ENTITIES))
@click.option("--start", type=DAY, help="First day of sessions.  [default: yesterday]")
@click.option("--end", type=DAY, help="The day after the last day.  [default: today]")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=4,
    help="How many windows to land in parallel.",
)
@click.option(
    "--max-shrink",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="The share by which an extract may be smaller than the previous one.",
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=60,
    help="Seconds to wait for another run to end.",
)
def main(
    entities: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    workers: int,
    max_shrink: float,
    wait: float,
) -> None:
    """Land ENTITIES (all by default): sessions day by day, the others as a whole.

    Days are UTC; --end is exclusive. Exits with 0 if everything landed, with 1 if
    something did not (run the same command again), with 2 if an argument or a
    setting is wrong, and with 130 after Ctrl-C.
    """
    set_up_logging()
    # The loader logs retries itself, with more detail.
    for name in ("stamina", "urllib3"):
        logging.getLogger(name).setLevel(logging.ERROR)
    signal.signal(signal.SIGINT, _stop)
    today = datetime.now(timezone.utc).date()
    first = start.date() if start else today - timedelta(days=1)
    last = end.date() if end else max(today, first + timedelta(days=1))
    if first >= last:
        raise click.UsageError(f"--start {first} is not before --end {last}.")
    plan = LandingPlan(entities or ENTITIES, first, last, workers, max_shrink, wait)
    try:
        settings = Settings.from_environment()
        landed = landed_files(settings.landing, settings.store)
        if landed.read_text(DEMO_MARKER) is not None:
            raise SettingsError(
                f"{landed} contains the demo's made-up data. Remove it with "
                "`make start-over`, or set DEFTUNES_HOME to another folder."
            )
        if start and not end and "sessions" in plan.entities:
            settings.api_access()  # so a wrong setting is refused before the question
            _announce(first, last)
        with logging_redirect_tqdm():
            summary = run(settings, plan)
    except SettingsError as error:
        logger.error("%s", error)
        sys.exit(2)
    except (HomeError, LockedError, ManifestError) as error:
        logger.error("%s", error)
        sys.exit(1)
    except OSError as error:
        logger.error("%s", remedy(str(error), settings.landing) or error)
        sys.exit(1)
    say(str(summary))
    sys.exit(1 if summary.failed else 0)


def _announce(first: date, last: date) -> None:
    """Say how many days --start asks for; ask if they are many and someone is there."""
    days = (last - first).days
    text = f"Without --end, {days:,} days of sessions are fetched: {first} to before"
    click.echo(f"{text} {last}.", err=True)
    if days > MANY_DAYS and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Continue?", abort=True, err=True)


def _stop(signum: int, frame: FrameType | None) -> None:
    """Exit at once, without waiting for downloads; the loader may stop at any time."""
    line_end = b"\n" if os.isatty(2) else b""  # after ^C
    os.write(2, line_end + b"Interrupted. The same command continues from here.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
