"""Erasing a person: no file mentions them any more, and revenue stays the same."""

import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import deftunes.privacy.forget
import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from conftest import WITHOUT_TESTS, Lakehouse, song
from deftunes import spark_lake
from deftunes.landing.zone import LandingZone
from deftunes.object_store import ObjectStore
from deftunes.privacy.erasure_registry import PSEUDONYM, canonical, canonical_sql
from deftunes.privacy.forget import ErasureCounts, IncompleteError, forget
from deftunes.settings import PROJECT, Settings
from demo_sources import postgres
from demo_sources.service import Records
from test_history import LISBON, item, session, user
from test_pipeline import commits, differences

START, END = date(2023, 3, 10), date(2023, 3, 13)
TABLES = ("marts", "quality", "reports", "snapshots")

PERSON = "5f0c6f4e-7a51-4c0e-9d3b-2b7f6f1f0a11"
NAMES = {"user_name": "Wilhelmine", "user_lastname": "Quastenflosser"}
PLACE = ("61.234567", "-149.876543", "Wolkenkuckucksheim", "US", "America/Anchorage")
MOVED = ("-47.135791", "-12.246813", "Schlaraffenland", "PT", "Europe/Lisbon")
AGENT = "Lynx/2.8.9 (of Wilhelmine)"
OF_THE_PERSON = (
    *(PERSON, *NAMES.values(), AGENT, "Lynx/2.8.9", "wilhelmine@example.com"),
    *(text for place in (PLACE, MOVED) for text in place[:3]),
    "2019-08-07 06:05:04.030201",
    "2019-08-07T06:05:04.030201",
)
OTHER = "0a0c6f4e-7a51-4c0e-9d3b-2b7f6f1f0a22"


def person(*place: str, **more: object) -> dict[str, Any]:
    """Return the person as a record of the API."""
    since = {"user_since": "2019-08-07T06:05:04.030201"}
    return user(PERSON, *place) | NAMES | since | more


USERS = [
    person(*PLACE),
    person(*PLACE, user_since=[2019]),
    person(*PLACE, user_id=None),
    person(*PLACE, user_id=None, user_location="Wolkenkuckucksheim"),
    person(*PLACE[:2]),
    user(OTHER, *LISBON) | {"invited_by": PERSON},
    user("namesake", *LISBON) | {"user_name": NAMES["user_name"][:4]},
    user("short", *LISBON) | {"user_since": "yesterday"},
]
SESSIONS = [
    session(
        "one",
        PERSON,
        "2023-03-10T23:30:00",
        item("TR0000000000000000", 0.1),
        item("TR0000000000000001", "1.00", note="for Wilhelmine Quastenflosser"),
        item("TR0000000000000002", 0.2, note="wilhelmine@example.com"),
    )
    | {"user_agent": AGENT, "email": "wilhelmine@example.com"},
    session("two", PERSON, "2023-03-11T10:00:00", item("TR0000000000000000"))
    | {"user_agent": AGENT},
    session("odd", PERSON, "soon", item("TR0000000000000000")) | {"user_agent": AGENT},
    session("broken", PERSON, "2023-03-11T11:00:00") | {"session_items": AGENT},
    session("gift", OTHER, "2023-03-11T12:00:00", item("TR0000000000000001", 0.3))
    | {"link": f"https://example.com/users/{PERSON}/gifts"},
    session("other", OTHER, "2023-03-12T12:00:00", item("TR0000000000000001", 0.4)),
]
LATER = Records(
    [person(*MOVED), *USERS[1:]],
    [
        session("one", PERSON, "2023-03-10T23:30:00", item("TR0000000000000000", 0.5))
        | {"user_agent": AGENT},
        *SESSIONS[1:],
    ],
)
"""The person has moved, and a session is delivered again."""
THEIRS = {"one", "two"}
SONGS = [song(number) for number in range(3)]


def songs() -> list[pa.Table]:
    """Return the catalogue."""
    return [pa.Table.from_pylist(SONGS, postgres.SONGS_SCHEMA)]


def traces(home: Path, texts: Iterable[str] = OF_THE_PERSON) -> dict[str, set[str]]:
    """Return the texts that are found in files, raw, decoded or in their names."""
    found: dict[str, set[str]] = {}
    for where, content in contents(home):
        for text in texts:
            if text.encode() in content:
                found.setdefault(text, set()).add(where)
    return found


def contents(home: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the bytes of all files, and rows of databases and Parquet as text."""
    for path in sorted(home.rglob("*")):
        where = str(path.relative_to(home))
        if path.is_file():
            yield where, where.encode() + b"\n" + path.read_bytes()
        if path.suffix == ".parquet":
            rows = pq.read_table(path)
            yield where, f"{pq.read_metadata(path)} {rows.to_pylist()}".encode()
            with duckdb.connect() as connection:
                yield where, as_text(connection.from_arrow(rows))
        if path.name.endswith(".gz.metadata.json"):
            yield where, gzip.decompress(path.read_bytes())
        if path.suffix == ".avro":
            with duckdb.connect() as connection:
                connection.load_extension("avro")
                yield where, as_text(connection.sql(f"from read_avro('{path}')"))
        if path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as connection:
                for (name,) in connection.execute(
                    "select schema_name || '.' || table_name from duckdb_tables()"
                ).fetchall():
                    yield f"{where} {name}", as_text(connection.table(name))


def as_text(rows: duckdb.DuckDBPyRelation) -> bytes:
    """Return rows as JSON without escapes."""
    return "\n".join(
        json.dumps(row, default=str, ensure_ascii=False) for row in rows.fetchall()
    ).encode()


FACTS = """
select * exclude (user_key, person_key, has_known_timezone, local_date, local_hour)
from marts.fact_order_items
order by all
"""
REVENUE = "from reports.revenue_per_day_vw order by all"
KEYS = "select user_key, _version_hash from marts.dim_users where user_id = ?"


# Tables that no model makes. The person's name is the greatest of the first.
GUESTS = (
    "create schema lake.own",
    "create table lake.own.guests as select 1 as seat,"
    " 'QUASTENFLOSSER, Wilhelmine; Quastenflosser' as guest"
    " union all select 2, 'Alfred'",
    "create table lake.own.seats as select 1 as seat, 'near the stage' as place",
)


@dataclass(frozen=True)
class Memory:
    """A lakehouse in which a person was forgotten, and what it was before.

    Attributes:
        lakehouse: the lakehouse.
        before: a copy of its home.
        tables: what the lake held before.
        traces: what was found of the person before, and where.
        keys: keys and hashes made of what the person is.
        facts: the purchases before, without what tells of the buyer.
        revenue: the revenue per day before.
        killed: the exit code of a run that was killed.
        refused: a run while a table of the user's own told of the person.
        said: what the command said in the end.

    """

    lakehouse: Lakehouse
    before: Path
    tables: dict[str, list[Any]]
    traces: dict[str, set[str]]
    keys: list[str]
    facts: list[Any]
    revenue: list[Any]
    killed: int
    refused: subprocess.CompletedProcess[str]
    said: str


@pytest.fixture(scope="module")
def memory(lakehouses: Callable[[Path], Lakehouse], rates: Path) -> Memory:
    """Land twice, build, publish, and erase a person; the first attempt is killed."""
    lakehouse = lakehouses(rates)
    lakehouse.land(Records(USERS, SESSIONS), songs(), START, END)
    lakehouse.land(LATER, songs(), START, END)
    lakehouse.build(*WITHOUT_TESTS)
    with lakehouse.lake() as connection:
        facts = connection.sql(FACTS).fetchall()
        revenue = connection.sql(REVENUE).fetchall()
        keys = [
            str(key)
            for row in connection.execute(KEYS, [PERSON]).fetchall()
            for key in row
        ]
        # What lies about: earlier publications, rows that dbt showed, and what a killed
        # run of the loader left.
        lakehouse.database.parent.mkdir()
        for name in (lakehouse.database.name, "previous.duckdb"):
            path = lakehouse.database.with_name(name)
            connection.execute(f"attach '{path}' as published")
            connection.execute(
                "create table published.dim_users as from lake.marts.dim_users"
            )
            connection.execute("detach published")
    (lakehouse.home / "logs").mkdir(exist_ok=True)
    (lakehouse.home / "logs" / "dbt.log.1").write_text(NAMES["user_name"])
    left = lakehouse.home / "landing" / ".incoming" / "killed"
    left.mkdir()
    (left / "work").write_text(PERSON)
    tables = lakehouse.tables(*TABLES)
    before = lakehouse.home.with_name("before")
    shutil.copytree(lakehouse.home, before)
    found = traces(lakehouse.home)
    with lakehouse.writing() as connection:
        for statement in GUESTS:
            connection.execute(statement)
    refused = command(lakehouse, PERSON, "--yes")
    with lakehouse.writing() as connection:
        connection.execute("delete from lake.own.guests where seat = 1")
    killed = forget_and_kill(lakehouse)
    said = command(lakehouse, PERSON, "--yes")
    assert said.returncode == 0, said.stdout + said.stderr
    return Memory(
        *(lakehouse, before, tables, found, keys, facts, revenue),
        *(killed, refused, said.stdout + said.stderr),
    )


def command_line(user_id: str, *options: str) -> list[str]:
    """Return the command line that erases a person."""
    script = str(PROJECT / "scripts" / "forget.py")
    return [sys.executable, script, *options, "--", user_id]


def environment(lakehouse: Lakehouse) -> dict[str, str]:
    """Return an environment in which dbt writes to the lakehouse's home only."""
    return lakehouse.environment(
        {
            "DBT_LOG_PATH": str(lakehouse.home / "logs"),
            "DBT_TARGET_PATH": str(lakehouse.home / "target"),
        }
    )


def command(
    lakehouse: Lakehouse, user_id: str, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run the command without a terminal."""
    return subprocess.run(
        command_line(user_id, *options),
        env=environment(lakehouse),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=900,
        check=False,
    )


def forget_and_kill(lakehouse: Lakehouse) -> int:
    """Kill the command as soon as it has started to erase; return its exit code."""
    process = subprocess.Popen(
        command_line(PERSON, "--yes"),
        env=environment(lakehouse),
        start_new_session=True,
    )
    while not (lakehouse.home / "landing" / ".forgotten.json").exists():
        assert process.poll() is None
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    return process.wait(timeout=60)


def test_nothing_of_the_person_is_left_in_any_file(memory: Memory) -> None:
    # The search finds what it is to find, wherever it is.
    assert {*memory.traces} == {*OF_THE_PERSON}
    places = {
        where.split("/")[0] for found in memory.traces.values() for where in found
    }
    assert places == {"landing", "lake", "serving", "logs"}
    assert "landing/.incoming/killed/work" in memory.traces[PERSON]
    assert memory.killed == -signal.SIGKILL
    assert traces(memory.lakehouse.home) == {}
    assert NAMES["user_lastname"] not in memory.said
    assert PERSON not in memory.said


def test_a_table_of_the_users_own_that_tells_of_the_person_is_named(
    memory: Memory,
) -> None:
    said = memory.refused.stdout + memory.refused.stderr
    assert memory.refused.returncode == 1, said
    assert 'No model builds lake."own"."guests", which has rows about' in said
    assert 'local: lake."own"."seats" stays' in said
    assert "Traceback" not in said
    assert "Nothing was changed" in said
    # What is left of it is right.
    with memory.lakehouse.lake() as connection:
        guests = connection.table("lake.own.guests").order("all").fetchall()
        assert guests == [(2, "Alfred")]
        statistics = connection.execute(
            "select min_value, max_value"
            " from __ducklake_metadata_lake.ducklake_table_column_stats"
            " semi join (from __ducklake_metadata_lake.ducklake_column"
            " where column_name = 'guest') using (table_id, column_id)"
        ).fetchall()
        assert statistics == [("Alfred", "Alfred")]
    # What is to be erased is shown first.
    assert 'local: lake."marts"."dim_users", 2 rows' in memory.said
    assert "records of users and" in memory.said


def test_no_key_or_hash_of_the_person_is_left(memory: Memory) -> None:
    assert len(memory.keys) == 4
    assert {*traces(memory.before, memory.keys)} == {*memory.keys}
    assert traces(memory.lakehouse.home, memory.keys) == {}


def test_nothing_else_is_published_and_no_history_is_left(memory: Memory) -> None:
    lakehouse = memory.lakehouse
    current = lakehouse.database.resolve().parent
    assert [*current.parent.iterdir()] == [current]
    others = {*lakehouse.database.parent.iterdir()} - {current.parent}
    assert all(path.is_symlink() for path in others)
    assert len(commits(lakehouse)) == 1


def test_the_books_stay_as_they_were(memory: Memory) -> None:
    tables = memory.lakehouse.tables(*TABLES)
    changed = differences(tables, memory.tables)
    assert {*changed} == {
        *("marts.dim_users", "marts.fact_order_items"),
        *("quality.batch_reconciliation", "quality.rejected_records"),
        *("marts.fact_orders", "marts.fact_sessions", "marts.dim_buyers"),
        *("reports.sales_per_country_mv", "reports.sales_per_weekday_and_hour_mv"),
        "reports.top_songs_per_country_mv",
    }
    with memory.lakehouse.lake() as connection:
        assert connection.sql(FACTS).fetchall() == memory.facts
        assert connection.sql(REVENUE).fetchall() == memory.revenue
    assert len(memory.revenue) == 3
    assert len(tables["snapshots.revenue_per_day_reported"]) == 3


def test_the_person_is_one_buyer_without_a_place(memory: Memory) -> None:
    sold = memory.lakehouse.published(
        "select session_id, user_id, is_inferred, country_name, local_hour"
        " from marts.fact_order_items inner join marts.dim_users using (user_key)"
        " order by all"
    )
    names = {user_id for session_id, user_id, *_ in sold if session_id in THEIRS}
    assert len(names) == 1
    assert names.pop().startswith("forgotten-")
    assert [row[0:1] + row[2:] for row in sold if row[0] in THEIRS] == [
        ("one", True, "Unknown", 23),
        ("two", True, "Unknown", 10),
    ]
    # Without the user agent, nothing is known of the device.
    devices = memory.lakehouse.published(
        "select session_id, browser from marts.fact_sessions"
    )
    assert {browser for name, browser in devices if name in THEIRS} == {"Unknown"}
    assert {browser for name, browser in devices if name not in THEIRS} == {"Opera"}
    others = {row[:2] for row in sold if row[0] not in THEIRS}
    assert others == {("gift", OTHER), ("other", OTHER)}


def test_records_of_others_stay_and_only_forget_whom_they_name(memory: Memory) -> None:
    rows = landed(memory.lakehouse.home, "users")
    assert Counter(row["user_id"] for row in rows) == {
        OTHER: 2,
        "namesake": 2,
        "short": 2,
    }
    assert all(row["_rescued"] is None for row in rows)
    sessions = landed(memory.lakehouse.home, "sessions")
    assert "broken" not in {row["session_id"] for row in sessions}
    (gift, *_) = (row for row in sessions if row["session_id"] == "gift")
    assert gift["user_id"] == OTHER
    assert gift["user_agent"] is not None
    assert gift["_rescued"] is None


# In the landing zone alone, where every moment can be tried.


@pytest.fixture
def raw(memory: Memory, tmp_path: Path) -> Lakehouse:
    """Return a home with only the landing zone from before the erasure."""
    home = tmp_path / "home"
    shutil.copytree(memory.before / "landing", home / "landing")
    return replace(memory.lakehouse, home=home)


def forget_landed(lakehouse: Lakehouse, user_id: str) -> ErasureCounts:
    """Erase a person from a landing zone, without a lake."""
    scratch = lakehouse.home / "dbt"
    settings = Settings(
        lakehouse.home, None, None, None, dbt_logs=scratch, dbt_target=scratch
    )
    return forget(settings, user_id)


def landed(home: Path, entity: str) -> list[dict[str, Any]]:
    """Return the landed rows of an entity, by batch and position."""
    rows = [
        row
        for file in LandingZone(home / "landing").files(entity)
        for row in pq.ParquetFile(file).read().to_pylist()
    ]
    return sorted(rows, key=lambda row: (row["_batch_id"], row["_position"]))


def test_an_interrupted_run_is_finished_by_the_next(
    raw: Lakehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = tmp_path / "untouched"
    shutil.copytree(raw.home, untouched)
    rewrite = LandingZone.rewrite
    left = 0

    def interrupted(*arguments: Any) -> None:  # noqa: ANN401 - those of rewrite
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        rewrite(*arguments)

    whole = []
    for moment in count():
        shutil.rmtree(raw.home)
        shutil.copytree(untouched, raw.home)
        left = moment
        monkeypatch.setattr(LandingZone, "rewrite", interrupted)
        try:
            forget_landed(raw, PERSON)
        except KeyboardInterrupt:
            monkeypatch.setattr(LandingZone, "rewrite", rewrite)
            forget_landed(raw, PERSON)
        assert traces(raw.home) == {}
        whole.append(
            [
                # The key is another each time, and so are the pseudonyms.
                row | {"user_id": re.sub(f"(?<={PSEUDONYM}).*", "", row["user_id"])}
                for entity in ("users", "sessions")
                for row in landed(raw.home, entity)
            ]
        )
        if left:
            break
    assert moment > 4
    assert all(rows == whole[-1] for rows in whole)


def test_what_is_delivered_again_does_not_bring_the_person_back(
    memory: Memory, raw: Lakehouse
) -> None:
    forget_landed(raw, PERSON)
    held = {row["session_id"]: row["user_id"] for row in landed(raw.home, "sessions")}
    again = raw.land(LATER, songs(), START, END)
    assert not any(window.changed for each in again.landed.values() for window in each)

    new = session("new", PERSON, "2023-03-12T01:00:00", item("TR0000000000000000"))
    more = raw.land(
        Records([*USERS, user("new", *LISBON)], [*SESSIONS, new]), songs(), START, END
    )
    assert "of forgotten people left out" in str(more)
    texts = {*OF_THE_PERSON} - {*NAMES.values(), *PLACE[:3], *OF_THE_PERSON[-2:]}
    assert traces(raw.home, texts) == {}
    rows = landed(raw.home, "sessions")
    assert {
        row["user_id"] for row in rows if row["session_id"] in {*THEIRS, "new"}
    } == {held["one"]}


def test_several_people_are_forgotten_each_under_a_name_of_their_own(
    raw: Lakehouse,
) -> None:
    forget_landed(raw, PERSON)
    forget_landed(raw, OTHER)
    names = {row["session_id"]: row["user_id"] for row in landed(raw.home, "sessions")}
    assert names["one"] == names["two"]
    assert names["gift"] == names["other"]
    assert names["one"] != names["gift"]
    assert {row["user_id"] for row in landed(raw.home, "users")} == {
        "namesake",
        "short",
    }


@pytest.mark.parametrize("user_id", ["nobody", "", "TR000000", "one"])
def test_an_unknown_id_changes_nothing(raw: Lakehouse, user_id: str) -> None:
    before = {where: content for where, content in contents(raw.home / "landing")}
    done = command(raw, user_id)
    assert done.returncode == 2
    assert "Nothing in" in done.stderr
    assert dict(contents(raw.home / "landing")) == before


def test_nothing_is_erased_before_somebody_says_yes(raw: Lakehouse) -> None:
    before = dict(contents(raw.home / "landing"))
    shown = command(raw, PERSON, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"\d records of users and \d+ records of sessions", shown.stdout)
    refused = command(raw, PERSON)
    assert refused.returncode == 2
    assert "YES=1" in refused.stderr
    assert refused.stdout == shown.stdout
    assert dict(contents(raw.home / "landing")) == before


# However it is written

WRITTEN = [
    PERSON,
    PERSON.upper(),
    f"{{{PERSON}}}",
    f"urn:uuid:{PERSON}",
    f" {PERSON}\n",
    PERSON.replace("-", ""),
]


@pytest.mark.parametrize("user_id", WRITTEN)
def test_an_id_is_the_same_however_it_is_written(user_id: str) -> None:
    assert canonical(user_id) == PERSON
    with duckdb.connect() as connection:
        texts = connection.values([user_id]).select("col0 as text")
        assert texts.select(canonical_sql("text")).fetchall() == [(PERSON,)]
    assert canonical("TR0000000000000000") == "TR0000000000000000"


def test_what_is_forgotten_is_found_in_what_others_have_typed(
    raw: Lakehouse,
) -> None:
    records = Records(
        [
            *USERS,
            *(user(written, *LISBON) | NAMES for written in WRITTEN),
            user("friend", *LISBON) | {"user_name": f"of {PERSON.upper()}!"},
            user("place", *LISBON[:2], f"with {PERSON}", *LISBON[3:]),
            # Records without an id tell a part of the name.
            user("", *LISBON) | NAMES | {"user_lastname": None},
            user("", *LISBON) | {name: text.upper() for name, text in NAMES.items()},
            user("", *LISBON) | {"user_lastname": " quastenflosser ", "user_name": ""},
            user("", *LISBON) | {"user_name": "Wilhelmine", "user_lastname": "Other"},
        ],
        [
            *SESSIONS,
            *(
                session(f"written {number}", written, "2023-03-11T10:00:00")
                for number, written in enumerate(WRITTEN)
            ),
            session(
                f"{PERSON}-1", PERSON, "2023-03-11T10:00:00", item("TR0000000000000000")
            ),
            session(
                "typed",
                OTHER,
                "2023-03-11T10:00:00",
                item("TR0000000000000000") | {"song_name": f"For {PERSON}"},
            )
            | {"user_agent": f"Browser/1.0 ({PERSON.upper()})"},
        ],
    )
    raw.land(records, songs(), START, END)
    forget_landed(raw, PERSON.upper())
    # Names of others' records stay theirs.
    kept = {*NAMES.values()} - {NAMES["user_lastname"]}
    told = {*OF_THE_PERSON, *WRITTEN, PERSON.replace("-", "").upper()} - kept
    assert traces(raw.home, told) == {}
    rows = landed(raw.home, "sessions")
    theirs = {
        row["user_id"]
        for row in rows
        if row["session_id"].startswith(("written", "one", "forgotten-"))
    }
    assert len(theirs) == 1
    assert sum(row["session_id"].startswith("forgotten-") for row in rows) == 1
    (typed,) = (row for row in rows if row["session_id"] == "typed")
    assert typed["user_id"] == OTHER
    assert typed["session_items"][0]["song_name"] == f"For {theirs.copy().pop()}"
    people = landed(raw.home, "users")
    assert {row["user_id"] for row in people} >= {"friend", "place"}
    assert [row["user_lastname"] for row in people if not row["user_id"]] == ["Other"]


# Every lake


def test_every_lake_that_the_settings_name_is_gone_through(
    settings: Callable[..., Settings], home: Path, postgres_dsn: str
) -> None:
    def lakes(**given: str) -> list[str]:
        return deftunes.privacy.forget._targets_with_lake(settings(**given))

    assert lakes() == []
    (home / "lake").mkdir(parents=True)
    (home / "lake" / "catalog.sqlite").touch()
    assert lakes() == ["local"]
    assert lakes(catalogue_dsn=postgres_dsn) == ["local"]
    # A lake in Postgres that nobody can look at.
    (home / "lake_pg").mkdir()
    with pytest.raises(IncompleteError, match="set DBT_ENV_SECRET_CATALOG_DSN"):
        lakes()
    closed = "postgresql://reader:sesame@127.0.0.1:9/lake"
    with pytest.raises(IncompleteError, match="DBT_ENV_SECRET_CATALOG_DSN") as error:
        lakes(catalogue_dsn=closed)
    assert "sesame" not in str(error.value)
    with postgres.running() as dsn:
        with postgres.connected(dsn) as connection:
            connection.execute("create table sources.ducklake_metadata (key text)")
            connection.execute("create table sources.ducklake_names (name text)")
            connection.execute(
                "insert into sources.ducklake_names select 'Wilhelmine'"
                " from range(1000) union all select 'Alfred'"
            )
            folder = Path(setting(connection, "data_directory"))
            execute(connection, "analyze ducklake_names")
            connection.execute(
                "delete from sources.ducklake_names where name = 'Wilhelmine'"
            )
            execute(connection, "checkpoint")
        named = lakes(catalogue_dsn=dsn, target="lake_pg")
        assert named == ["local", "lake_pg"]
        assert lakes(catalogue_dsn=dsn) == ["lake_pg", "local"]
        # One that these variables do not lead to.
        bucket: dict[str, Any] = {
            "catalogue_dsn": dsn,
            "store": ObjectStore("bucket", "lakehouse"),
        }
        with pytest.raises(IncompleteError, match="target lake_pg has a lake, too"):
            lakes(**bucket)
        (home / "lake_pg").rename(home / "lake_s3")
        with pytest.raises(IncompleteError, match="target lake_s3 has a lake, too"):
            lakes(catalogue_dsn=dsn)
        assert lakes(**bucket) == ["lake_s3", "local"]
        # Spark's, with its catalogue here and elsewhere.
        with pytest.raises(IncompleteError, match="unset DBT_ENV_SECRET_ICEBERG_URI"):
            lakes(**bucket, iceberg_uri="jdbc:postgresql://127.0.0.1/iceberg")
        with pytest.raises(IncompleteError, match="DEFTUNES_SPARK_DATA"):
            lakes(**bucket, spark_data="s3://bucket/iceberg")
        for trace in ("data", "elsewhere"):
            (home / "lake_spark" / trace).mkdir(parents=True)
            with pytest.raises(IncompleteError, match=r"catalogue is not .*lake_spark"):
                lakes(**bucket)
            (home / "lake_spark" / trace).rmdir()
        (home / "lake_spark" / "serving").mkdir()
        for lake in ("lake_spark", "lake_spark/serving"):
            (home / lake / "catalog.sqlite").touch()
        every = ["spark", "local", "spark_serving", "lake_s3"]
        assert lakes(**bucket, target="spark") == every
        shutil.rmtree(home / "lake_spark")
        assert traces(folder / "base", ["Wilhelmine"])
        deftunes.privacy.forget._vacuum_postgres(dsn)
        with postgres.connected(dsn) as connection:
            execute(connection, "checkpoint")
        assert traces(folder / "base", ["Wilhelmine"]) == {}


def execute(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Execute a statement in Postgres."""
    connection.execute(
        "call postgres_execute('sources', ?, use_transaction => false)", [statement]
    )


def setting(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return a setting of Postgres."""
    rows = connection.execute(
        "from postgres_query('sources', ?)", [f"select current_setting('{name}')"]
    ).fetchall()
    return str(rows[0][0])


@pytest.mark.usefixtures("long_mode")
def test_the_lakes_of_both_targets_are_erased(memory: Memory, tmp_path: Path) -> None:
    lakehouse = replace(memory.lakehouse, home=tmp_path / "home")
    shutil.copytree(memory.before / "landing", lakehouse.home / "landing")
    with postgres.running() as dsn:
        both = {"DBT_ENV_SECRET_CATALOG_DSN": dsn}
        lakehouse.build(*WITHOUT_TESTS, "--target", "lake_pg", environment=both)
        lakehouse.build(*WITHOUT_TESTS)
        with postgres.connected(dsn) as connection:
            folder = Path(setting(connection, "data_directory"))
            execute(connection, "checkpoint")
        assert {"lake", "lake_pg"} <= {
            where.split("/")[0] for where in traces(lakehouse.home)[NAMES["user_name"]]
        }
        assert traces(folder / "base", [NAMES["user_name"]])
        # Nobody knows whether the other lake tells of the person.
        done = command(lakehouse, PERSON, "--yes")
        assert done.returncode == 1
        assert "set DBT_ENV_SECRET_CATALOG_DSN" in done.stderr
        done = subprocess.run(
            command_line(PERSON, "--yes"),
            env=environment(lakehouse) | both,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert traces(lakehouse.home) == {}
        with postgres.connected(dsn) as connection:
            execute(connection, "checkpoint")
        assert traces(folder / "base", OF_THE_PERSON) == {}
        catalogue = f"postgres:{dsn}"
        # The snapshot says when each lake reported what, which differs.
        schemas = {*TABLES} - {"snapshots"}
        assert lakehouse.tables(*schemas, catalogue=catalogue) == lakehouse.tables(
            *schemas
        )


BUYERS = "select user_id from marts.dim_users"

# Tables and views of Iceberg that no model makes; the second table is dropped.
OF_SPARK = (
    "create schema own",
    "create table own.guests using iceberg as select 1 as seat,"
    " 'QUASTENFLOSSER, Wilhelmine; Quastenflosser' as guest"
    " union all select 2, 'Alfred'",
    "create table own.alone using iceberg"
    " as select 'Wilhelmine Quastenflosser' as guest",
    "alter table own.alone create tag invited",
    "create table own.gone using iceberg as select 'Wilhelmine' as guest",
    "drop table own.gone",
    "create view own.whose as select 'Wilhelmine Quastenflosser' as guest",
)
OF_SPARK_WITHOUT_THE_PERSON = (
    "delete from own.guests where seat = 1",
    "delete from own.alone",
    "drop view own.whose",
)
# Iceberg keeps the first 16 characters of the least and the greatest value of a file.
BOUNDS = {text[:15] for text in OF_THE_PERSON}


@pytest.mark.usefixtures("long_mode")
@pytest.mark.skipif(
    not spark_lake.DBT.exists(), reason="target spark needs `make spark` once"
)
def test_the_lake_of_spark_is_erased(
    lakehouses: Callable[[Path], Lakehouse], rates: Path
) -> None:
    lakehouse = lakehouses(rates)
    home, data = lakehouse.home, lakehouse.home / "lake_spark" / "data"
    lakehouse.land(Records(USERS, SESSIONS), songs(), START, END)
    spark(lakehouse, ("build", *WITHOUT_TESTS))
    lakehouse.land(LATER, songs(), START, END)
    spark(lakehouse, ("build",), *map(statement, OF_SPARK))
    lakehouse.build("--target", "spark_serving")
    revenue = lakehouse.published(REVENUE)
    assert sum(row[0] == PERSON for row in lakehouse.published(BUYERS)) == 2
    # What killed builds left.
    for folder in ("session", "data/marts/dim_songs/data", "data/own/gone/data"):
        (home / "lake_spark" / folder).mkdir(exist_ok=True)
        (home / "lake_spark" / folder / "killed").write_text(PERSON)
    (users,) = (
        each.metadata
        for each in spark_lake.SparkLake(home).relations()
        if each.name == "marts.dim_users"
    )
    with duckdb.connect() as connection:
        for extension in ("avro", "iceberg"):
            connection.load_extension(extension)
        versions = connection.execute(
            "select user_key, _version_hash from iceberg_scan(?) where user_id = ?",
            [str(users), PERSON],
        ).fetchall()
    keys = [key for row in versions for key in row]
    found = traces(home, {*OF_THE_PERSON, *BOUNDS, *keys})
    assert {*found} == {*OF_THE_PERSON, *BOUNDS, *keys}
    places = "\n".join(where for files in found.values() for where in files)
    for place in (
        *("own/gone/", ".avro", ".parquet", ".metadata.json", "/killed"),
        *("lake_spark/serving/", "serving/publications/"),
    ):
        assert place in places

    refused = command(lakehouse, PERSON, "--yes")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "no model builds own.alone, own.guests, own.whose" in refused.stderr
    assert "spark: marts.dim_users, 2 rows" in refused.stdout
    spark(lakehouse, *map(statement, OF_SPARK_WITHOUT_THE_PERSON))
    done = command(lakehouse, PERSON, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert traces(home, {*OF_THE_PERSON, *BOUNDS, *keys}) == {}
    assert sorted(path.name for path in (data / "own").iterdir()) == ["alone", "guests"]
    assert lakehouse.published(REVENUE) == revenue
    assert all(row[0] != PERSON for row in lakehouse.published(BUYERS))
    # Neither engine finds anything to do.
    spark(lakehouse, ("build", *WITHOUT_TESTS))
    assert "Nothing new to publish" in lakehouse.build("--target", "spark_serving")


def statement(sql: str) -> tuple[str, ...]:
    """Return the arguments with which dbt runs a statement."""
    return ("run-operation", "run_query", "--args", json.dumps({"sql": sql}))


def spark(lakehouse: Lakehouse, *commands: tuple[str, ...]) -> None:
    """Run commands of dbt with target spark, in one process."""
    script = (
        "import json, sys; from dbt.cli.main import dbtRunner\n"
        "for each in json.loads(sys.argv[1]):\n"
        "    dbtRunner().invoke(['--quiet', *each]).success or sys.exit(1)\n"
    )
    (lakehouse.home / "lake_spark").mkdir(exist_ok=True)
    done = subprocess.run(
        [spark_lake.DBT.with_name("python"), "-c", script, json.dumps(commands)],
        cwd=PROJECT,
        env=environment(lakehouse) | {"DBT_TARGET": "spark", "PWD": str(PROJECT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("given", [(), ("USER=",)])
def test_the_login_name_of_the_shell_is_nobody_to_forget(
    raw: Lakehouse, given: tuple[str, ...]
) -> None:
    done = subprocess.run(
        ["make", "forget", *given],  # noqa: S607 - whichever make there is
        cwd=PROJECT,
        env=environment(raw) | {"USER": PERSON},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "make forget USER=" in done.stderr
    assert traces(raw.home)


def test_whoever_reads_the_old_catalogue_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deftunes.privacy.forget, "CATALOGUE_WAIT_SECONDS", 0.1)
    catalogue = tmp_path / "catalog.sqlite"
    with closing(sqlite3.connect(catalogue, isolation_level=None)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("create table names as select 'Wilhelmine' as name")
        with closing(sqlite3.connect(catalogue, isolation_level=None)) as reader:
            reader.execute("begin")
            reader.execute("select * from names").fetchall()
            writer.execute("delete from names")
            with pytest.raises(IncompleteError, match="run the same command again"):
                deftunes.privacy.forget._vacuum_sqlite(catalogue)
        deftunes.privacy.forget._vacuum_sqlite(catalogue)
        assert traces(tmp_path) == {}


# Encryption


def test_an_encrypted_lake_is_closed_to_those_without_its_catalogue(
    memory: Memory, tmp_path: Path, is_long: bool
) -> None:
    lakehouse = replace(memory.lakehouse, home=tmp_path / "home")
    shutil.copytree(memory.before / "landing", lakehouse.home / "landing")
    # What a lake was made with holds from then on.
    for variable in ("1", "") if is_long else ("1",):
        done = lakehouse.dbt(
            *("seed", "--full-refresh"),
            environment={"DEFTUNES_LAKE_ENCRYPTED": variable},
        )
        assert done.returncode == 0, done.stdout
    if is_long:
        lakehouse.build()
        assert len(lakehouse.published("from marts.dim_users where is_inferred")) == 1
    files = [*(lakehouse.home / "lake").rglob("*.parquet")]
    assert len(files) > 1
    for file in files:
        with pytest.raises(duckdb.InvalidInputException, match="is encrypted"):
            duckdb.read_parquet(str(file))
        assert b"Portugal" not in file.read_bytes()
    (countries,) = (
        rows for name, rows in lakehouse.tables("seeds").items() if "countries" in name
    )
    assert ("PT", "Portugal") in {row[:2] for row in countries}
