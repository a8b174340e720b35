"""Build the same tables with DuckDB and with Spark, and compare all their rows."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import click
import duckdb
from deftunes.parity import ParityError, compare
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError

BUILD = ("build", *(f"--resource-type={each}" for each in ("model", "seed", "snapshot")))


@click.command()
@click.option("--full-refresh", is_flag=True, help="Build all tables anew.")
@click.option("--no-build", is_flag=True, help="Only compare.")
def main(full_refresh: bool, no_build: bool) -> None:
    """Build what is landed with both engines, without tests, and compare all rows."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        home = Settings.from_environment().home.resolve()
        if not no_build:
            build(home, full_refresh=full_refresh)
        export_views(home)
        if not report(home):
            sys.exit("The engines' rows differ, see above.")
    except (HomeError, ParityError, SettingsError) as error:
        sys.exit(str(error))


def build(home: Path, *, full_refresh: bool = False) -> dict[str, float]:
    """Build the landed data with both engines.

    Args:
        home: the folder of the lakehouse.
        full_refresh: whether all tables are built anew.

    Returns:
        The seconds of each target.

    Raises:
        ParityError: a build failed.

    """
    seconds = {}
    for target in ("local", "spark"):
        started = time.monotonic()
        dbt(home, target, *BUILD, *(["--full-refresh"] if full_refresh else []))
        seconds[target] = time.monotonic() - started
        click.echo(f"Built with target {target} in {seconds[target]:.0f} seconds.")
    return seconds


def export_views(home: Path) -> None:
    """Write the rows of Spark's views to Parquet files, since only Spark can read them.

    Args:
        home: the folder of the lakehouse.

    Raises:
        ParityError: Spark failed.

    """
    folder = home / "lake_spark" / "views"
    dbt(home, "spark", "run-operation", "export_views", f"--args={{folder: {folder}}}")


def dbt(home: Path, target: str, *arguments: str) -> None:
    """Run dbt with a target, in the environment that this target needs.

    Args:
        home: the folder of the lakehouse.
        target: local or spark.
        arguments: what follows `dbt` on a command line.

    Raises:
        ParityError: dbt failed.

    """
    environment = ".venv-spark" if target == "spark" else ".venv"
    program = PROJECT / environment / "bin" / "dbt"
    if not program.exists():
        raise ParityError(f"There is no {program}. Run `make spark` first.")
    (home / "lake_spark").mkdir(parents=True, exist_ok=True)
    ended = subprocess.run(  # noqa: S603  the project's own dbt
        [program, "--quiet", *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            "DEFTUNES_HOME": str(home),
            "DBT_TARGET": target,
            "DBT_TARGET_PATH": str(home / "target" / target),
            "DEFTUNES_WITHOUT_ML": "1",
        },
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise ParityError(
            f"dbt {arguments[0]} failed with target {target}, see above. The end of what"
            f" it wrote to its error output:\n{ended.stderr[-2000:]}"
        )


def report(home: Path) -> bool:
    """Compare all tables, and print a line for each one.

    Args:
        home: the folder of the lakehouse.

    Returns:
        Whether all rows are equal.

    """
    differing = count = rows = 0
    for table in compare(home):
        count += 1
        rows += table.rows
        if table.difference:
            differing += 1
        click.echo(f"{table.name:55}{table.rows:12,}  {table.difference or 'equal'}")
    click.echo(f"{count} tables with {rows:,} rows compared: {differing} differ.")
    return not differing


if __name__ == "__main__":
    try:
        main()
    except duckdb.Error as error:
        sys.exit(f"DuckDB cannot read one of the lakes: {error}")
