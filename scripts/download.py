"""Download what is published in the bucket, for readers on another machine."""

import sys
from pathlib import Path

import click
from deftunes.dbt_plugin.publications import Publications
from deftunes.dbt_plugin.published_objects import (
    PublishedObjects,
    PublishedObjectsError,
)
from deftunes.lock import LockedError, home_lock
from deftunes.settings import Settings, SettingsError

LOCK_WAIT_SECONDS = 60.0


@click.command()
@click.option(
    "--role", help="Only the database of this role.  [default: all published files]"
)
def main(role: str | None) -> None:
    """Bring serving/ up to date with DEFTUNES_STORE, in one step.

    Nothing is downloaded twice. The key needs to read serving/current and the files; to
    list the bucket is not needed. Exits with 0, or with 1 if nothing was changed.
    """
    try:
        settings = Settings.from_environment()
        if settings.store is None:
            raise SettingsError("DEFTUNES_STORE is not set. .env.example describes it.")
        settings.make_home()
        objects = PublishedObjects(settings.store)
        published = objects.current().files
        names = [f"roles/{role}.duckdb"] if role else [*published]
        if published and not published.keys() >= {*names}:
            roles = sorted(Path(name).stem for name in published if "/" in name)
            raise SettingsError(
                f"There is no role {role!r}. Published roles: {', '.join(roles)}."
            )
        with home_lock(settings.home, LOCK_WAIT_SECONDS):
            publication = Publications(settings.serving, objects).pull(names)
    except (LockedError, OSError, PublishedObjectsError, SettingsError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    if not publication:
        click.echo(f"Nothing is published in {settings.store} yet.", err=True)
        sys.exit(1)
    click.echo(f"{settings.serving} has publication {publication}.")


if __name__ == "__main__":
    main()
