"""Remove the demo's made-up data, to begin with the real sources."""

import shutil
import sys
from pathlib import Path

import click
from deftunes.landing.zone import DEMO_MARKER
from deftunes.lock import LockedError, home_lock
from deftunes.settings import Settings, SettingsError

LOCK_WAIT_SECONDS = 60.0


@click.command()
@click.option("--yes", is_flag=True, envvar="YES", help="Do not ask.")
def main(yes: bool) -> None:
    """Remove the demo's landing zone, lake and published files.

    Real data is never removed. Exits with 0 if the demo is gone, and with 2 if nothing
    was removed.
    """
    try:
        settings = Settings.from_environment()
        folders = demo_folders(settings)
    except SettingsError as error:
        click.echo(error, err=True)
        sys.exit(2)
    click.echo("This removes the made-up data of the demo:")
    for folder in folders:
        click.echo(f"  {folder}")
    if not yes and not sys.stdin.isatty():
        click.echo("Nothing was removed. To confirm without asking: YES=1", err=True)
        sys.exit(2)
    if not yes and not click.confirm("Remove all of this?"):
        sys.exit(2)
    try:
        with home_lock(settings.home, LOCK_WAIT_SECONDS):
            remove(folders)
    except (LockedError, OSError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    click.echo("Removed. Next: set the variables of .env.example, then `make land`.")


def demo_folders(settings: Settings) -> list[Path]:
    """Return the folders that the demo has filled, the landing zone last.

    Raises:
        SettingsError: the landing zone is not the demo's.

    """
    if settings.store:
        raise SettingsError(
            f"The lakehouse is in {settings.store}. Drop the tables of its catalogue "
            "in Postgres, and remove that folder of the bucket."
        )
    if not (settings.landing / DEMO_MARKER).exists():
        raise SettingsError(
            f"{settings.landing} does not contain the demo, so nothing was removed."
        )
    for target in ("lake_pg", "lake_s3"):
        if (settings.home / target).exists():
            raise SettingsError(
                f"The demo was also built with target {target}. Drop the tables of its "
                "catalogue in Postgres, remove its Parquet files and "
                f"{settings.home / target}, and run the same command again."
            )
    lakes = [settings.home / name for name in ("lake", "lake_spark")]
    folders = (settings.serving, *lakes, settings.landing)
    return [folder for folder in folders if folder.exists()]


def remove(folders: list[Path]) -> None:
    """Remove the folders; the demo's marker last, so that a killed run can be repeated.

    Args:
        folders: from `demo_folders`.

    """
    *others, landing = folders
    for path in (*others, *landing.iterdir()):
        if path.name == DEMO_MARKER:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    shutil.rmtree(landing)


if __name__ == "__main__":
    main()
