"""Write the features of buyers as of any dates as a file, to train a model on."""

import sys
from datetime import datetime
from pathlib import Path

import click
from deftunes.export import ExportError
from deftunes.features import export_features
from deftunes.settings import Settings, SettingsError


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.argument(
    "days",
    metavar="DATE...",
    nargs=-1,
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
)
@click.option("--vars", "variables", help="As for `dbt build`: '{churn_days: 28}'.")
def main(target: Path, days: tuple[datetime, ...], variables: str | None) -> None:
    """Write the features as of each DATE to TARGET, .csv or .parquet.

    There is a row per date and buyer who had bought before it, with the columns of
    ml.ml_churn_examples. has_churned is null if it is not known yet. Exits with 0, with
    1 if nothing was written, and with 2 if a DATE is not a date.
    """
    options = ("--vars", variables) if variables else ()
    try:
        settings = Settings.from_environment()
        dates = [day.date() for day in days]
        rows = export_features(settings, dates, target, options)
    except (ExportError, SettingsError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    click.echo(f"Wrote {rows:,} rows to {target.absolute()}")


if __name__ == "__main__":
    main()
