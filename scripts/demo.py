"""Run the whole pipeline on made-up data: land, build, test and publish."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import click
import duckdb
from deftunes.landing import loader
from deftunes.landing.landed_files import FolderFiles, LandedFiles
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import DEMO_MARKER, LandingZone, landed_files
from deftunes.lock import LockedError
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError
from demo_sources import postgres, service
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
_VERSIONS = """
select count(distinct user_id) from marts.dim_users where not is_current
"""
_NEXT = """
  . .venv/bin/activate && dbt build    nothing is new, so nothing changes
  make docs                            the documentation of each table and column
  make test                            all tests
"""


class DemoError(Exception):
    """The demo cannot continue; the message says why and what to do."""


@click.command(context_settings={"show_default": True})
@click.option(
    "--items",
    type=click.IntRange(min=1),
    default=20_000,
    help="The number of items bought in 2023.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=1,
    help="The seed of the made-up data.",
)
def main(items: int, seed: int) -> None:
    """Land, build, test and publish made-up data, and print a summary."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    generator = Generator(seed=seed, items=items, start=START, end=END, damage=0.002)
    try:
        run(Settings.from_environment(), generator)
    except (DemoError, HomeError, LockedError, ManifestError, SettingsError) as error:
        sys.exit(str(error))


def run(settings: Settings, generator: Generator) -> None:
    """Run the demo.

    Args:
        settings: where the lakehouse is; its sources are not used.
        generator: the made-up data.

    Raises:
        DemoError: landing or the build failed, or the landing zone has other data.
        LockedError: another run holds the lakehouse.

    """
    started = time.monotonic()
    settings.make_home()
    landed = landed_files(settings.landing, settings.store)
    claim(landed, f"--items {generator.items} --seed {generator.seed}")
    with postgres.running() as dsn:
        # A first extract is taken only once, so a second run changes nothing.
        zone = LandingZone(settings.landing, settings.store)
        entities = [entity for entity in ("users", "songs") if not zone.files(entity)]
        if entities:
            click.echo("Landing users and songs of a made-up API and Postgres ...")
            land(settings, dsn, generator, entities)
        click.echo("Landing a year, after some users and songs have changed ...")
        land(settings, dsn, generator.at(generator.revision + 1), loader.ENTITIES)
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


def land(
    settings: Settings, dsn: str, generator: Generator, entities: Iterable[str]
) -> None:
    """Land made-up data from an API and a Postgres, and print a summary.

    Args:
        settings: where the lakehouse is; its sources are not used.
        dsn: the libpq URL of the Postgres.
        generator: the data of both sources.
        entities: what to land.

    Raises:
        DemoError: landing failed.
        LockedError: another run holds the lakehouse.

    """
    postgres.load_songs(dsn, generator.song_tables())
    with service.running(generator) as api:
        # Without the real sources and the credentials for them.
        sources = Settings(
            settings.home,
            api.url,
            dsn,
            exchange_rates=None,
            store=settings.store,
            catalogue_dsn=settings.catalogue_dsn,
        )
        plan = loader.LandingPlan(tuple(entities), generator.start, generator.end)
        summary = loader.run(sources, plan)
    click.echo("  " + str(summary).replace("; ", "\n  "))
    if summary.failed:
        raise DemoError("Landing failed, see above. Run the same command again.")


def claim(landed: LandedFiles, options: str) -> None:
    """Mark the landing zone as the demo's; raise if it contains other data.

    Args:
        landed: the files of the landing zone; its folder is created if missing.
        options: the command line options that determine the data.

    Raises:
        DemoError: it contains real data, or a demo with other options.

    """
    marked = landed.read_text(DEMO_MARKER)
    if marked is None and not landed.is_empty():
        raise DemoError(
            f"{landed} contains data that is not the demo's. Use another folder for "
            "the demo: DEFTUNES_HOME=/tmp/deftunes-demo make demo"
        )
    if marked is not None and marked.strip() != options:
        raise DemoError(
            f"{landed} contains the demo with {marked.strip()}. For another one, run "
            "`make start-over` first, or set DEFTUNES_HOME."
        )
    if isinstance(landed, FolderFiles):
        landed.folder.mkdir(0o750, parents=True, exist_ok=True)
    landed.write_text(DEMO_MARKER, f"{options}\n")


def report(database: Path) -> str:
    """Return what the published database contains, as text.

    Args:
        database: its file.

    Returns:
        The records landed, loaded and rejected; the rows per table; the revenue per
        month; the number of users with a new version.

    """
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = [_table(connection.sql(each)) for each in (_COUNTS, _TABLES, _REVENUE)]
        ((changed,),) = connection.sql(_VERSIONS).fetchall()
    return "\n\n".join(
        [
            *tables,
            f"{changed:,} users have moved or changed their name since the first "
            "extract: marts.dim_users\nhas both versions.",
        ]
    )


def _table(relation: duckdb.DuckDBPyRelation) -> str:
    """Return a relation as text: names left-aligned, numbers right-aligned."""
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
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


if __name__ == "__main__":
    main()
