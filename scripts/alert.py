"""Tell people that a scheduled run failed: `python scripts/alert.py WHAT`."""

import logging
import sys
from datetime import datetime

import click
from deftunes.alerts import AlertError, alert
from deftunes.logs import set_up_logging
from deftunes.settings import Settings, SettingsError

logger = logging.getLogger(__name__)


@click.command()
@click.argument("what")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    help="Leave out a dbt command that ended before this time (UTC).",
)
def main(what: str, since: datetime | None) -> None:
    """Tell everybody in DEFTUNES_ALERT_URLS WHAT failed, and dbt's failing tests.

    The alert is logged, too. Exits with 0 if it was sent, or if there is nobody to
    tell; with 1 if it could not be sent; with 2 if a setting is wrong.
    """
    set_up_logging()
    try:
        settings = Settings.from_environment()
        text = alert(settings, what, since)
    except AlertError as error:
        logger.error("%s The alert was: %s", error, what)
        sys.exit(1)
    except SettingsError as error:
        logger.error("%s", error)
        sys.exit(2)
    logger.error("%s", text)
    if not settings.alert_urls:
        logger.warning("Nobody was told: DEFTUNES_ALERT_URLS is not set.")


if __name__ == "__main__":
    main()
