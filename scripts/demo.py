"""See the whole way on made-up sources: land, build, test and publish."""

import logging
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path

import click
import duckdb
from demo_sources.both import demo_sources
from demo_sources.generator import Generator
from deftunes import loader
from deftunes.settings import PROJECT, Settings

START, END = date(2023, 1, 1), date(2024, 1, 1)

_COUNTS = """
select
    entity,
    sum(landed_count)::bigint as landed,
    sum(loaded_count)::bigint as loaded,
    sum(rejected_count)::bigint as rejected
from quality.batch_reconciliation
group by entity
order by entity
"""
_REVENUE = """
select
    strftime(date, '%Y-%m') as month,
    sum(price_usd)::decimal(18, 2) as "revenue in USD",
    count(*) as items,
    count(distinct user_id) as buyers
from marts.fact_order_items
inner join marts.dim_date using (date_key)
inner join marts.dim_users using (user_key)
group by month
order by month
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@click.command(context_settings={"show_default": True})
@click.option("--items", default=20_000, help="How many items are bought in 2023.")
@click.option("--seed", default=1, help="Another seed makes up other data.")
def main(items: int, seed: int) -> None:
    """Land, build, test and publish made-up data, and say what came of it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    settings = Settings.from_environment()
    generator = Generator(seed=seed, items=items, start=START, end=END, damage=0.002)
    try:
        run(settings, generator)
    except DemoError as error:
        sys.exit(str(error))


def run(settings: Settings, generator: Generator) -> None:
    """Run the demo.

    Args:
        settings: where the lakehouse lives; its sources are not used.
        generator: the made-up data.

    Raises:
        DemoError: landing or the build failed, or the landing zone holds other data.

    """
    claim(settings.landing)
    started = time.monotonic()
    click.echo("Landing a year from a made-up API and a made-up Postgres ...")
    with demo_sources(generator) as (api, dsn):
        summary = loader.run(
            replace(settings, api_url=api.url, postgres_dsn=dsn),
            loader.Plan(loader.ENTITIES, START, END),
        )
    click.echo(summary)
    if summary.failed:
        raise DemoError("Landing failed, see above. Run the same again.")
    click.echo("Building, testing and publishing with dbt ...")
    built = subprocess.run(  # noqa: S603  the project's own dbt
        [Path(sys.executable).with_name("dbt"), "--quiet", "build"],
        cwd=PROJECT,
        check=False,
    )
    if built.returncode:
        raise DemoError("The build failed, see above and logs/dbt.log.")
    report(settings.serving / "deftunes.duckdb")
    click.echo(f"Done in {time.monotonic() - started:.0f} seconds. Try next:")
    click.echo("  . .venv/bin/activate && dbt build    nothing new: nothing changes")
    click.echo("  make docs                            what each table and column means")
    click.echo("  make test                            all tests")


def claim(landing: Path) -> None:
    """Mark the landing zone as the demo's, or refuse one that holds other data.

    Raises:
        DemoError: it holds batches that the demo did not land.

    """
    marker = landing / loader.DEMO_MARKER
    if not marker.exists() and any(landing.glob("*/*")):
        raise DemoError(
            f"{landing} holds data that is not the demo's. Give the demo a place of "
            "its own: DEFTUNES_HOME=/tmp/deftunes-demo make demo"
        )
    landing.mkdir(parents=True, exist_ok=True)
    marker.touch()


def report(database: Path) -> None:
    """Print what the published database holds."""
    with duckdb.connect(str(database), read_only=True) as connection:
        click.echo("\nRecords, by where they ended:")
        connection.sql(_COUNTS).show()
        click.echo("Rows in each table:")
        connection.sql(
            "select schema_name || '.' || table_name as table_name, "
            "estimated_size as rows from duckdb_tables() order by all"
        ).show()
        click.echo("Revenue per month:")
        connection.sql(_REVENUE).show(max_rows=24)
    click.echo(f"Open it with any DuckDB client, read-only: {database}")


if __name__ == "__main__":
    main()
