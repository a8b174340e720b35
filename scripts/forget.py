"""Erase a person from the landing zone, the lakes and everything that is published."""

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
@click.option("--dry-run", is_flag=True, help="Show what would be erased, and end.")
def main(user_id: str, yes: bool, dry_run: bool) -> None:
    """Erase the person with the USER_ID of the API, after showing what that means.

    Their sales stay in the books, under a name that says nothing. Exits with 0 when
    nothing tells of the person any more, 1 when something may (run the same again),
    and 2 when nobody of that id is known, nobody has said yes, or nothing was begun.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        settings = Settings.from_environment()
        click.echo(survey(settings, user_id))
        if dry_run:
            return
        if not yes and not sys.stdin.isatty():
            click.echo("Nobody can be asked here. To erase all that: YES=1", err=True)
            sys.exit(2)
        if not yes and not click.confirm("Erase all that?"):
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
        f"The person is erased from {erased}, and from all that is made of them."
    )


if __name__ == "__main__":
    main()
