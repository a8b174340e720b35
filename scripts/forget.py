"""Erase a person from the landing zone, the lakes and all published files."""

import logging
import sys

import click
from deftunes.dbt_plugin.remedies import remedy
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import LandingZoneError
from deftunes.lock import LockedError
from deftunes.privacy.forget import IncompleteError, UnknownUserError, forget, survey
from deftunes.settings import HomeError, Settings, SettingsError


@click.command()
@click.argument("user_id")
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
def main(user_id: str, yes: bool, dry_run: bool) -> None:
    """Erase the person with this USER_ID of the API. Shows first what will be erased.

    The person's purchases are kept under a pseudonym. Exits with 0 if the person is
    erased everywhere; with 1 if not (run the same command again); and with 2 if the id
    is unknown, the question was not answered with yes, or nothing was changed.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        settings = Settings.from_environment()
        click.echo(survey(settings, user_id))
        if dry_run:
            return
        if not yes and not sys.stdin.isatty():
            click.echo(
                "Nothing was erased. To confirm without a terminal: YES=1", err=True
            )
            sys.exit(2)
        if not yes and not click.confirm("Erase all of this?"):
            sys.exit(2)
        erased = forget(settings, user_id)
    except (LandingZoneError, SettingsError, UnknownUserError) as error:
        click.echo(error, err=True)
        sys.exit(2)
    except (HomeError, IncompleteError, LockedError, ManifestError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(remedy(str(error), settings.home) or error, err=True)
        sys.exit(1)
    click.echo(
        f"The person was erased from {erased}, and from everything built from them."
    )


if __name__ == "__main__":
    main()
