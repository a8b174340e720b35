"""Export a published table or a saved query as a file, for an ad hoc request."""

import sys
from pathlib import Path

import click
from deftunes.export import ExportError, export
from deftunes.settings import Settings, SettingsError


@click.command()
@click.argument("name")
@click.argument("target", type=click.Path(path_type=Path))
@click.option(
    "--role",
    help="Read the database of this role.  [default: the one with everything]",
)
def main(name: str, target: Path, role: str | None) -> None:
    """Write the published table or the saved query NAME to TARGET, .csv or .parquet.

    Give a table with its schema, such as marts.dim_date. The saved queries are in
    models/semantic/saved_queries.yml. Exits with 0, or with 1 if nothing was written.
    """
    try:
        rows = export(Settings.from_environment(), name, target, role)
    except (ExportError, SettingsError) as error:
        click.echo(error, err=True)
        sys.exit(1)
    click.echo(f"Wrote {rows:,} rows to {target.absolute()}")


if __name__ == "__main__":
    main()
