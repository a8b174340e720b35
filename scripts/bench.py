"""Benchmark the project against hand-written SQL, Spark and dlt."""

import logging
import os
import shlex
import sys
from pathlib import Path

import click
from benchmark import checksums, process, report, scenarios
from benchmark.data import Data
from deftunes.settings import PROJECT

PARTS = ("full", "days", "views", "dashboard", "landing", "first use", "spark")


@click.command(context_settings={"show_default": True})
@click.option("--items", type=click.IntRange(min=1), default=1_000_000)
@click.option("--repeats", type=click.IntRange(min=1), default=3)
@click.option("--days", type=click.IntRange(min=3), default=365)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    help="Run only this part; it needs the data of earlier parts.  [default: all]",
)
@click.option("--peers/--no-peers", default=True, help="Also run the competitor, dlt.")
@click.option(
    "--publish/--no-publish",
    default=True,
    help="Publish everything, or only `quality`, without the dashboard's queries.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=PROJECT / "target" / "bench",
)
def main(
    items: int,
    repeats: int,
    days: int,
    parts: tuple[str, ...],
    peers: bool,
    publish: bool,
    folder: Path,
) -> None:
    """Run the benchmark. Exits with 1 if contenders fail or make different tables."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    size_folder = folder.absolute() / str(items)
    data = Data(size_folder / "data", items, days)
    bench = scenarios.Bench(data, size_folder, repeats, publishes=publish)
    selected = parts or PARTS
    try:
        data.land()
        if "full" in selected:
            scenarios.full(bench)
        if "days" in selected:
            scenarios.days(bench)
        if "dashboard" in selected and publish:
            scenarios.dashboard(bench)
        if "views" in selected:
            scenarios.views(bench)
        if "landing" in selected:
            scenarios.landing(bench, dlt=peers)
        if "first use" in selected:
            scenarios.first_use(bench)
        if "spark" in selected:
            scenarios.spark(bench)
    except (checksums.MismatchError, process.CommandError) as error:
        sys.exit(str(error))
    command = shlex.join(["python", "scripts/bench.py", *sys.argv[1:]])
    for variable in process.KEPT:
        if value := os.environ.get(variable):
            command = f"{variable}={value} {command}"
    click.echo(report.write(bench, command, folder.absolute()))


if __name__ == "__main__":
    main()
