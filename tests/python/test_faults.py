"""Kills, full disks, broken connections, concurrent runs: recovery or clear errors."""

import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from itertools import pairwise
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import dbt_process
import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from conftest import WITHOUT_TESTS, Lakehouse, copy_of_project, song
from deftunes.landing import manifest
from deftunes.landing.loader import LandingPlan, _Journal, run
from deftunes.landing.zone import LandingZone, LandingZoneError, check_landing_zone
from deftunes.settings import PROJECT, Settings
from demo_sources import postgres, service
from demo_sources.generator import Generator
from demo_sources.service import Records
from test_land import batches, command, command_environment, command_line, wait_until
from test_land import session as landing_session
from test_land import user as landing_user
from test_pipeline import BUILT, commits, differences

START, NOON, END = date(2023, 3, 1), date(2023, 3, 6), date(2023, 3, 11)
SHOP: Any = {"seed": 8, "items": 1_500, "start": START, "end": END, "damage": 0.02}
SEED = 20_230_301

Tables = dict[str, list[Any]]


@dataclass(frozen=True)
class Calm:
    """A lakehouse that was never disturbed, and the state before its last build.

    Attributes:
        lakehouse: the lakehouse; tests disturb it after `restore`.
        before: a copy of `lake/` and `serving/`, with what was landed first.
        tables: what the last build made.
        reported: the reported revenue, without the columns of the snapshot's making.
        fingerprints: of the published database, before and after the last build.
        phases: the moments of the last build, by phase: the line that says that a
            moment begins, and how long it lasts, in seconds.

    """

    lakehouse: Lakehouse
    before: Path
    tables: Tables
    reported: list[Any]
    fingerprints: list[list[Any]]
    phases: dict[str, list[tuple[str, float]]]

    def restore(self, *, lake: bool = True) -> Lakehouse:
        """Restore the state before the last build, or before the first one."""
        for name in ("lake", "serving"):
            shutil.rmtree(self.lakehouse.home / name, ignore_errors=True)
            if lake:
                shutil.copytree(
                    self.before / name, self.lakehouse.home / name, symlinks=True
                )
        return self.lakehouse

    def copy(self, home: Path) -> Lakehouse:
        """Copy the state before the last build to another home."""
        shutil.copytree(self.before, home, symlinks=True)
        shutil.copytree(self.lakehouse.home / "landing", home / "landing")
        return replace(self.lakehouse, home=home)

    def differences(self) -> dict[str, Any]:
        """Return the differences from the undisturbed result."""
        found: dict[str, Any] = differences(
            self.lakehouse.tables(*BUILT) | {"reported": reported(self.lakehouse)},
            self.tables | {"reported": self.reported},
        )
        return found


@pytest.fixture(scope="session")
def calm(lakehouses: Callable[[Path], Lakehouse], rates: Path) -> Calm:
    """Land and build twice; before the second build, the sources have changed."""
    lakehouse = lakehouses(rates)
    before = lakehouse.home.with_name("before")
    for revision, end in enumerate((NOON, END)):
        generator = Generator(**SHOP, revision=revision)
        lakehouse.land(generator, generator.song_tables(), START, end)
        if revision == 0:
            lakehouse.build()
            for name in ("lake", "serving"):
                shutil.copytree(lakehouse.home / name, before / name, symlinks=True)
    old = fingerprint(lakehouse)
    began, lines = time.monotonic(), []
    build = lakehouse.start("build")
    for line in said_by(build, lakehouse):
        lines.append((time.monotonic() - began, line))
    assert build.exitcode == 0, lines
    tables, new = lakehouse.tables(*BUILT), fingerprint(lakehouse)
    assert old != new
    return Calm(
        *(lakehouse, before, tables, reported(lakehouse), [old, new]), phases_of(lines)
    )


_PHASES = {
    "seed": r"START (seed|sql view)",
    "model": r"START sql incremental",
    "test": "START test",
    "snapshot": "START snapshot",
    "publishing": r"^(\d+) of \1 (?!START)",
}


def phases_of(lines: list[tuple[float, str]]) -> dict[str, list[tuple[str, float]]]:
    """Return the moments of a build by phase, from its output lines and their times."""
    found: dict[str, list[tuple[str, float]]] = {name: [] for name in _PHASES}
    # Hooks come before the first node and after the last.
    nodes = [(at, line) for at, line in lines if re.search(r"\d of \d\d", line)]
    published = next(at for at, line in lines if line.startswith("Published"))
    ends = [*(at for at, _ in nodes[1:]), published]
    for (at, line), end in zip(nodes, ends, strict=True):
        for name, pattern in _PHASES.items():
            if re.search(pattern, line):
                found[name].append((line, end - at))
    assert all(found.values())
    return found


def kill(process: "subprocess.Popen[Any]") -> None:
    """Kill a command and all its child processes."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def said_by(build: ForkServerProcess, lakehouse: Lakehouse) -> Iterator[str]:
    """Yield the lines of a build, without times, results and colours."""
    for line in dbt_process.lines(build, lakehouse.said):
        plain = re.sub(r"\x1b\[\d*m", "", line).strip()
        yield re.split(r" \.\.|  \[", re.sub(r"^\d\d:\d\d:\d\d\s*", "", plain))[0]


def reported(lakehouse: Lakehouse) -> list[Any]:
    """Return the rows of the snapshot, without dbt's own columns."""
    with lakehouse.lake() as connection:
        return connection.sql(
            "select columns(lambda c: not starts_with(c, 'dbt_')),"
            " dbt_valid_to is null from snapshots.revenue_per_day_reported order by all"
        ).fetchall()


_FINGERPRINT = """
select
    (select count(*) from marts.fact_order_items) as facts,
    (select sum(item_count) from reports.revenue_per_day_vw) as reported,
    (
        select count(*) from marts.fact_order_items as fact
        where
            song_key not in (select song_key from marts.dim_songs)
            or user_key not in (select user_key from marts.dim_users)
            or artist_key not in (select artist_key from marts.dim_artists)
            or date_key not in (select date_key from marts.dim_date)
    ) as orphans,
"""
_READER = """
import json, select, sys, time, duckdb
opened, errors, seen = 0, [], []
while not select.select([sys.stdin], [], [], 0.2)[0]:
    try:
        with duckdb.connect(sys.argv[1], read_only=True) as connection:
            found = list(connection.execute(sys.argv[2]).fetchone())
    except duckdb.Error as error:
        errors.append(str(error))
    else:
        opened += 1
        if found not in seen:
            seen.append(found)
print(json.dumps({"opened": opened, "errors": errors, "seen": seen}))
"""


def fingerprint_query(lakehouse: Lakehouse) -> str:
    """Return a query that identifies a published database and detects a mixed one."""
    tables = lakehouse.published(
        "select schema_name || '.' || table_name from duckdb_tables()"
        " where table_name <> 'publications' order by all"
    )
    return _FINGERPRINT + ", ".join(
        f"(select sum(hash(t))::varchar from {name} as t)"  # noqa: S608 - our names
        for (name,) in tables
    )


def fingerprint(lakehouse: Lakehouse) -> list[Any]:
    """Return the fingerprint of the published database, if it is consistent."""
    (found,) = lakehouse.published(fingerprint_query(lakehouse))
    facts, in_report, orphans = found[:3]
    assert facts == in_report > 0 == orphans
    return [int(facts), int(in_report), orphans, *found[3:]]


@dataclass
class Reader:
    """What a reader saw who opened the published database again and again."""

    opened: int = 0
    errors: list[str] = field(default_factory=list)
    seen: list[list[Any]] = field(default_factory=list)


@contextmanager
def reading(lakehouse: Lakehouse) -> Iterator[Reader]:
    """Open, query and close the published database while the block runs."""
    reader = Reader()
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _READER),
            *(str(lakehouse.database), fingerprint_query(lakehouse)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield reader
        said, _ = process.communicate(timeout=60)
    reader.__dict__.update(json.loads(said))


# Kills


def test_killed_builds_are_mended_and_readers_see_old_or_new(
    calm: Calm, proven: dict[str, str], is_long: bool
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    rounds = [["model", "snapshot", "publishing"]]
    if is_long:
        rounds += [chance.choices([*_PHASES], k=3) for _ in range(9)]
    killed: Counter[str] = Counter()
    opened = 0
    for phases in rounds:
        lakehouse = calm.restore()
        with reading(lakehouse) as reader:
            for phase in phases:
                killed[phase] += build_until(calm, phase, chance)
            lakehouse.build()
        assert calm.differences() == {}, phases
        assert fingerprint(lakehouse) == calm.fingerprints[1]
        assert not (lakehouse.home / "lake" / ".spool").exists()
        assert not reader.errors
        assert all(seen in calm.fingerprints for seen in reader.seen)
        assert reader.seen[0] == calm.fingerprints[0]
        opened += reader.opened
    assert sum(killed.values()) >= len(rounds)
    proven[f"kills of builds that were mended (seed {SEED})"] = ", ".join(
        f"{phase} {times}" for phase, times in killed.items()
    )
    proven["rows equal with and without them"] = (
        f"{sum(map(len, calm.tables.values())):,} in {len(calm.tables)} tables"
    )
    proven["times a reader opened the published database meanwhile"] = (
        f"{opened:,}, no error, old or new each time"
    )


def build_until(calm: Calm, phase: str, chance: random.Random) -> bool:
    """Kill a build at a random moment of a phase; return whether it still ran."""
    moments = calm.phases[phase]
    ((line, length),) = chance.choices(moments, [length for _, length in moments])
    delay = chance.uniform(0, length)
    lakehouse = calm.lakehouse
    build = lakehouse.start("build")
    for said in said_by(build, lakehouse):
        if said == line:
            time.sleep(delay)
            build.kill()
    return bool(build.exitcode == -signal.SIGKILL)


def test_an_interrupted_build_ends_with_one_line(calm: Calm, tmp_path: Path) -> None:
    lakehouse = calm.copy(tmp_path / "home")
    build = lakehouse.start("build")
    assert build.pid
    for said in said_by(build, lakehouse):
        if "START sql incremental" in said:
            os.kill(build.pid, signal.SIGINT)
    assert build.exitcode == 130
    lines = lakehouse.said.read_text().splitlines()
    assert lines[-1] == "Interrupted: nothing was published. Run it again."
    assert not any("Traceback" in line for line in lines)


@pytest.mark.usefixtures("long_mode")
def test_an_error_while_publishing_is_no_interruption(
    calm: Calm, tmp_path: Path
) -> None:
    lakehouse = calm.copy(tmp_path / "home")
    publications = lakehouse.home / "serving" / "publications"
    shutil.rmtree(publications)
    publications.write_text("A file in the way.")
    built = lakehouse.dbt("build")
    assert built.returncode not in (0, 130)
    assert "Interrupted" not in built.stdout + built.stderr
    assert str(publications) in built.stdout


def test_killed_landings_are_mended(
    home: Path, postgres_dsn: str, rates: Path, proven: dict[str, str], is_long: bool
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    generator = Generator(**SHOP | {"end": date(2023, 4, 1)})  # more, smaller batches
    postgres.load_songs(postgres_dsn, generator.song_tables())
    window = ["--start", str(START), "--end", "2023-04-01", "--workers", "2"]
    survived, seen = 0, set()
    with service.running(generator) as api:
        made = {
            "api_url": api.url,
            "postgres_dsn": postgres_dsn,
            "exchange_rates": str(rates),
        }

        def start(place: Path) -> "subprocess.Popen[bytes]":
            del api.requests[:]
            process = subprocess.Popen(
                command_line(window),
                env=command_environment(place, made),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            wait_until(lambda: bool(api.requests))
            return process

        undisturbed = home / "undisturbed"
        with start(undisturbed) as process:
            began = time.monotonic()
            assert process.wait(timeout=120) == 0
            length = time.monotonic() - began
        expected = landed_records(undisturbed)
        for number in range(30 if is_long else 3):
            place = home / str(number)
            with start(place) as process:
                time.sleep(chance.uniform(0, length))
                kill(process)
            seen.add(len(batches(place)))
            landed_records(place)  # whatever can be seen is whole
            if number % 2:
                check_landing_zone(place / "landing")  # as a build does
            survived += process.returncode == -signal.SIGKILL
            done = command(place, *window, **made)
            assert done.returncode == 0, done.stderr
            assert landed_records(place) == expected, number
            check_landing_zone(place / "landing")
            assert not list((place / "landing" / ".incoming").iterdir())
    assert survived
    rows = sum(map(len, expected.values()))
    proven[f"kills of landings that were mended (seed {SEED})"] = (
        f"{survived}, with {', '.join(map(str, sorted(seen)))} batches to be seen;"
        f" {rows:,} records equal each time"
    )


def landed_records(home: Path) -> Tables:
    """Return the landed rows by entity, without time and batch."""
    with duckdb.connect() as connection:
        return {
            entity.name: connection.read_parquet(
                f"{entity}/*/*.parquet", hive_partitioning=False
            )
            # As text, since no NaN equals another.
            .select("columns(lambda c: c not in ('_ingested_at', '_batch_id'))::text")
            .order("all")
            .fetchall()
            for entity in sorted((home / "landing").glob("[!.]*"))
            if any(entity.iterdir())
        }


# Upkeep


def test_upkeep_makes_the_lake_smaller_and_nothing_else(
    calm: Calm, proven: dict[str, str]
) -> None:
    lakehouse = calm.lakehouse
    before, tables = files_of(lakehouse), lakehouse.tables(*BUILT, "snapshots")
    # What dbt has parsed with other variables goes elsewhere.
    elsewhere = replace(lakehouse, home=lakehouse.home.with_name("upkeep"))
    forget = ("--vars", "{retention_days: 0}")
    with duckdb.connect(str(lakehouse.database), read_only=True) as reader:
        facts = reader.table("marts.fact_order_items").order("all")
        seen = facts.fetchall()
        # Nothing is kept for those who read the lake's own files.
        shutil.rmtree(lakehouse.home / "serving")
        done = elsewhere.dbt(
            *("run-operation", "upkeep", *forget), environment=lakehouse.environment()
        )
        assert done.returncode == 0, done.stdout
        assert facts.fetchall() == seen
    after, kept = files_of(lakehouse), commits(lakehouse)
    assert len(after) < len(before)
    assert lakehouse.tables(*BUILT, "snapshots") == tables
    lakehouse.build(*WITHOUT_TESTS)
    assert commits(lakehouse) == kept
    assert lakehouse.tables(*BUILT, "snapshots") == tables
    proven["files of the lake before and after upkeep"] = (
        f"{len(before)} and {len(after)}, {sum(before):,} and {sum(after):,} bytes"
    )


COLUMNS = {
    "integer": ("7", "9"),
    "decimal(38, 0)": ("12345678901234567890", "12345678901234567891"),
    "double": ("-1.5", "2.25"),
    "varchar": ("'before'", "'o''clock'"),
    "boolean": ("false", "true"),
    "date": ("'2024-02-29'", "'2024-03-01'"),
    "timestamptz": ("'2024-02-29 23:59:59.999999+00'", "'2024-03-01 00:00:00+00'"),
    "uuid": (f"'{UUID(int=1)}'", f"'{UUID(int=2)}'"),
}
"""Types, each with two values, the lesser first."""


@pytest.mark.parametrize("rewriting", ["upkeep", "another writer's"])
def test_what_a_column_holds_is_found_after_files_are_rewritten(
    calm: Calm, rewriting: str
) -> None:
    """DuckLake 1.0 takes the rows that come after for all, where a file holds none."""
    lakehouse = calm.lakehouse
    verb = "upkeep" if rewriting == "upkeep" else "refresh_materialized_views"
    names = [f'"the {kind}"' for kind in COLUMNS]
    less, more = (", ".join(values) for values in zip(*COLUMNS.values(), strict=True))
    table = "lake.own.readings"

    def read(lake: duckdb.DuckDBPyConnection, values: str) -> None:
        lake.sql(f"values {values}").insert_into(table)

    with lakehouse.writing() as lake:
        lake.execute("create schema if not exists lake.own")
        kinds = ", ".join(map(" ".join, zip(names, COLUMNS, strict=True)))
        lake.execute(f"create or replace table {table} (id integer, {kinds})")
        read(lake, f"(1, {less}), (2, {more})")
        lake.execute("insert into lake.own.readings (id) values (3)")
        lake.execute("delete from lake.own.readings where id = 2")
        if rewriting != "upkeep":
            lake.execute(
                "call ducklake_rewrite_data_files('lake', delete_threshold => 0)"
            )
            read(lake, f"(4, {more})")
    done = lakehouse.dbt("run-operation", verb)
    assert done.returncode == 0, done.stdout
    with lakehouse.writing() as lake:
        if rewriting == "upkeep":
            read(lake, f"(4, {more})")
        rows = lake.table(table)
        assert rows.order("all").fetchall() == sorted(rows.fetchall())
        for (kind, (value, _)), name in zip(COLUMNS.items(), names, strict=True):
            found = rows.filter(f"{name} = {value}").project("id")
            assert found.fetchall() == [(1,)], kind
        lake.execute("drop schema lake.own cascade")


def files_of(lakehouse: Lakehouse) -> list[int]:
    """Return the sizes of the lake's Parquet files, in bytes."""
    files: Iterable[Path] = (lakehouse.home / "lake" / "data").rglob("*.parquet")
    return [path.stat().st_size for path in files]


# The way there does not matter.


@pytest.mark.usefixtures("long_mode")
def test_landing_and_building_by_the_day_is_the_same_as_at_once(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, proven: dict[str, str]
) -> None:
    days = [date(2023, 3, number) for number in (1, 2, 3, 4)]
    generator = Generator(**SHOP)
    found = []
    for steps in (pairwise(days), [(days[0], days[-1])]):
        lakehouse = lakehouses(rates)
        for start, end in steps:
            lakehouse.land(generator, generator.song_tables(), start, end)
            lakehouse.build(*WITHOUT_TESTS)
        found.append(without_metadata(lakehouse))
    assert differences(*found) == {}
    assert found[0]["marts.fact_order_items"]
    proven["rows equal, landed and built by the day and at once"] = (
        f"{sum(map(len, found[0].values())):,} in {len(found[0])} tables"
    )


def without_metadata(lakehouse: Lakehouse) -> Tables:
    """Return the rows of all tables, without columns that depend on the landing."""
    with lakehouse.lake() as connection:
        names = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables()"
            " where database_name = 'lake' and list_contains(?, schema_name)"
            " and table_name <> 'publications'",
            [BUILT],
        ).fetchall()
        return {
            name: connection.table(f"lake.{name}")
            .select(
                "columns(lambda c: not starts_with(c, '_')"
                " and c not in ('exchange_rates_batch_id', 'rejected_record_key'))"
            )
            .order("all")
            .fetchall()
            for (name,) in names
        }


# Crowds


@pytest.mark.usefixtures("long_mode")
def test_a_crowd_stands_in_line(calm: Calm) -> None:
    lakehouse = calm.restore(lake=False)
    landing = {"exchange_rates": str(lakehouse.rates)}
    both = [
        subprocess.Popen(
            lakehouse.command("build", *WITHOUT_TESTS),
            cwd=PROJECT,
            env=lakehouse.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        wait_until(lambda: (lakehouse.home / "lake" / "catalog.sqlite").exists())
        refused = command(lakehouse.home, "exchange_rates", "--wait", "0.1", **landing)
        waited = command(lakehouse.home, "exchange_rates", "--wait", "300", **landing)
        said = [process.communicate(timeout=900)[0] for process in both]
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("Another run holds" in text for text in said) == 1
    assert refused.returncode == 1
    assert "Run this again when it has ended" in refused.stderr
    assert waited.returncode == 0
    assert "waiting up to 300 s" in waited.stderr
    assert differences(lakehouse.tables(*BUILT), calm.tables) == {}


def test_two_landings_at_once_land_once(home: Path, rates: Path) -> None:
    environment = command_environment(home, {"exchange_rates": str(rates)})
    both = [
        subprocess.Popen(
            command_line(["exchange_rates"]),
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(batches(home)) == 1
    assert sorted("1 unchanged" in text for text in said) == [False, True]


# Disks


@contextmanager
def disk(folder: Path, size: int, *options: str) -> Iterator[None]:
    """Mount a file system of a given size over a folder, with the folder's contents."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder.with_name(f"{folder.name} kept")
    folder.rename(kept)
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    assert mount
    assert unmount
    made = [mount, "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(made, check=False).returncode:
        folder.rmdir()
        kept.rename(folder)
        pytest.skip("no small disk can be mounted here")
    try:
        shutil.copytree(kept, folder, symlinks=True, dirs_exist_ok=True)
        if options:
            anew = [mount, "-o", ",".join(("remount", *options)), str(folder)]
            subprocess.run(anew, check=True)
        yield
        shutil.rmtree(kept)
        shutil.copytree(folder, kept, symlinks=True)
    finally:
        subprocess.run([unmount, "-l", str(folder)], check=True)
        folder.rmdir()
        kept.rename(folder)


@pytest.fixture
def many_songs(postgres_dsn: str) -> str:
    """Return the database with 131,072 songs, too many for one transfer."""
    table = pa.Table.from_pylist([song(1)], postgres.SONGS_SCHEMA)
    for _ in range(17):
        table = pa.concat_tables([table, table])
    postgres.load_songs(postgres_dsn, [table.combine_chunks()])
    return postgres_dsn


def test_a_full_disk_while_landing(home: Path, many_songs: str, rates: Path) -> None:
    window = ["--start", str(START), "--end", str(END)]
    with service.running(Generator(**SHOP)) as api:
        made = {
            "api_url": api.url,
            "postgres_dsn": many_songs,
            "exchange_rates": str(rates),
        }
        with disk(home / "landing", 100 << 10):
            full = command(home, *window, **made)
            seen = len(batches(home))
            landed_records(home)  # whatever can be seen is whole
        healed = command(home, *window, **made)
    assert full.returncode == 1
    assert "No space left on device" in full.stderr
    assert "the reason is not shown" not in full.stderr
    assert "run the same command again" in full.stdout
    assert "Traceback" not in full.stderr
    assert healed.returncode == 0, healed.stderr
    assert seen < len(batches(home)) == (END - START).days + 3


def test_a_full_disk_once_all_has_landed(
    home: Path, many_songs: str, rates: Path
) -> None:
    window = ["exchange_rates", "songs", "--start", str(START), "--end", str(END)]
    made = {"postgres_dsn": many_songs, "exchange_rates": str(rates)}
    (home / "landing").mkdir(parents=True)
    new = home / "landing" / ".manifest.new"
    new.symlink_to("/dev/full")
    full = command(home, *window, **made)
    new.unlink()
    assert full.returncode == 1
    assert "songs" in full.stdout
    assert "run the same command again" in full.stdout
    assert f"{home / 'landing' / '.manifest'} was not written" in full.stderr
    assert "Traceback" not in full.stderr
    healed = command(home, *window, **made)
    assert healed.returncode == 0, healed.stderr
    assert check_landing_zone(home / "landing") == ""


def test_a_window_lands_without_its_note() -> None:
    _Journal(Path("/dev/full"), set()).add("songs")


@pytest.mark.usefixtures("long_mode")
def test_a_full_disk_while_building(calm: Calm) -> None:
    lakehouse = calm.restore()
    lake = lakehouse.home / "lake"
    held = sum(path.stat().st_blocks * 512 for path in lake.rglob("*"))
    with disk(lake, held + (150 << 10)):
        full = lakehouse.dbt("build", *WITHOUT_TESTS)
    assert full.returncode != 0
    assert "The disk is full: " in full.stdout
    assert "Traceback" not in full.stdout + full.stderr
    assert fingerprint(lakehouse) == calm.fingerprints[0]
    lakehouse.build(*WITHOUT_TESTS)
    assert calm.differences() == {}


@pytest.mark.usefixtures("long_mode")
def test_a_full_disk_while_publishing_and_what_it_leaves(calm: Calm) -> None:
    lakehouse = calm.lakehouse
    serving = lakehouse.database.parent
    tests = ("--args", "{passed: 1, warned: 0}")
    publish = ("run-operation", "publish_lake", *tests)
    # Something else than what is published already.
    less = ("--vars", "{published_schemas: [marts, quality]}")
    before = lakehouse.database.read_bytes()
    held, needed = (
        sum(path.stat().st_size for path in folder.rglob("*"))
        for folder in (serving / "publications", lakehouse.database.resolve().parent)
    )
    with disk(serving, held + needed // 2):
        full = lakehouse.dbt(*publish, *less)
        assert lakehouse.database.read_bytes() == before
        # Half of a publication lies about now.
        assert [*(serving / "publications" / ".building").iterdir()]
    assert full.returncode != 0
    said = re.findall(r"The disk is full: .*Free some space, .*", full.stdout)
    assert len(said) == 1
    assert str(serving / "publications" / ".building") in said[0]
    assert "Traceback" not in full.stdout + full.stderr
    done = lakehouse.dbt(*publish, *less)
    assert done.returncode == 0, done.stdout
    assert {path.name for path in (serving / "publications").glob(".*")} == set()
    assert lakehouse.database.read_bytes() != before
    assert lakehouse.dbt(*publish).returncode == 0
    assert fingerprint(lakehouse)


def test_a_home_that_cannot_be_written_is_said(
    lakehouses: Callable[[Path], Lakehouse], rates: Path
) -> None:
    lakehouse = lakehouses(rates)
    with disk(lakehouse.home, 1 << 20, "ro"):
        landing = command(lakehouse.home, "exchange_rates")
        # What dbt itself writes goes elsewhere.
        elsewhere = replace(lakehouse, home=lakehouse.home.with_name("elsewhere"))
        build = elsewhere.dbt("build", environment=lakehouse.environment())
    assert landing.returncode == 1
    for said in (landing.stderr, build.stdout):
        assert "Read-only file system" in said
        assert "Traceback" not in said
    assert build.returncode != 0


# A lake that is damaged


def test_a_damaged_lake_is_told_in_one_line(calm: Calm) -> None:
    lakehouse = calm.restore()
    build = ("--quiet", "build", "--select", "dim_date", *WITHOUT_TESTS)
    lost = next((lakehouse.home / "lake" / "data" / "marts" / "dim_date").iterdir())
    lost.unlink()
    assert_remedy(lakehouse.dbt(*build), f"{lost} is lost or damaged. Restore the lake")

    catalogue = lakehouse.home / "lake" / "catalog.sqlite"
    for journal in catalogue.parent.glob(f"{catalogue.name}-*"):
        journal.unlink()
    catalogue.write_bytes(b"garbage" * 1000)
    damaged = lakehouse.dbt(*build)
    assert_remedy(damaged, "The catalogue of the lake is damaged. Restore the lake")
    assert len(damaged.stdout.splitlines()) < 10
    catalogue.unlink()
    assert_remedy(lakehouse.dbt(*build), f"{catalogue} is missing or empty, and ")
    assert not catalogue.exists()


def assert_remedy(done: "subprocess.CompletedProcess[str]", beginning: str) -> None:
    """Check that a command failed with one line that says why and what to do."""
    assert done.returncode != 0
    (line,) = re.findall(re.escape(beginning) + ".*", done.stdout)
    assert "remove it" in line
    assert "Then `dbt build` builds it again from the landing zone." in line
    assert "Traceback" not in done.stdout


# A database that goes away


class Proxy:
    """A TCP proxy that cuts all connections after a number of bytes."""

    def __init__(self, port: int, after: int | None) -> None:
        """Forward to a local port."""
        self.after = after
        self._server = port
        self._passed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(one, other), daemon=True
                    ).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while piece := one.recv(1 << 16):
                self._passed += len(piece)
                if self.after is not None and self._passed > self.after:
                    # To be reset, not closed in good order.
                    for end in (one, other):
                        linger = struct.pack("ii", 1, 0)
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    break
                other.sendall(piece)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.parametrize("after", [100, 20_000, 5_000_000])
def test_a_copy_that_is_cut_lands_nothing_and_the_same_command_lands_all(
    home: Path, many_songs: str, after: int
) -> None:
    port = re.findall(r":(\d+)/", many_songs)[0]
    proxy = Proxy(int(port), after)
    made = {"postgres_dsn": many_songs.replace(f":{port}/", f":{proxy.port}/")}
    try:
        cut = command(home, "songs", **made)
        assert cut.returncode == 1
        assert not batches(home)
        assert "songs did not land: deftunes.songs cannot be read: " in cut.stderr
        assert "the connection string is not valid" not in cut.stderr
        assert "Traceback" not in cut.stderr
        proxy.after = None
        again = command(home, "songs", **made)
    finally:
        proxy.close()
    assert again.returncode == 0, again.stderr
    assert f"songs: {1 << 17:,} records landed" in again.stdout


# What others leave in the landing zone


def test_what_is_not_the_loaders_is_ignored_or_named(calm: Calm) -> None:
    lakehouse = calm.restore()
    landing = lakehouse.home / "landing"
    batch = batches(lakehouse.home, "users")[0]
    harmless = [
        landing / "README.txt",
        landing / "users" / ".DS_Store",
        landing / "users" / "_batch_id=odd" / "notes.txt",
        batch / "notes.txt",
    ]
    copy = landing / "users" / f"{batch.name} (copy)" / "users.parquet"
    for path in (*harmless, copy):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    try:
        landed = command(
            *(lakehouse.home, "exchange_rates"), exchange_rates=str(lakehouse.rates)
        )
        refused = lakehouse.dbt("build")
    finally:
        for path in (*harmless, copy):
            path.unlink()
        for folder in (harmless[2].parent, copy.parent):
            folder.rmdir()
    assert landed.returncode == 0, landed.stderr
    assert "1 unchanged" in landed.stdout
    assert refused.returncode != 0
    assert f"{copy} was not landed by scripts/land.py" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr


@pytest.mark.parametrize(
    ("path", "is_foreign"),
    [
        ("users/backup/users.parquet", True),
        ("users/_batch_id=1/users.parquet", True),
        ("users/{good}/users.parquet", False),
        ("users/{good}/users (1).parquet", True),
        ("users/{good}/.users.parquet", True),
        ("users/{good}/.users.parquet.swp", False),
        ("users/.stversions/users.parquet", True),
        ("users/{good}/notes.txt", False),
        ("users/backup/more/users.parquet", False),
        (".incoming/tmp/users.parquet", False),
        ("users.parquet", False),
    ],
)
def test_only_what_a_build_would_read_is_foreign(
    tmp_path: Path, path: str, is_foreign: bool
) -> None:
    good = "_batch_id=20240101T000000000000Z_2024-01-01_0123456789abcdef"
    file = tmp_path / path.format(good=good)
    write_batch(tmp_path / "users" / good)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    # What is looked at is what DuckDB reads.
    read = duckdb.sql(f"from glob('{tmp_path}/users/*/*.parquet')").fetchall()
    assert ((str(file),) in read) == (
        is_foreign or (file.stem == "users" and "{good}" in path)
    )
    if is_foreign:
        with pytest.raises(LandingZoneError, match=re.escape(str(file))):
            check_landing_zone(tmp_path)
    else:
        check_landing_zone(tmp_path)


def write_batch(folder: Path) -> None:
    """Write a batch as an earlier version landed it."""
    folder.mkdir(parents=True)
    batch_id = folder.name.removeprefix("_batch_id=")
    rows = pa.table({"_batch_id": [batch_id]})
    pq.write_table(rows, folder / f"{folder.parent.name}.parquet")


def test_batches_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    time = "_batch_id=20240101T000000000000Z"
    write_batch(tmp_path / "users" / f"{time}_all_0123456789abcdef")
    write_batch(tmp_path / "sessions" / f"{time}_2024-01-01_0123456789abcdef")
    check_landing_zone(tmp_path)

    added = tmp_path / "sessions" / f"{time}_2024-01-02_0123456789abcdef"
    write_batch(added)
    with pytest.raises(LandingZoneError, match=re.escape(f"{added}/sessions.parquet")):
        check_landing_zone(tmp_path)


# What happens to batches after they have landed


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Path]]:
    """Land users and two days of sessions from a server; return the landing zone."""
    home = tmp_path_factory.mktemp("week") / "my lake"
    sessions = [landing_session(f"{day}", f"2024-01-0{day}T10:00:00") for day in (5, 6)]
    with service.running(Records([landing_user("u")], sessions)) as api:
        settings = Settings(home, api.url, None, None)
        run(settings, WEEK)
        yield settings, home / "landing"


WEEK = LandingPlan(("users", "sessions"), date(2024, 1, 5), date(2024, 1, 7), wait=0)


def contents(landing: Path) -> dict[Path, Any]:
    """Return the rows of all batches by their names."""
    return {
        file.relative_to(landing): pq.read_table(file, partitioning=None)
        for file in landing.glob("*/*/*.parquet")
    }


def flip(file: Path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    """Exchange two files."""
    between = one.with_name("between")
    one.rename(between)
    other.rename(one)
    between.rename(other)


DAMAGE: dict[str, tuple[str, Callable[[Path, Path], object]]] = {
    "gone": ("is gone", lambda file, _: file.unlink()),
    "folder": ("is gone", lambda file, _: shutil.rmtree(file.parent)),
    "renamed": ("is gone", lambda file, _: file.rename(f"{file}.bak")),
    "empty": ("has 0 bytes", lambda file, _: file.write_bytes(b"")),
    "truncated": ("bytes, not", lambda file, _: os.truncate(file, 100)),
    "flipped": ("has other content", lambda file, _: flip(file)),
    "swapped": ("has ", swap),
    "overwritten": ("has ", lambda file, other: shutil.copy2(other, file)),
}


def test_a_file_has_the_time_of_its_batch_which_no_other_has(
    week: tuple[Settings, Path],
) -> None:
    # By size and time a file is known to be the one that was landed.
    _, source = week
    times = {
        file.parent.name.split("=")[1][:22]: file.stat().st_mtime_ns
        for file in source.glob("*/*/*.parquet")
    }
    assert len(times) == 3
    for text, time_ns in times.items():
        moment = datetime.strptime(f"{text}+0000", "%Y%m%dT%H%M%S%fZ%z")
        assert time_ns == round(moment.timestamp() * 1e6) * 1000


def test_a_file_that_is_rewritten_has_a_time_of_its_own(
    week: tuple[Settings, Path], tmp_path: Path
) -> None:
    landing = shutil.copytree(week[1], tmp_path / "landing")
    zone = LandingZone(landing)
    file = Path(zone.files("sessions")[0])
    before = file.stat().st_mtime_ns
    with duckdb.connect() as connection:
        zone.rewrite(file, connection.read_parquet(str(week[1] / "sessions/*/*")))
    assert before < file.stat().st_mtime_ns < before + 1000  # the next batch's may be
    check_landing_zone(landing)


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("entity", ["users", "sessions"])
def test_damage_to_a_batch_is_named_and_landing_its_window_again_heals_it(
    week: tuple[Settings, Path], tmp_path: Path, entity: str, kind: str
) -> None:
    settings, source = week
    landing = tmp_path / "landing"
    shutil.copytree(source, landing)
    whole = contents(landing)
    check_landing_zone(landing)
    file = next(landing.glob(f"{entity}/*/*.parquet"))
    other = next(each for each in landing.glob("sessions/*/*.parquet") if each != file)
    said, damage = DAMAGE[kind]
    damage(file, other)
    with pytest.raises(LandingZoneError) as refused:
        check_landing_zone(landing)
    named = min(file, other) if kind == "swapped" else file
    for part in (str(named), said, f"python scripts/land.py {named.stem}"):
        assert part in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not run(replace(settings, home=tmp_path), WEEK).failed
    check_landing_zone(landing)
    assert contents(landing) == whole


@pytest.mark.parametrize(
    "name", ["{time}_2024-01-09_{digest}", "{time}_{window}_{digest}"]
)
def test_a_copy_of_a_batch_under_another_name_is_refused(
    week: tuple[Settings, Path], tmp_path: Path, name: str
) -> None:
    _, source = week
    landing = tmp_path / "landing"
    shutil.copytree(source, landing)
    folder = next(landing.glob("sessions/*"))
    _, window, digest = folder.name.split("_")[-3:]
    time = "20300101T000000000000Z"
    named = name.format(time=time, window=window, digest=digest)
    copy = shutil.copytree(folder, folder.with_name(f"_batch_id={named}"))
    for _ in range(2):
        with pytest.raises(LandingZoneError, match=re.escape(str(copy))):
            check_landing_zone(landing)
        # Nor does it count as landed where there is no manifest.
        (landing / manifest.NAME).unlink(missing_ok=True)


def test_what_is_as_it_landed_is_not_read(
    week: tuple[Settings, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, source = week
    landing = tmp_path / "landing"
    shutil.copytree(source, landing, copy_function=shutil.copy)
    assert check_landing_zone(landing) == ""  # at other times, so they were read
    monkeypatch.setattr(manifest, "_checksum", Mock(side_effect=AssertionError))
    assert check_landing_zone(landing) == ""


def test_what_landed_before_there_was_a_manifest_counts(
    week: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings, source = week
    landing = tmp_path / "landing"
    shutil.copytree(source, landing)
    (landing / manifest.NAME).unlink()
    assert "3 batches" in check_landing_zone(landing)
    assert check_landing_zone(landing) == ""
    (landing / manifest.NAME).unlink()
    assert not run(replace(settings, home=tmp_path), WEEK).failed
    assert check_landing_zone(landing) == ""
    (landing / manifest.NAME).write_text("nonsense")
    with pytest.raises(manifest.ManifestError, match="Remove it"):
        check_landing_zone(landing)


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("step", ["rename", "replace"])
def test_a_kill_while_a_batch_appears_or_is_replaced_leaves_no_fault(
    week: tuple[Settings, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    is_done: bool,
) -> None:
    settings, source = week
    landing = tmp_path / "landing"
    shutil.copytree(source, landing)
    kept = getattr(Path, step)

    def killed(path: Path, target: Path) -> None:
        if is_done:
            kept(path, target)
        raise KeyboardInterrupt

    zone = LandingZone(landing)
    file = next(landing.glob("users/*/*.parquet"))
    with duckdb.connect() as connection, monkeypatch.context() as patch:
        rows = connection.read_parquet(str(file), hive_partitioning=False).limit(0)
        work: Callable[[], object] = partial(zone.rewrite, file, rows)
        if step == "rename":
            rows = rows.select("* exclude (_batch_id, _source, _ingested_at)")
            of: Any = {"source": "api:/users", "ingested_at": zone.next_time()}
            work = partial(zone.land, "users", "all", rows, is_malformed="false", **of)
        patch.setattr(Path, step, killed)
        with pytest.raises(KeyboardInterrupt):
            work()
    assert check_landing_zone(landing) == ""
    assert not run(replace(settings, home=tmp_path), WEEK).failed
    assert check_landing_zone(landing) == ""


def test_of_a_long_history_each_build_compares_what_it_reads(
    calm: Calm, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = copy_of_project(tmp_path_factory)
    fact = project / "models" / "marts" / "fact_order_items.sql"
    whole = "where rejection_reason is null"
    assert whole in fact.read_text()
    fact.write_text(fact.read_text().replace(whole, f"{whole} and item_number = 1"))
    built = calm.restore().dbt(
        *("build", "--select", "+fact_order_items", "--exclude", "test_type:unit"),
        *("--vars", "items_tested_whole: 0"),
        project=project,
    )
    assert built.returncode == 1, built.stdout
    assert re.search(
        r"FAIL [1-9]\d* assert_fact_has_every_accepted_item_once", built.stdout
    ), built.stdout


def test_of_a_long_history_each_build_tests_what_is_not_published(calm: Calm) -> None:
    lakehouse = calm.restore()
    with lakehouse.writing() as connection:
        # Of a batch that has been settled long since: no build reads it again.
        connection.execute(
            "update lake.marts.fact_order_items set local_hour = 24 where fact_key ="
            " (select min(fact_key) from lake.marts.fact_order_items)"
        )
    built = lakehouse.dbt("build", "--vars", "items_tested_whole: 0")
    assert built.returncode == 1, built.stdout
    assert re.search(
        r"FAIL 1 \S*expression_is_true_fact_order_items\S*local_hour", built.stdout
    )
    assert re.search(r"Tests that read only new rows: [1-9]", built.stdout)


def test_a_history_of_many_batches_is_long(calm: Calm) -> None:
    lakehouse = calm.restore()
    with lakehouse.writing() as connection:
        connection.execute("update lake.marts.fact_order_items set liked = liked")
        ((weight,),) = connection.execute(
            """
            select count(*) + 1000 * (
                select count(*)
                from lake.quality.batch_reconciliation
                where entity = 'sessions'
            )
            from lake.marts.fact_order_items
            """
        ).fetchall()
    test = "assert_fact_has_every_accepted_item_once"
    for limit, reads_all in ((weight, True), (weight - 1, False)):
        built = lakehouse.dbt(
            "build", "--select", test, "--vars", f"items_tested_whole: {limit}"
        )
        assert built.returncode == 0, built.stdout
        assert ("Tests that read only new rows: 1" in built.stdout) != reads_all


def test_of_a_long_history_each_build_compares_the_revenue_of_all_days(
    calm: Calm,
) -> None:
    lakehouse = calm.restore()
    with lakehouse.writing() as connection:
        # What the day adds up to stays the same.
        changed = connection.execute(
            """
            merge into lake.marts.fact_order_items as held using (
                select
                    max(fact_key) as dearer, min(fact_key) as cheaper
                from lake.marts.fact_order_items
                where price > 0.0001 and currency = 'USD'
                group by date_key having count(*) > 1
                order by date_key limit 1
            ) as pair on held.fact_key in (dearer, cheaper)
            when matched then update set
                price = price + if(held.fact_key = dearer, 0.0001, -0.0001)
            """
        ).fetchall()
        assert changed == [(2,)]
    built = lakehouse.dbt("build", "--vars", "items_tested_whole: 0")
    assert built.returncode == 1, built.stdout
    assert "FAIL 1 assert_revenue_per_day_equals_landed_revenue" in built.stdout
