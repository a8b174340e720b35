"""Serve the demo's sources until interrupted: `python scripts/demo_sources`."""

import logging
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path

import click

if not __package__:  # run as a folder, so the package is not importable yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from demo_sources.generator import Generator
from demo_sources.serve import demo_sources

_DATE = click.DateTime(["%Y-%m-%d"])


@click.command(context_settings={"show_default": True})
@click.option("--seed", type=click.IntRange(min=0), default=1, help="Seed of the data.")
@click.option(
    "--items",
    type=click.IntRange(min=0),
    default=5_000,
    help="The number of items bought in total.",
)
@click.option("--start", type=_DATE, default="2023-01-01", help="First day of data.")
@click.option("--end", type=_DATE, default="2024-01-01", help="Day after the last day.")
@click.option(
    "--revision",
    type=click.IntRange(min=0),
    default=0,
    help="How many times the sources have changed since.",
)
@click.option(
    "--damage",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Share of the API's records that break its contract.",
)
@click.option("--end-inclusive", is_flag=True, help="The API includes end_date.")
@click.option("--port", default=0, help="The API's port; 0 for a free one.")
def main(
    seed: int,
    items: int,
    start: datetime,
    end: datetime,
    revision: int,
    damage: float,
    end_inclusive: bool,
    port: int,
) -> None:
    """Serve a made-up API and a made-up database of songs until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if start >= end:
        raise click.UsageError("--end must be after --start.")
    generator = Generator(
        seed=seed,
        items=items,
        start=start.date(),
        end=end.date(),
        revision=revision,
        damage=damage,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with demo_sources(generator, end_inclusive=end_inclusive, port=port) as (api, dsn):
        click.echo(f"export DEFTUNES_API_URL={api.url}")
        click.echo(f"export DEFTUNES_POSTGRES_DSN={dsn}")
        stop.wait()


if __name__ == "__main__":
    main()
