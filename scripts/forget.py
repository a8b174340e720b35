"""Erase a person from the landing zone, the lake and everything that is published."""

import logging
import sys

import click
from deftunes.forget import IncompleteError, UnknownUserError, forget
from deftunes.landing import LandingZoneError
from deftunes.lock import LockedError
from deftunes.manifest import ManifestError
from deftunes.settings import Settings, SettingsError


@click.command()
@click.argument("user_id")
def main(user_id: str) -> None:
    """Erase the person with the USER_ID of the API.

    Their sales stay in the books, under a name that says nothing. Exits with 0 when
    nothing tells of the person any more, 1 when something may (run the same again),
    and 2 when nobody of that id is known
    or nothing was begun.
    """
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.INFO)
    try:
        erased = forget(Settings.from_environment(), user_id)
    except (LandingZoneError, SettingsError, UnknownUserError) as error:
        click.echo(error, err=True)
        sys.exit(2)
    except (IncompleteError, LockedError, ManifestError, OSError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    click.echo(erased)


if __name__ == "__main__":
    main()
