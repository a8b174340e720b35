"""The scenarios: each runs its contenders alternately, several times."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import duckdb
import yaml  # type: ignore[import-untyped]
from deftunes import spark_lake
from deftunes.settings import PROJECT

from benchmark import checksums, competitors, process
from benchmark.data import END, Data
from benchmark.project import Build, Lakehouse

LIMIT = Path(__file__).parent / "limit"
MANY_GROUPS = "sales_per_day_country_artist_mv"
_MANY_GROUPS_SQL = """
{{ config(materialized='materialized_view', additive=true, contract={'enforced': false})
}}

select
    order_items.date_key,
    users.country_code,
    artists.artist_key,
    artists.artist_name,
    sum(order_items.price_usd) as revenue_usd,
    count(*) as item_count
from {{ ref('fact_order_items') }} as order_items
inner join {{ ref('dim_users') }} as users on order_items.user_key = users.user_key
inner join {{ ref('dim_artists') }} as artists
    on order_items.artist_key = artists.artist_key
group by
    order_items.date_key, users.country_code, artists.artist_key, artists.artist_name
"""
_BOARDS = PROJECT / "models" / "boards" / "charts"
_QUERY_RUNS = 30  # per query of a dashboard
_LANDED_ITEMS = 300_000  # at most, since dlt is slow
_LANDED_SONGS = 500_000  # at most

logger = logging.getLogger(__name__)


@dataclass
class Figures:
    """The measurements: seconds, bytes or counts.

    Attributes:
        of: the values by name, in the order of the runs.
        notes: remarks for the reader of the report.

    """

    of: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Add a measurement."""
        self.of.setdefault(name, []).append(value)
        logger.info("%s: %.3f", name, value)

    def add_run(self, name: str, done: process.CompletedCommand) -> None:
        """Add the elapsed time, CPU time and memory of a command."""
        self.add(name, done.seconds)
        self.add(f"{name}, processor", done.cpu)
        if done.peak:
            self.add(f"{name}, peak bytes", done.peak)

    def add_build(self, name: str, build: Build) -> None:
        """Add a build and its parts."""
        self.add_run(name, build.done)
        for part, seconds in build.parts.items():
            self.add(f"{name}, {part}", seconds)
        for node, seconds in build.nodes.items():
            self.of.setdefault(f"node of {name}: {node}", []).append(seconds)

    def __getitem__(self, name: str) -> float:
        """Return the median of the values of this name."""
        return median(self.of[name])

    def __contains__(self, name: str) -> bool:
        """Return whether there are values of this name."""
        return name in self.of


@dataclass(frozen=True)
class Bench:
    """A run of the benchmark.

    Attributes:
        data: the landing data.
        folder: the folder for all lakehouses of the run.
        repeats: how often each contender runs; views are refreshed more often.
        tests: whether the project's builds run tests; without tests nothing is
            published.
        publishes: whether they publish everything, not only `quality`.
        figures: the measurements so far.

    """

    data: Data
    folder: Path
    repeats: int
    tests: bool = True
    publishes: bool = True
    figures: Figures = field(default_factory=Figures)

    @property
    def project(self) -> Lakehouse:
        """The lakehouse that the project builds."""
        return Lakehouse(self.folder / "project", self.tests, self.publishes)

    @property
    def tenth(self) -> Lakehouse:
        """The lakehouse with a tenth of the history."""
        return Lakehouse(self.folder / "tenth", self.tests, self.publishes)

    @property
    def limit(self) -> Lakehouse:
        """The lakehouse that the hand-written SQL builds."""
        return Lakehouse(self.folder / "limit")

    @property
    def competitors_folder(self) -> Path:
        """The folder of the competitors' environment, shared by all sizes."""
        return self.folder.parent


def full(bench: Bench) -> None:
    """Build the history from nothing.

    Raises:
        MismatchError: the contenders made different tables.
        CommandError: one of them failed.

    """
    homes = [bench.project, bench.limit]
    for lakehouse in homes:
        bench.data.history(lakehouse.home)
    for number in range(bench.repeats):
        for lakehouse in homes:
            lakehouse.clear()
        bench.figures.add_build("full build", bench.project.build())
        # Compared only once, since the tables are the same in each run.
        made = checksums.of_lake(bench.project.home) if number == 0 else None
        run_limit(bench, bench.data.eve - timedelta(days=1), made)
    bench.figures.notes.append(
        "The checksums of all tables of 2 contenders agree: "
        + ", ".join(checksums.TABLES)
    )
    _measure_bytes(bench)


def spark(bench: Bench) -> None:
    """Build the history and one more day, with target local and with target spark.

    Without machine learning, which Spark does not do.

    Raises:
        MismatchError: the engines made different tables.
        CommandError: one of them failed.

    """
    if not spark_lake.DBT.exists():
        bench.figures.notes.append(
            "Spark did not run: it needs `make spark` once, and Java."
        )
        return
    engines = {
        "DuckDB": Lakehouse(bench.folder / "duckdb", ml=False),
        "Spark": Lakehouse(bench.folder / "spark", target="spark"),
    }
    for _ in range(bench.repeats):
        for engine, lakehouse in engines.items():
            bench.data.history(lakehouse.home)
            bench.figures.add_build(f"{engine}, first build", lakehouse.build())
        _compare_engines(engines)
        for engine, lakehouse in engines.items():
            bench.data.add(lakehouse.home, bench.data.eve)
            bench.figures.add_build(f"{engine}, next day", lakehouse.build())
        _compare_engines(engines)
    bench.figures.notes.append(
        "The checksums of all tables of both engines agree, also after the next day."
    )


def _compare_engines(engines: dict[str, Lakehouse]) -> None:
    """Check that both engines have made the same tables."""
    checksums.compare(
        checksums.of_lake(engines["DuckDB"].home),
        checksums.of_spark(engines["Spark"].home),
        "Spark",
    )


def days(bench: Bench) -> None:
    """Build one more day on the history and on a tenth of it; then build nothing new.

    Raises:
        MismatchError: the contenders made different tables.
        CommandError: one of them failed.

    """
    data = bench.data
    data.history(bench.tenth.home, 0.1)
    bench.figures.add_build("full build of a tenth", bench.tenth.build())
    homes = [bench.project, bench.tenth]
    for lakehouse in homes:
        data.add(lakehouse.home, data.eve)
    for lakehouse in homes:
        lakehouse.build()
        _checkpoint(lakehouse.home)
    for _ in range(bench.repeats):
        for lakehouse, name in (
            (bench.project, "day"),
            (bench.tenth, "day on a tenth"),
        ):
            _restore(lakehouse.home)
            data.add(lakehouse.home, data.day)
            bench.figures.add_build(name, lakehouse.build())
        bench.figures.add_run("dbt's own start", bench.project.dbt("parse"))
    # The hand-written script has no incremental mode: it reads the longer history.
    bench.limit.clear()
    for added in (data.eve, data.day):
        data.add(bench.limit.home, added)
    run_limit(bench, data.day, checksums.of_lake(bench.project.home))
    bench.figures.notes.append("The checksums of all tables agree after the day, too.")
    for _ in range(bench.repeats):
        before = _snapshot(bench.project.home)
        bench.figures.add_build("nothing new", bench.project.build())
        bench.figures.add(
            "nothing new, lake writes", _snapshot(bench.project.home) - before
        )
        bench.figures.add_run("dbt's own start", bench.project.dbt("parse"))


def run_limit(
    bench: Bench, last: date, made: checksums.Checksums | None = None
) -> None:
    """Run the hand-written script on the limit's lake.

    Args:
        bench: the run.
        last: the last day of sessions in the landing zone.
        made: the expected checksums of its tables; None to skip the comparison.

    Raises:
        MismatchError: the checksums differ.
        CommandError: it failed.

    """
    done = _run_python(
        bench,
        *("-m", "benchmark.limit", LIMIT / "full.sql", bench.limit.home),
        *(str(bench.data.start), str(last)),
    )
    statements = json.loads(done.output)
    bench.figures.add_run("limit", done)
    bench.figures.add("limit, engine", sum(seconds for _, seconds in statements))
    for what, seconds in statements:
        bench.figures.of.setdefault(f"node of limit: {what}", []).append(seconds)
    if made is not None:
        found = checksums.of_lake(bench.limit.home)
        checksums.compare(made, found, "The limit")


def first_use(bench: Bench) -> None:
    """Run what a new user runs, in a new clone: the demo twice, a build, a metric.

    Raises:
        CommandError: one of them failed.

    """
    clone = bench.folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    _in_clone(bench, bench.folder, "git", "clone", "--quiet", PROJECT, clone)
    for name, *command in (
        ("make demo, cold", "make", "demo"),
        ("make demo, again", "make", "demo"),
        ("demo, nothing new", ".venv/bin/dbt", "build"),
        ("mf query, cold", ".venv/bin/mf", "query", "--metrics", "revenue"),
    ):
        bench.figures.add_run(name, _in_clone(bench, clone, *command))


def _in_clone(
    bench: Bench, folder: Path, *command: str | Path
) -> process.CompletedCommand:
    return process.run(
        command,
        folder=folder,
        environment=process.clean_environment(),
        log=bench.folder / "stderr.log",
    )


def views(bench: Bench) -> None:
    """Refresh each materialized view after a day, by the chosen and by each method.

    Raises:
        CommandError: dbt failed.

    """
    home = replace(
        bench.project,
        home=bench.folder / "views",
        project=_project_with_many_groups(bench),
    )
    _restore(bench.project.home)
    _copy(bench.project.home, home.home, "serving")
    home.dbt("run", "--select", MANY_GROUPS)
    bench.data.add(home.home, bench.data.day)
    # Build everything except the views, so their tables have changed.
    home.dbt(
        *("run", "--exclude", "config.materialized:materialized_view"),
        "path:models/ml+",
    )
    _checkpoint(home.home)
    # Measure both methods once. The estimates in the registry, by which dbt chooses a
    # method, then come from a refresh like the measured one.
    estimates: dict[str, tuple[float, float]] = {}
    for method in ("feed", "recomputed"):
        _restore(home.home)
        for name, (used, seconds, pace) in _refresh_views(home, method).items():
            if used == method:
                recompute_seconds, feed_pace = estimates.get(name, (0.0, 0.0))
                estimates[name] = (
                    (recompute_seconds, pace)
                    if method == "feed"
                    else (seconds, feed_pace)
                )
        _restore(home.home)
    _set_estimates(home, estimates)
    _checkpoint(home.home)
    # Refreshes take tenths of a second: run them several times, in changing order.
    methods = ["chosen", "feed", "recomputed"]
    for _ in range(2 * bench.repeats + 1):
        methods.append(methods.pop(0))
        for method in methods:
            _restore(home.home)
            for name, (used, seconds, _) in _refresh_views(home, method).items():
                if method in ("chosen", used):
                    bench.figures.add(f"view {name}, {method}", seconds)
        # No table has changed since.
        for name, seconds in _refresh_unchanged_views(home).items():
            bench.figures.add(f"view {name}, nothing moved", seconds)


def dashboard(bench: Bench) -> None:
    """Run the boards' queries on the published database."""
    questions = {
        f"{path.stem}.{name}": query["sql"] if isinstance(query, dict) else query
        for path in sorted(_BOARDS.glob("[!_]*.yml"))
        for name, query in (
            yaml.safe_load(path.read_text()).get("queries") or {}
        ).items()
    }
    with duckdb.connect(str(bench.project.published), read_only=True) as connection:
        for name, query in questions.items():
            connection.execute(query).fetchall()
            took = []
            for _ in range(_QUERY_RUNS):
                started = time.perf_counter()
                connection.execute(query).fetchall()
                took.append(time.perf_counter() - started)
            bench.figures.add(f"question {name}", quantiles(took, n=20)[-1])


def landing(bench: Bench, *, dlt: bool) -> None:
    """Land sessions and songs from servers, with the project's loader and with dlt.

    Args:
        bench: the run.
        dlt: whether dlt and the binary COPY are contenders.

    Raises:
        CommandError: one of them failed.

    """
    items = bench.data.items
    count = max(1, bench.data.days * min(items, _LANDED_ITEMS) // items)
    window = (END - timedelta(days=count), END)
    home = bench.folder / "landed"
    with _serve_sources(bench, window) as served:
        for _ in range(bench.repeats):
            for entity in ("sessions", "songs", "download"):
                shutil.rmtree(home, ignore_errors=True)
                done = _run_python(
                    bench,
                    *("-m", "benchmark.land_project", entity, *map(str, window)),
                    environment={
                        "DEFTUNES_HOME": str(home),
                        "DEFTUNES_API_URL": served["api"],
                        "DEFTUNES_POSTGRES_DSN": served["dsn"],
                    },
                )
                bench.figures.add(f"landing {entity}", float(done.output.split()[-1]))
                if entity != "download":
                    landed = f"{home}/landing/{entity}/*/*.parquet"
                    _count(bench, entity, landed)
            if not dlt:
                continue
            for what, where in (
                ("sessions", served["api"]),
                ("songs", served["dsn"]),
                ("copy", served["dsn"]),
            ):
                shutil.rmtree(home, ignore_errors=True)
                done = _run_competitor(
                    bench, "land_dlt.py", what, where, home, *map(str, window)
                )
                bench.figures.add(f"dlt {what}", float(done.output.split()[-1]))
                if what != "copy":
                    landed = f"{home}/out/landing/{what}/*.parquet"
                    _count(bench, f"dlt {what}", landed)


def _count(bench: Bench, name: str, files: str) -> None:
    """Add the number of rows that were landed; contenders must land the same number."""
    with duckdb.connect() as connection:
        rows = connection.execute("select count(*) from read_parquet(?)", [files])
        row = rows.fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    bench.figures.of.setdefault(f"rows of {name}", []).append(row[0])
    expected = bench.figures.of[f"rows of {name.removeprefix('dlt ')}"][-1]
    if expected != row[0]:
        raise checksums.MismatchError(
            f"{name}: {row[0]:,} rows landed, but {expected:,} by the project's loader."
        )


def _run_python(
    bench: Bench, *arguments: str | Path, environment: dict[str, str] | None = None
) -> process.CompletedCommand:
    return process.run(
        [sys.executable, *arguments],
        folder=PROJECT / "scripts",
        environment=process.clean_environment() | (environment or {}),
        log=bench.folder / "stderr.log",
    )


def _run_competitor(
    bench: Bench, script: str, *arguments: str | Path
) -> process.CompletedCommand:
    return process.run(
        [
            competitors.python(bench.competitors_folder),
            competitors.HERE / script,
            *arguments,
        ],
        folder=bench.folder,
        environment=process.clean_environment(),
        log=bench.folder / "stderr.log",
    )


def _measure_bytes(bench: Bench) -> None:
    """Add the bytes of the lake, and of the same rows as plain Parquet."""
    data = bench.project.home / "lake" / "data"
    lake_bytes = sum(path.stat().st_size for path in data.rglob("*.parquet"))
    plain = 0
    target = bench.folder / "plain.parquet"
    with checksums.lake(bench.project.home) as connection:
        tables = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
            " where database_name = 'lake'"
        ).fetchall()
        for (name,) in tables:
            connection.execute(f"copy lake.{name} to '{target}' (compression zstd)")
            plain += target.stat().st_size
    target.unlink()
    bench.figures.add("lake, bytes", lake_bytes)
    bench.figures.add("plain Parquet, bytes", plain)


def _snapshot(home: Path) -> int:
    """Return the id of the lake's newest snapshot."""
    with checksums.lake(home) as connection:
        row = connection.execute("select id from lake.current_snapshot()").fetchone()
    assert row is not None  # noqa: S101 - a lake has a snapshot
    return int(row[0])


def _checkpoint(home: Path) -> None:
    """Save a copy of a lakehouse."""
    _copy(home, _checkpoint_folder(home))


def _restore(home: Path) -> None:
    """Restore a lakehouse from its copy."""
    _copy(_checkpoint_folder(home), home)


def _checkpoint_folder(home: Path) -> Path:
    return home.with_name(f"{home.name}.kept")


def _copy(home: Path, target: Path, *left_out: str) -> None:
    """Copy a lakehouse without some folders; Parquet files are hard-linked."""

    def link(source: str, destination: str) -> None:
        if source.endswith(".parquet"):
            os.link(source, destination)
        else:
            shutil.copy2(source, destination)

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        home,
        target,
        symlinks=True,
        ignore=shutil.ignore_patterns(*left_out),
        copy_function=link,
    )


def _project_with_many_groups(bench: Bench) -> Path:
    """Return a copy of the project with one more materialized view."""
    target = bench.folder / "dbt_project"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in (".dbtignore", "dbt_project.yml", "packages.yml"):
        shutil.copy(PROJECT / name, target)
    for name in (
        *("macros", "models", "seeds", "snapshots", "tests", "analyses"),
        *("dbt_packages", "scripts"),
    ):
        shutil.copytree(
            PROJECT / name, target / name, ignore=shutil.ignore_patterns("*.pyc")
        )
    (target / "models" / "reports" / f"{MANY_GROUPS}.sql").write_text(_MANY_GROUPS_SQL)
    return target


def _refresh_views(home: Lakehouse, method: str) -> dict[str, tuple[str, float, float]]:
    """Refresh all views.

    Args:
        home: the lakehouse.
        method: `chosen`; or `feed` or `recomputed`, which is forced by an extreme
            estimate in the registry.

    Returns:
        By view: the method that was used, the seconds that it took, and the pace of the
        feed that is in the registry now.

    """
    estimate = {"feed": 1e9, "recomputed": 0.0}.get(method)
    if estimate is not None:
        _registry(home, "update {} set recompute_seconds = ?", estimate)
    before = dict(_registry(home, "select view_name, refreshed_at from {}"))
    home.dbt("run-operation", "refresh_materialized_views")
    return {
        name: (used, seconds, pace or 0.0)
        for name, used, seconds, pace, when in _registry(
            home, "select view_name, method, seconds, feed_pace, refreshed_at from {}"
        )
        if when != before.get(name)
    }


def _set_estimates(home: Lakehouse, estimates: dict[str, tuple[float, float]]) -> None:
    """Write the cost of both methods to the registry."""
    for name, (seconds, pace) in estimates.items():
        _registry(
            home,
            "update {} set recompute_seconds = ?, feed_pace = nullif(?, 0)"
            " where view_name = ?",
            *(seconds, pace, name),
        )


def _registry(home: Lakehouse, statement: str, *values: object) -> list[Any]:
    """Query or update the registry of materialized views in the lake."""
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner"):
            connection.load_extension(extension)
        connection.execute(
            f"attach 'ducklake:sqlite:{home.catalogue}' as lake"
            f" (data_path '{home.home}/lake/data', override_data_path true)"
        )
        name = "lake.operations.materialized_views"
        return connection.execute(statement.format(name), values).fetchall()


def _refresh_unchanged_views(home: Lakehouse) -> dict[str, float]:
    """Refresh views whose tables have not changed; return DuckDB's seconds by view."""
    log = home.home / "logs" / "dbt.log"
    log.unlink(missing_ok=True)
    home.dbt(
        *("--log-format-file", "json", "--log-level-file", "debug"),
        *("run-operation", "refresh_materialized_views"),
    )
    took: dict[str, float] = {}
    elapsed = 0.0
    for event in map(json.loads, log.read_text().splitlines()):
        message = event["info"]["msg"]
        if event["info"]["name"] == "SQLQuery" and "BEGIN" in message:
            elapsed = 0.0
        elif event["info"]["name"] == "SQLQueryStatus":
            elapsed += event["data"]["elapsed"]
        elif "no table has changed" in message:
            took[message.partition(":")[0].split()[-1]] = elapsed
    return took


@contextmanager
def _serve_sources(bench: Bench, window: tuple[date, date]) -> Iterator[dict[str, str]]:
    """Serve the sources from another process."""
    last = window[1] - timedelta(days=1)
    with subprocess.Popen(  # noqa: S603 - our own arguments
        [
            *(sys.executable, "-m", "benchmark.fixed_source", str(bench.data.items)),
            *(str(bench.data.days), str(_LANDED_SONGS), str(window[0]), str(last)),
        ],
        cwd=PROJECT / "scripts",
        env=process.clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        try:
            yield json.loads(server.stdout.readline())
        finally:
            server.terminate()
