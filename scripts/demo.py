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
from deftunes.landing import loader
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import DEMO_MARKER
from deftunes.lock import LockedError
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError
from demo_sources.both import demo_sources
from demo_sources.generator import Generator

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
_TABLES = """
select
    schema_name || '.' || table_name as table,
    estimated_size as rows
from duckdb_tables()
order by schema_name, table_name
"""
_REVENUE = """
select
    strftime(month_date, '%Y-%m') as month,
    revenue_usd::decimal(18, 2) as revenue_usd,
    item_count as items,
    buyer_count as buyers
from reports.sales_per_month_vw
order by month_date
"""
_NEXT = """
  . .venv/bin/activate && dbt build    nothing is new, so nothing changes
  make docs                            what each table and column means
  make test                            all tests
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


@click.command(context_settings={"show_default": True})
@click.option(
    "--items",
    type=click.IntRange(min=1),
    default=20_000,
    help="How many items are bought in 2023.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, help="Another makes up other data."
)
def main(items: int, seed: int) -> None:
    """Land, build, test and publish made-up data, and say what came of it."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    generator = Generator(seed=seed, items=items, start=START, end=END, damage=0.002)
    try:
        run(Settings.from_environment(), generator)
    except (DemoError, HomeError, LockedError, ManifestError, SettingsError) as error:
        sys.exit(str(error))


def run(settings: Settings, generator: Generator) -> None:
    """Run the demo.

    Args:
        settings: where the lakehouse lives; its sources are not used.
        generator: the made-up data.

    Raises:
        DemoError: landing or the build failed, or the landing zone holds other data.
        LockedError: another run holds the lakehouse.

    """
    started = time.monotonic()
    settings.make_home()
    claim(settings.landing, f"--items {generator.items} --seed {generator.seed}")
    click.echo("Landing a year from a made-up API and a made-up Postgres ...")
    with demo_sources(generator) as (api, dsn):
        sources = replace(
            settings, api_url=api.url, postgres_dsn=dsn, exchange_rates=None
        )
        plan = loader.Plan(loader.ENTITIES, generator.start, generator.end)
        summary = loader.run(sources, plan)
    click.echo("  " + str(summary).replace("; ", "\n  "))
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
    database = settings.serving / "deftunes.duckdb"
    click.echo(f"\n{report(database)}\n")
    click.echo(f"Open it with any DuckDB client, read-only: {database}")
    click.echo(f"Done in {time.monotonic() - started:.0f} seconds. Try next:{_NEXT}")


def claim(landing: Path, options: str) -> None:
    """Mark the landing zone as the demo's, or refuse one that holds other data.

    Args:
        landing: the landing zone; made if missing.
        options: those that decide what is made up.

    Raises:
        DemoError: it holds what the demo with these options does not land.

    """
    marker = landing / DEMO_MARKER
    if marker.exists():
        held = marker.read_text().strip()
        if held not in (options, ""):  # empty if a run was killed right here
            raise DemoError(
                f"{landing} holds the demo of {held}. For another one, remove "
                "landing/, lake/ and serving/ first, or set DEFTUNES_HOME."
            )
    elif any(landing.glob("[!.]*/*")):
        raise DemoError(
            f"{landing} holds data that is not the demo's. Give the demo a place of "
            "its own: DEFTUNES_HOME=/tmp/deftunes-demo make demo"
        )
    landing.mkdir(0o750, parents=True, exist_ok=True)
    marker.write_text(f"{options}\n")


def report(database: Path) -> str:
    """Say in three small tables what the published database holds.

    Args:
        database: its file.

    Returns:
        What became of the records, the rows of each table, and the revenue per month.

    """
    with duckdb.connect(str(database), read_only=True) as connection:
        return "\n\n".join(
            _table(connection.sql(query)) for query in (_COUNTS, _TABLES, _REVENUE)
        )


def _table(relation: duckdb.DuckDBPyRelation) -> str:
    """Return a relation as text: names to the left, numbers to the right."""
    rows = [
        relation.columns,
        *(
            [name, *(f"{number:,}" for number in numbers)]
            for name, *numbers in relation.fetchall()
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


if __name__ == "__main__":
    main()
