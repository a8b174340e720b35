"""What is measured: each scenario runs its contenders alternately, several times."""

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
from deftunes.settings import PROJECT

from benchmark import checksums, peers, process
from benchmark.data import END, Data
from benchmark.project import Build, Lakehouse

LIMIT = Path(__file__).parent / "limit"
COUNTRIES = PROJECT / "seeds" / "countries.csv"
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
_ASKED = 30  # times that each question is asked
_LANDED_ITEMS = 300_000  # at most: dlt takes its time
_LANDED_SONGS = 500_000  # at most

logger = logging.getLogger(__name__)


@dataclass
class Figures:
    """What was measured: seconds, bytes or counts, by what they are of.

    Attributes:
        of: each measurement, in the order of the runs.
        notes: what the reader has to know.

    """

    of: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Note a measurement."""
        self.of.setdefault(name, []).append(value)
        logger.info("%s: %.3f", name, value)

    def add_run(self, name: str, done: process.Done) -> None:
        """Note a command: its seconds, its processor time, its memory."""
        self.add(name, done.seconds)
        self.add(f"{name}, processor", done.cpu)
        if done.peak:
            self.add(f"{name}, peak bytes", done.peak)

    def add_build(self, name: str, build: Build) -> None:
        """Note a build and its parts."""
        self.add_run(name, build.done)
        for part, seconds in build.parts.items():
            self.add(f"{name}, {part}", seconds)
        for node, seconds in build.nodes.items():
            self.of.setdefault(f"node of {name}: {node}", []).append(seconds)

    def __getitem__(self, name: str) -> float:
        """Return the median of what was measured."""
        return median(self.of[name])

    def __contains__(self, name: str) -> bool:
        """Say whether anything was measured."""
        return name in self.of


@dataclass(frozen=True)
class Bench:
    """A run of the benchmark.

    Attributes:
        data: the landing data.
        folder: where everything happens.
        repeats: how often each contender runs; views are refreshed more often.
        tests: whether the project's builds run their tests; nothing is published
            without.
        publishes: whether they publish everything, not only `quality`.
        figures: what was measured so far.

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
        """The lakehouse that the hand-written scripts make."""
        return Lakehouse(self.folder / "limit")

    @property
    def peers(self) -> Path:
        """The folder of the peers' environment, for all sizes."""
        return self.folder.parent


def full(bench: Bench, *, spark: bool) -> None:
    """Build the history from nothing.

    Args:
        bench: the run.
        spark: whether Spark is a contender, if there is Java.

    Raises:
        MismatchError: the contenders made different tables.
        CommandError: one of them failed.

    """
    homes = [bench.project, bench.limit]
    for lakehouse in homes:
        bench.data.history(lakehouse.home)
    with_spark = spark and _can_spark(bench)
    for number in range(bench.repeats):
        for lakehouse in homes:
            lakehouse.clear()
        bench.figures.add_build("full build", bench.project.build())
        # One comparison tells: what contenders make does not change from run to run.
        made = checksums.of_lake(bench.project.home) if number == 0 else None
        by_hand(bench, bench.data.eve - timedelta(days=1), made)
        if with_spark:
            folder = bench.folder / "spark"
            shutil.rmtree(folder, ignore_errors=True)
            done = _peer(
                bench,
                *("spark.py", bench.project.home / "landing", folder, COUNTRIES),
            )
            bench.figures.add_run("spark, whole process", done)
            bench.figures.add("spark", float(done.output.split()[-1]))
            if made is not None:
                checksums.compare(made, checksums.of_folder(folder), "Spark")
    bench.figures.notes.append(
        f"The checksums of all tables of {2 + with_spark} contenders agree: "
        + ", ".join(checksums.TABLES)
    )
    _weigh(bench)


def days(bench: Bench) -> None:
    """Build a day on the history and on a tenth of it; and then nothing new.

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
    # A history that has grown by a day is that of a script that reads all of it.
    bench.limit.clear()
    for added in (data.eve, data.day):
        data.add(bench.limit.home, added)
    by_hand(bench, data.day, checksums.of_lake(bench.project.home))
    bench.figures.notes.append("The checksums of all tables agree after the day, too.")
    for _ in range(bench.repeats):
        before = _snapshot(bench.project.home)
        bench.figures.add_build("nothing new", bench.project.build())
        bench.figures.add(
            "nothing new, lake writes", _snapshot(bench.project.home) - before
        )
        bench.figures.add_run("dbt's own start", bench.project.dbt("parse"))


def by_hand(bench: Bench, last: date, made: checksums.Checksums | None = None) -> None:
    """Run the hand-written script on the limit's lake.

    Args:
        bench: the run.
        last: the last day of sessions in the landing zone.
        made: the checksums of the tables that it should make; None for any.

    Raises:
        MismatchError: it made others.
        CommandError: it failed.

    """
    done = _python(
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
    """Run what a newcomer runs, in a clone of its own: the demo, it again, a metric.

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


def _in_clone(bench: Bench, folder: Path, *command: str | Path) -> process.Done:
    return process.run(
        command,
        folder=folder,
        environment=process.clean_environment(),
        log=bench.folder / "said.log",
    )


def views(bench: Bench) -> None:
    """Refresh each materialized view after a day, the way that is chosen and forced.

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
    # Everything but the views, whose tables have moved then.
    home.dbt(
        *("run", "--exclude", "config.materialized:materialized_view"),
        "path:models/ml+",
    )
    _checkpoint(home.home)
    # Chosen once before: what the choice knows stems from a refresh like this one.
    learned: dict[str, tuple[float, float]] = {}
    for method in ("feed", "recomputed"):
        _restore(home.home)
        for name, (way, seconds, pace) in _refreshed(home, method).items():
            if way == method:
                held = learned.get(name, (0.0, 0.0))
                learned[name] = (
                    (held[0], pace) if method == "feed" else (seconds, held[1])
                )
        _restore(home.home)
    _teach(home, learned)
    _checkpoint(home.home)
    # A tenth of a second is measured badly by one run, or always after the same other.
    methods = ["chosen", "feed", "recomputed"]
    for _ in range(2 * bench.repeats + 1):
        methods.append(methods.pop(0))
        for method in methods:
            _restore(home.home)
            for name, (way, seconds, _) in _refreshed(home, method).items():
                if method in ("chosen", way):
                    bench.figures.add(f"view {name}, {method}", seconds)
        # Nothing has moved since.
        for name, seconds in _quiet_refresh(home).items():
            bench.figures.add(f"view {name}, nothing moved", seconds)


def dashboard(bench: Bench) -> None:
    """Ask the boards' questions of what is published."""
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
            for _ in range(_ASKED):
                started = time.perf_counter()
                connection.execute(query).fetchall()
                took.append(time.perf_counter() - started)
            bench.figures.add(f"question {name}", quantiles(took, n=20)[-1])


def landing(bench: Bench, *, dlt: bool) -> None:
    """Land sessions and songs from servers, beside the limits, and dlt.

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
    with _served(bench, window) as served:
        for _ in range(bench.repeats):
            for entity in ("sessions", "songs", "download"):
                shutil.rmtree(home, ignore_errors=True)
                done = _python(
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
                done = _peer(bench, "land_dlt.py", what, where, home, *map(str, window))
                bench.figures.add(f"dlt {what}", float(done.output.split()[-1]))
                if what != "copy":
                    landed = f"{home}/out/landing/{what}/*.parquet"
                    _count(bench, f"dlt {what}", landed)


def _count(bench: Bench, name: str, files: str) -> None:
    """Note how many rows were landed: contenders must land the same."""
    with duckdb.connect() as connection:
        rows = connection.execute("select count(*) from read_parquet(?)", [files])
        row = rows.fetchone()
    assert row is not None  # noqa: S101 - an aggregate has one row
    held = bench.figures.of.setdefault(f"rows of {name}", [])
    held.append(row[0])
    other = bench.figures.of[f"rows of {name.removeprefix('dlt ')}"][-1]
    if other != row[0]:
        raise checksums.MismatchError(
            f"{name}: {row[0]:,} rows landed, not {other:,} as the project's."
        )


def _can_spark(bench: Bench) -> bool:
    if peers.java():
        return True
    bench.figures.notes.append("Spark did not run: there is no Java on this machine.")
    return False


def _python(
    bench: Bench, *arguments: str | Path, environment: dict[str, str] | None = None
) -> process.Done:
    return process.run(
        [sys.executable, *arguments],
        folder=PROJECT / "scripts",
        environment=process.clean_environment() | (environment or {}),
        log=bench.folder / "said.log",
    )


def _peer(bench: Bench, script: str, *arguments: str | Path) -> process.Done:
    return process.run(
        [peers.python(bench.peers), peers.HERE / script, *arguments],
        folder=bench.folder,
        environment=process.clean_environment(),
        log=bench.folder / "said.log",
    )


def _weigh(bench: Bench) -> None:
    """Note the bytes of the lake, and of the same rows as plain Parquet."""
    data = bench.project.home / "lake" / "data"
    held = sum(path.stat().st_size for path in data.rglob("*.parquet"))
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
    bench.figures.add("lake, bytes", held)
    bench.figures.add("plain Parquet, bytes", plain)


def _snapshot(home: Path) -> int:
    """Return the id of the lake's newest snapshot."""
    with checksums.lake(home) as connection:
        row = connection.execute("select id from lake.current_snapshot()").fetchone()
    assert row is not None  # noqa: S101 - a lake has a snapshot
    return int(row[0])


def _checkpoint(home: Path) -> None:
    """Keep a lakehouse as it is now."""
    _copy(home, _kept(home))


def _restore(home: Path) -> None:
    """Bring a lakehouse back to its checkpoint."""
    _copy(_kept(home), home)


def _kept(home: Path) -> Path:
    return home.with_name(f"{home.name}.kept")


def _copy(home: Path, target: Path, *left_out: str) -> None:
    """Copy a lakehouse, but some folders; what never changes is shared."""

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
    """Return a copy of the project that has one materialized view more."""
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


def _refreshed(home: Lakehouse, method: str) -> dict[str, tuple[str, float, float]]:
    """Refresh all views.

    Args:
        home: the lakehouse.
        method: `chosen`, or `feed` or `recomputed` to make the registry favour it.

    Returns:
        By view: how it was refreshed, how long that took in seconds, and the pace of
        the feed that the registry holds now.

    """
    whole = {"feed": 1e9, "recomputed": 0.0}.get(method)
    if whole is not None:
        _registry(home, "update {} set recompute_seconds = ?", whole)
    before = dict(_registry(home, "select view_name, refreshed_at from {}"))
    home.dbt("run-operation", "refresh_materialized_views")
    return {
        name: (way, seconds, pace or 0.0)
        for name, way, seconds, pace, when in _registry(
            home, "select view_name, method, seconds, feed_pace, refreshed_at from {}"
        )
        if when != before.get(name)
    }


def _teach(home: Lakehouse, learned: dict[str, tuple[float, float]]) -> None:
    """Let the registry hold what a refresh by each way took."""
    for name, (seconds, pace) in learned.items():
        _registry(
            home,
            "update {} set recompute_seconds = ?, feed_pace = nullif(?, 0)"
            " where view_name = ?",
            *(seconds, pace, name),
        )


def _registry(home: Lakehouse, statement: str, *values: object) -> list[Any]:
    """Ask or change what the lake holds of its materialized views."""
    with duckdb.connect() as connection:
        for extension in ("ducklake", "sqlite_scanner"):
            connection.load_extension(extension)
        connection.execute(
            f"attach 'ducklake:sqlite:{home.catalogue}' as lake"
            f" (data_path '{home.home}/lake/data', override_data_path true)"
        )
        name = "lake.operations.materialized_views"
        return connection.execute(statement.format(name), values).fetchall()


def _quiet_refresh(home: Lakehouse) -> dict[str, float]:
    """Refresh views of which nothing has moved: the seconds that the engine took."""
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
def _served(bench: Bench, window: tuple[date, date]) -> Iterator[dict[str, str]]:
    """Serve the sources from a process of its own."""
    last = window[1] - timedelta(days=1)
    with subprocess.Popen(  # noqa: S603 - our own arguments
        [
            *(sys.executable, "-m", "benchmark.served", str(bench.data.items)),
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
