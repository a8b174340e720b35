"""Run hand-written SQL: `python -m benchmark.limit SCRIPT HOME FIRST_DAY LAST_DAY`."""

import json
import sys
import time
from pathlib import Path

import click
import duckdb
from deftunes.settings import PROJECT

_HERE = Path(__file__).parent
# The same options as in profiles.yml.
_ATTACH = """
attach 'ducklake:sqlite:{home}/lake/catalog.sqlite' as lake (
    data_path '{home}/lake/data', data_inlining_row_limit 0,
    meta_journal_mode 'WAL', meta_busy_timeout 10000
)
"""


@click.command()
@click.argument("script", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("home", type=click.Path(path_type=Path))
@click.argument("first_day")
@click.argument("last_day")
def main(script: Path, home: Path, first_day: str, last_day: str) -> None:
    """Run SCRIPT on the lake and the landing zone in HOME.

    FIRST_DAY and LAST_DAY are the first and last day of its sessions. Prints the
    seconds of each statement, as JSON.
    """
    (home / "lake").mkdir(exist_ok=True)
    seconds: list[tuple[str, float]] = []
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner"):
            connection.load_extension(extension)
        connection.execute("set timezone = 'UTC'")
        connection.execute("set enable_progress_bar = false")
        connection.execute("set preserve_insertion_order = false")
        connection.execute(_ATTACH.format(home=home.absolute()))
        for option, choice in {
            "parquet_compression": "zstd",
            "parquet_compression_level": 2,
        }.items():
            connection.execute("call lake.set_option(?, ?)", [option, choice])
        for name, value in {
            "landing": str(home / "landing"),
            "countries": str(PROJECT / "seeds" / "countries.csv"),
            "first_day": first_day,
            "last_day": last_day,
        }.items():
            connection.execute(f"set variable {name} = ?", [value])
        for statement in connection.extract_statements(script.read_text()):
            started = time.perf_counter()
            connection.execute(statement)
            took = time.perf_counter() - started
            seconds.append((_name(statement.query), took))
    json.dump(seconds, sys.stdout)


def _name(query: str) -> str:
    """Return the first 60 characters of a statement, without comments before it."""
    lines = [line for line in query.splitlines() if line and not line.startswith("--")]
    return lines[0][:60]


if __name__ == "__main__":
    main()
