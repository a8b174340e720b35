"""Landing from a real service and a real database: the rules of the landing zone."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from deftunes.landing.api import SESSIONS
from deftunes.landing.download import RetryPolicy
from deftunes.landing.json_parsing import to_table
from deftunes.landing.loader import ENTITIES, LandingPlan, engine, run
from deftunes.landing.zone import LandingZone
from deftunes.lock import LockedError, home_lock
from deftunes.settings import PROJECT, Settings, SettingsError
from demo_sources import service
from demo_sources.postgres import load_songs
from demo_sources.service import Fault, Records

Landed = Callable[[str], list[dict[str, Any]]]
MakeSettings = Callable[..., Settings]

RETRY_POLICY = RetryPolicy(attempts=3, wait=0.01, longest_wait=0.1, read_timeout=1.0)
START = date(2024, 1, 5)


def session(name: str, start: str, **fields: object) -> dict[str, Any]:
    """Return a session of one song."""
    item = {"song_id": f"TR{name}", "price": 0.5, "currency": "USD"}
    return {
        "session_id": name,
        "user_id": "u",
        "session_start_time": start,
        "session_items": [item],
    } | fields


def user(name: str, place: str = "Niort") -> dict[str, Any]:
    """Return a user."""
    return {
        "user_id": name,
        "user_name": "Zoë",
        "user_lastname": "Carey",
        "user_location": ["46.3", "-0.4", place, "FR", "Europe/Paris"],
        "user_since": "2020-12-22T14:15:35.936090",
    }


def plan(*entities: str, days: int = 1, max_shrink: float = 0.1) -> LandingPlan:
    """Return a plan for some days from START."""
    end = START + timedelta(days=days)
    return LandingPlan(entities, START, end, max_shrink=max_shrink, wait=0)


def sessions_plan(days: int = 1) -> LandingPlan:
    """Return a plan for the sessions of some days from START."""
    return plan("sessions", days=days)


def batches(home: Path, entity: str = "*") -> list[Path]:
    """Return the visible batches, oldest first."""
    return sorted(
        (home / "landing").glob(f"{entity}/_batch_id=*"), key=lambda path: path.name
    )


def command(
    home: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the loader from the command line."""
    return subprocess.run(
        command_line(arguments),
        env=command_environment(home, environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def command_line(arguments: Sequence[str]) -> list[str]:
    """Return the loader's command line."""
    return [sys.executable, str(PROJECT / "scripts" / "land.py"), *arguments]


def command_environment(home: Path, more: dict[str, str]) -> dict[str, str]:
    """Return an environment with these settings only."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DEFTUNES_")
    }
    named = {f"DEFTUNES_{name.upper()}": value for name, value in more.items()}
    return {**inherited, "DEFTUNES_HOME": str(home), **named}


# The layout


def test_everything_lands_in_the_promised_layout(
    home: Path, settings: MakeSettings, songs_dsn: str
) -> None:
    source = Records(users=[user("u")], sessions=[session("s", "2024-01-05T10:00:00")])
    with service.running(source) as api:
        summary = run(
            settings(api_url=api.url, postgres_dsn=songs_dsn), plan(*ENTITIES)
        )
    assert not summary.failed
    content = {
        "users": "user_id user_name user_lastname user_location user_since "
        "_position _rescued _payload",
        "sessions": "session_id user_id user_agent session_start_time session_items "
        "_position _rescued _payload",
        "songs": "track_id title song_id release artist_id artist_mbid artist_name "
        "duration artist_familiarity artist_hotttnesss year track_7digitalid "
        "shs_perf shs_work _rescued _payload",
        "exchange_rates": "rate_date currency rate",
    }
    sources = {
        "users": "api:/users",
        "sessions": "api:/sessions?start_date=2024-01-05&end_date=2024-01-06",
        "songs": "postgres:deftunes.songs",
        "exchange_rates": "ecb:eurofxref-hist.zip",
    }
    for entity, columns in content.items():
        (folder,) = batches(home, entity)
        (file,) = folder.iterdir()
        name = folder.name.removeprefix("_batch_id=")
        moment, window, digest = name.split("_")
        assert file.name == f"{entity}.parquet"
        assert window == ("2024-01-05" if entity == "sessions" else "all")
        assert len(digest) == 16
        assert int(digest, 16) > 0
        table = pq.read_table(file, partitioning=None)
        assert table.column_names == [
            *columns.split(),
            *("_ingested_at", "_source", "_batch_id"),
        ]
        assert table.schema.field("_ingested_at").type == pa.timestamp("us", "UTC")
        assert set(table["_batch_id"].to_pylist()) == {name}
        assert set(table["_source"].to_pylist()) == {sources[entity]}
        ingested_at = datetime.strptime(moment, "%Y%m%dT%H%M%S%fZ")
        assert set(table["_ingested_at"].to_pylist()) == {
            ingested_at.replace(tzinfo=timezone.utc)
        }
        codec = pq.ParquetFile(file).metadata.row_group(0).column(0).compression
        assert codec == "ZSTD"
        if entity == "sessions":
            types = to_table([], SESSIONS).schema
            assert [table.schema.field(field.name).type for field in types] == [
                # Parquet names the elements of a list in its own way.
                table.schema.field("session_items").type
                if pa.types.is_list(field.type)
                else field.type
                for field in types
            ]
            item = table.schema.field("session_items").type.value_type
            assert list(item) == list(types.field("session_items").type.value_type)
        if entity == "exchange_rates":
            assert table.schema.field("rate").type == pa.decimal128(18, 8)
            assert table.schema.field("rate_date").type == pa.date32()
    assert not list((home / "landing" / ".incoming").iterdir())


def test_the_same_content_in_any_order_lands_once(
    home: Path, settings: MakeSettings, songs_dsn: str
) -> None:
    users = [user("1"), user("2"), user("2")]
    with service.running(Records(users)) as api:
        made = settings(api_url=api.url, postgres_dsn=songs_dsn)
        run(made, plan(*ENTITIES))
        first = batches(home)
        users.reverse()
        summary = run(made, plan(*ENTITIES))
        assert batches(home) == first
        assert not any(
            window.changed for windows in summary.landed.values() for window in windows
        )
        users.pop()
        run(made, plan("users", max_shrink=1))
        assert len(batches(home, "users")) == 2


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"session_items": None}, {"session_items": []}),
        ({"session_items": []}, {"session_items": [None]}),
        ({"session_items": [{"song_id": "1"}]}, {"session_items": [{"price": 1}]}),
        ({"user_agent": None}, {"user_agent": ""}),
        ({"user_agent": "1"}, {"user_agent": 1}),
        ({"user_agent": 1}, {"user_agent": 2}),
        ({"new": 1}, {"new": 2}),
    ],
)
def test_any_difference_is_a_new_batch(
    home: Path, settings: MakeSettings, before: dict[str, Any], after: dict[str, Any]
) -> None:
    sessions = [session("s", "2024-01-05T10:00:00") | before]
    with service.running(Records(sessions=sessions)) as api:
        run(settings(api_url=api.url), sessions_plan())
        sessions[0] |= after
        run(settings(api_url=api.url), sessions_plan())
    assert len(batches(home)) == 2


def test_a_return_to_earlier_content_is_a_new_batch(
    home: Path, settings: MakeSettings
) -> None:
    users = [user("u")]
    with service.running(Records(users)) as api:
        for place in ("Niort", "Paris", "Niort"):
            users[0] = user("u", place)
            run(settings(api_url=api.url), plan("users"))
    digests = [path.name[-16:] for path in batches(home)]
    assert digests[0] == digests[2] != digests[1]


def test_an_empty_day_is_a_batch_without_rows(
    home: Path, settings: MakeSettings
) -> None:
    sessions = [session("s", "2024-01-06T10:00:00")]
    with service.running(Records(sessions=sessions)) as api:
        run(settings(api_url=api.url), sessions_plan(days=2))
    empty, full = (
        pq.read_table(batch / "sessions.parquet", partitioning=None)
        for batch in batches(home)
    )
    assert (empty.num_rows, full.num_rows) == (0, 1)
    assert empty.schema == full.schema


def test_times_of_batches_grow_when_the_clock_goes_back(tmp_path: Path) -> None:
    future = (
        tmp_path / "users" / "_batch_id=29990101T000000000000Z_all_0123456789abcdef"
    )
    future.mkdir(parents=True)
    zone = LandingZone(tmp_path)
    first, second = zone.next_time(), zone.next_time()
    assert first == datetime(2999, 1, 1, microsecond=1, tzinfo=timezone.utc)
    assert second == first + timedelta(microseconds=1)
    # Nor do they go back when such a batch is gone.
    with duckdb.connect() as connection:
        rows = connection.sql("select 'u' as user_id")
        zone.land(
            "users", "all", rows, is_malformed="false", source="", ingested_at=second
        )
    zone.manifest.reconcile()
    shutil.rmtree(tmp_path / "users")
    zone = LandingZone(tmp_path)
    zone.sweep()
    assert zone.next_time() > second


def test_a_batch_appears_by_a_rename_or_not_at_all(
    home: Path, settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with service.running(Records([user("u")])) as api:
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", full)
            assert run(settings(api_url=api.url), plan("users")).failed == ["users"]
        assert not batches(home)
        assert not run(settings(api_url=api.url), plan("users")).failed
    assert len(batches(home)) == 1


def test_what_exceeds_the_memory_goes_to_a_folder_that_goes(tmp_path: Path) -> None:
    zone = LandingZone(tmp_path)
    with engine(zone, windows=1000) as database, database.cursor() as connection:
        assert connection.sql("select current_setting('threads')").fetchall() == [(1,)]
        connection.execute("set memory_limit = '64MB'")
        # Digests do not compress: 160 MB.
        digests = "select sha256(i::varchar) from range(2500000) as numbers (i)"
        connection.execute(f"create temp table much as {digests}")
        assert list(zone.incoming.rglob("duckdb_temp*"))
        assert connection.table("much").count("*").fetchall() == [(2_500_000,)]
    assert not list(zone.incoming.iterdir())


# Windows


class ByLocalDate(Records):
    """A source that uses the date as written in a session, ignoring its time zone."""

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions whose start begins with a date in [start, end)."""
        for record in self._sessions:
            if str(start) <= record["session_start_time"][:10] < str(end):
                yield record


def windows_of(rows: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the ids of landed sessions by the window that delivered them."""
    windows: dict[str, set[str]] = {}
    for row in rows:
        name = row["session_id"] or json.loads(row["_payload"])["session_id"]
        windows.setdefault(row["_batch_id"].split("_")[1], set()).add(name)
    return windows


@pytest.mark.parametrize("end_inclusive", [False, True])
def test_each_session_lands_in_every_window_that_delivers_it(
    settings: MakeSettings, landed: Landed, end_inclusive: bool
) -> None:
    fifth = {
        "first": "2024-01-05T00:00:00.000000",
        "last": "2024-01-05T23:59:59.999999",
        "zoned": "2024-01-06T01:00:00+02:00",
    }
    sixth = {"midnight": "2024-01-06T00:00:00.000000", "later": "2024-01-06T12:00:00Z"}
    sessions = [session(name, start) for name, start in (fifth | sixth).items()]
    sessions.append(session("odd", "2024-01-06T12:00:00", user_agent=1))
    with service.running(
        Records(sessions=sessions), end_inclusive=end_inclusive
    ) as api:
        run(settings(api_url=api.url), sessions_plan(days=2))
    on_sixth = {*sixth, "odd"}
    assert windows_of(landed("sessions")) == {
        "2024-01-05": {*fifth} | (on_sixth if end_inclusive else set()),
        "2024-01-06": on_sixth,
    }


def test_a_session_that_one_window_alone_delivers_lands_whenever_it_starts(
    settings: MakeSettings, landed: Landed
) -> None:
    starts = [
        *("2024-01-05T10:00:00.5Z", "2024-01-05T22:30:00-05:00"),
        *("2024-01-05T24:00:00", "2024-01-05T23:59:60", "2024-01-05 23:30-01"),
    ]
    source = ByLocalDate(sessions=[session(start, start) for start in starts])
    with service.running(source) as api:
        run(settings(api_url=api.url), sessions_plan(days=2))
    assert windows_of(landed("sessions")) == {"2024-01-05": {*starts}}


def test_sessions_without_a_usable_time_stay_with_the_window_that_brought_them(
    settings: MakeSettings, landed: Landed
) -> None:
    sessions = [
        session("null", "", session_start_time=None),
        session("word", "yesterday"),
        session("number", "", session_start_time=5),
    ]
    with service.running(Records(sessions=sessions)) as api:
        run(settings(api_url=api.url), sessions_plan())
    assert [row["_position"] for row in landed("sessions")] == [0, 1, 2]


def test_odd_records_land_and_are_counted(
    settings: MakeSettings, landed: Landed
) -> None:
    sessions: list[Any] = [
        b'{"session_id": "nan", "session_items": [{"price": NaN}, {"price": 1}]}',
        session("fine", "2024-01-05T10:00:00"),
        session("wrong", "2024-01-05T10:00:00", user_id=5),
        session("new", "2024-01-05T10:00:00", coupon="x"),
        b"7",
    ]
    with service.running(Records(sessions=sessions)) as api:
        summary = run(settings(api_url=api.url), sessions_plan())
    (window,) = summary.landed["sessions"]
    assert (window.records, window.malformed) == (5, 3)
    rows = landed("sessions")
    nan, one = rows[0]["session_items"]
    assert (nan["price"], nan["_payload"]) == (None, '{"price": NaN}')
    assert (one["price"], one["_payload"]) == (1.0, None)
    assert [row["session_id"] for row in rows] == ["nan", "fine", None, "new", None]
    assert rows[3]["_rescued"] == '{"coupon": "x"}'
    assert rows[4]["_payload"] == "7"


# The last delivery counts


@dataclass
class ByWindow:
    """A source with given sessions for each window, by its first day."""

    delivered: dict[int, list[dict[str, Any]]]

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield nothing."""
        yield from ()

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions that are given for the first day."""
        assert start is not None
        yield from self.delivered.get(start.day, [])


def priced(name: str, price: float) -> dict[str, Any]:
    """Return a session with one item of this price."""
    item = {"song_id": "TR1", "price": price, "currency": "USD"}
    return session(name, "2024-01-05T10:00:00", session_items=[item])


def days(first: int, last: int) -> LandingPlan:
    """Return a plan for days of January, with one worker."""
    start, end = date(2024, 1, first), date(2024, 1, last + 1)
    return LandingPlan(("sessions",), start, end, workers=1, wait=0)


def last_prices(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return the price in the last delivery of each session."""
    return {row["session_id"]: row["session_items"][0]["price"] for row in rows}


def test_the_last_delivery_of_a_session_counts_whichever_day_brings_it(
    home: Path, settings: MakeSettings, landed: Landed
) -> None:
    source = ByWindow({5: [priced("a", 1), priced("b", 1)], 6: [priced("c", 1)]})
    with service.running(source) as api:
        made = settings(api_url=api.url)
        run(made, days(5, 7))
        source.delivered[7] = [priced("a", 2)]
        run(made, days(7, 7))
        assert last_prices(landed("sessions")) == {"a": 2, "b": 1, "c": 1}

        again = run(made, days(5, 6)).landed["sessions"]
        assert [window.changed for window in again] == [True, False]
        assert last_prices(landed("sessions")) == {"a": 1, "b": 1, "c": 1}
        held = batches(home)
        for window in (days(5, 6), days(5, 5)):
            run(made, window)
        assert batches(home) == held

        # Two days that contradict each other: the one that is fetched last counts, and
        # what it has overtaken is overtaken again.
        source.delivered[6] = [priced("c", 1), priced("a", 3)]
        run(made, days(6, 6))
        run(made, days(5, 7))
        assert last_prices(landed("sessions")) == {"a": 2, "b": 1, "c": 1}
        held = batches(home)
        run(made, days(5, 7))
        assert batches(home) == held
        run(made, days(5, 6))
        assert last_prices(landed("sessions"))["a"] == 3


def test_a_kill_before_unchanged_days_are_compared_is_made_up_for(
    settings: MakeSettings, landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ByWindow({5: [priced("a", 1)], 7: [priced("a", 2)]})
    with service.running(source) as api:
        made = settings(api_url=api.url)
        run(made, days(5, 7))
        for error in (KeyboardInterrupt, OSError):
            with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
                patch.setattr(LandingZone, "reland_superseded", Mock(side_effect=error))
                assert run(made, days(5, 5)).failed == ["sessions 2024-01-05"]
            assert last_prices(landed("sessions")) == {"a": 2}
        run(made, days(5, 5))
    assert last_prices(landed("sessions")) == {"a": 1}


def test_unchanged_days_are_compared_with_what_landed_later_only(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ByWindow({day: [priced(f"s{day}", 1)] for day in range(1, 9)})
    read = Mock(side_effect=LandingZone._read)
    with service.running(source) as api:
        made = settings(api_url=api.url)
        run(made, days(1, 8))
        monkeypatch.setattr(LandingZone, "_read", lambda *arguments: read(*arguments))
        run(made, days(8, 8))
        read.assert_not_called()
        run(made, days(6, 6))
    windows = [
        sorted(batch.window for batch in call.args[2]) for call in read.mock_calls
    ]
    assert windows == [["2024-01-06"], ["2024-01-07", "2024-01-08"]]


# A day that is not over


def test_only_changes_land_until_a_day_is_over_and_then_it_lands_whole(
    home: Path, settings: MakeSettings, landed: Landed, at: Callable[[str], None]
) -> None:
    nameless = session("x", "2024-01-05T08:00:00", session_id=None)
    malformed = {"session_id": 7}
    source = ByWindow({5: [priced("a", 1), nameless, priced("b", 1), priced("b", 1)]})
    with service.running(source) as api:
        made = settings(api_url=api.url)

        def land(time: str) -> list[Any]:
            at(time)
            before = len(landed("sessions")) if batches(home) else 0
            (result,) = run(made, sessions_plan()).landed["sessions"]
            rows = landed("sessions")[before:]
            assert result.changed == bool(rows)
            return [row["session_id"] for row in rows]

        assert land("2024-01-05T10:00") == ["a", None, "b", "b"]
        assert land("2024-01-05T10:01") == []
        source.delivered[5].append(priced("c", 1))
        assert land("2024-01-05T10:02") == ["c"]
        assert land("2024-01-05T10:03") == []
        # Changed, changed back, and with one record less.
        source.delivered[5][0] = priced("a", 2)
        assert land("2024-01-05T10:04") == ["a"]
        source.delivered[5][0] = priced("a", 1)
        assert land("2024-01-05T10:05") == ["a"]
        del source.delivered[5][2]
        assert land("2024-01-05T10:06") == ["b"]
        # Records without an id are compared together.
        source.delivered[5].append(malformed)
        assert land("2024-01-05T10:07") == [None, None]
        assert land("2024-01-05T23:59:59") == []
        # Another day's batch is the last delivery of a session, until this one's is.
        source.delivered[4] = [priced("c", 3)]
        at("2024-01-05T23:59:59.1")
        run(made, days(4, 4))
        assert land("2024-01-05T23:59:59.2") == ["c"]
        assert land("2024-01-05T23:59:59.3") == []
        whole = ["a", None, "b", "c", None]
        assert land("2024-01-06T00:00") == whole
        assert land("2024-01-06T00:01") == []


def test_a_day_that_was_landed_too_early_is_whole_once_it_lands_again(
    settings: MakeSettings, landed: Landed, at: Callable[[str], None]
) -> None:
    with service.running(ByWindow({5: [priced("a", 1)]})) as api:
        made = settings(api_url=api.url)
        for time in ("2024-01-05T23:00", "2024-01-06T03:00", "2024-01-07T03:00"):
            at(time)
            run(made, days(5, 6))
    fetched = [f"{row['_ingested_at']:%d %H}" for row in landed("sessions")]
    assert fetched == ["05 23", "06 03"]


def test_a_lost_batch_of_a_day_that_is_not_over_lands_again_with_the_others(
    home: Path, settings: MakeSettings, landed: Landed, at: Callable[[str], None]
) -> None:
    source = ByWindow({5: [priced("a", 1)]})
    with service.running(source) as api:
        made = settings(api_url=api.url)
        at("2024-01-05T10:00")
        run(made, sessions_plan())
        source.delivered[5].append(priced("b", 1))
        at("2024-01-05T10:01")
        run(made, sessions_plan())
        shutil.rmtree(batches(home)[0])
        at("2024-01-05T10:02")
        run(made, sessions_plan())
    assert [row["session_id"] for row in landed("sessions")] == ["b", "a", "b"]


# Faults


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/sessions", times=2, status=500),
        Fault("/sessions", times=2, status=504),
        *(
            Fault("/sessions", times=2, status=status)
            for status in (202, 408, 425, 429)
        ),
        Fault("/sessions", times=2, status=429, retry_after="0"),
        Fault("/sessions", times=2, reset=True),
        Fault("/sessions", times=2, truncate=True),
        Fault("/sessions", times=2, truncate=True, sized=True),
        Fault("/sessions", times=2, malformed=True),
        Fault("/sessions", times=1, stall=True),
        Fault("/sessions", times=1, delay=60.0),
    ],
    ids=lambda fault: str(fault).partition("times=")[2],
)
def test_a_passing_fault_is_overcome(
    settings: MakeSettings, landed: Landed, fault: Fault
) -> None:
    sessions = [session("s", "2024-01-05T10:00:00")]
    times = fault.times
    with service.running(Records(sessions=sessions), faults=[fault]) as api:
        summary = run(settings(api_url=api.url), sessions_plan(), RETRY_POLICY)
        assert len(api.requests) == times + 1
    assert not summary.failed
    assert [row["session_id"] for row in landed("sessions")] == ["s"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 404},
        {"reset": True},
        {"truncate": True},
        {"malformed": True},
    ],
    ids=str,
)
def test_a_lasting_fault_fails_its_window_only_and_says_which(
    home: Path,
    settings: MakeSettings,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    faults = [Fault("/users", times=1000, **fault)]
    with service.running(Records(), faults=faults) as api:
        url = api.url.replace("http://", "http://me:geheim@")
        summary = run(settings(api_url=url), plan("users", "sessions"), RETRY_POLICY)
        assert 1 <= len(api.requests) <= RETRY_POLICY.attempts + 1
    assert summary.failed == ["users"]
    assert [path.parent.name for path in batches(home)] == ["sessions"]
    assert f"users did not land: {api.url}/users: " in caplog.text
    assert "geheim" not in caplog.text


def test_windows_are_asked_for_over_one_connection_while_it_holds(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "urllib3.connectionpool")
    with service.running(Records()) as api:
        api.faults.append(Fault("/users", truncate=True))
        one_by_one = replace(plan("users", "sessions", days=5), workers=1)
        summary = run(settings(api_url=api.url), one_by_one, RETRY_POLICY)
        assert len(api.requests) == 7
    assert not summary.failed
    opened = ("Starting new HTTP connection", "Resetting dropped connection")
    assert sum(text.startswith(opened) for text in caplog.messages) == 2


def test_json_that_is_no_array_fails(
    settings: MakeSettings, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # A fault with a status answers with an object.
    faults = [Fault("/users", times=1000, status=200)]
    with service.running(Records(), faults=faults) as api:
        summary = run(settings(api_url=api.url), plan("users"), RETRY_POLICY)
    assert summary.failed == ["users"]
    assert "not an array" in caplog.text
    assert not batches(home)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        *(({"status": status, "body": b"[]"}, str(status)) for status in (203, 206)),
        ({"status": 204, "body": b""}, "204"),
        *(({"status": status}, str(status)) for status in (400, 401, 403, 410, 501)),
        ({"status": 413, "retry_after": "0"}, "413"),
        ({"status": 200, "body": b'{"items": []}'}, "not an array"),
        ({"status": 200, "body": b"null"}, "not an array"),
        (
            {
                "status": 200,
                "body": b"<html>Log in</html>",
                "headers": {"Content-Type": "text/html"},
            },
            "text/html",
        ),
        *(
            ({"status": 302, "headers": {"Location": place}}, "redirects to, is not")
            for place in ("http://[", "http://.x", "http://a b:c/", "mailto:me@x")
        ),
    ],
    ids=str,
)
def test_what_cannot_get_better_is_asked_for_once(
    settings: MakeSettings,
    home: Path,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
    said: str,
) -> None:
    with service.running(Records(), faults=[Fault("/users", **fault)]) as api:
        summary = run(settings(api_url=api.url), plan("users"), RETRY_POLICY)
        assert api.requests == ["/users"]
    assert summary.failed == ["users"]
    assert f"users did not land: {api.url}/users: " in caplog.text
    assert said in caplog.text
    assert "Traceback" not in caplog.text
    assert "ttempt" not in caplog.text
    assert not batches(home)


def test_a_redirect_to_a_login_page_fails_and_one_to_the_records_lands(
    settings: MakeSettings, home: Path
) -> None:
    elsewhere: Any = {"status": 302, "headers": {"Location": "/users?page=1"}}
    page = Fault("/users", status=200, body=b"<!doctype html>")
    with service.running(Records([user("u")])) as api:
        made = settings(api_url=api.url)
        api.faults += [Fault("/users", **elsewhere), page]
        assert run(made, plan("users"), RETRY_POLICY).failed == ["users"]
        assert len(api.requests) == 2
        api.faults.append(Fault("/users", **elsewhere))
        assert not run(made, plan("users"), RETRY_POLICY).failed
    assert len(batches(home)) == 1


def test_a_body_that_begins_with_a_byte_order_mark_lands(
    settings: MakeSettings, landed: Landed
) -> None:
    body = json.dumps([user("u")]).encode("utf-8-sig")
    faults = [Fault("/users", status=200, body=body)]
    with service.running(Records(), faults=faults) as api:
        run(settings(api_url=api.url), plan("users"), RETRY_POLICY)
    assert [row["user_id"] for row in landed("users")] == ["u"]


def test_the_server_says_how_long_to_wait_up_to_a_limit(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = [
        Fault("/users", status=429, retry_after="7"),
        Fault("/users", status=503, retry_after="86400"),
    ]
    waits: list[float] = []
    with service.running(Records(), faults=faults) as api:
        monkeypatch.setattr("urllib3.util.retry.time.sleep", waits.append)
        summary = run(settings(api_url=api.url), plan("users"))
    assert not summary.failed
    assert waits == [7, RetryPolicy().longest_wait]


# Going on


def test_a_failed_run_is_resumed_and_a_finished_one_starts_anew(
    home: Path, settings: MakeSettings
) -> None:
    with service.running(Records()) as api:
        made = settings(api_url=api.url)
        api.faults.append(Fault("/sessions", times=1, status=404))
        assert len(run(made, sessions_plan(days=5)).failed) == 1
        assert len(batches(home)) == 4

        del api.requests[:]
        resumed = run(made, sessions_plan(days=5))
        assert (resumed.resumed, len(api.requests), len(batches(home))) == (4, 1, 5)

        del api.requests[:]
        anew = run(made, sessions_plan(days=5))
        assert (anew.resumed, len(api.requests), len(batches(home))) == (0, 5, 5)


def test_another_command_does_not_skip_what_an_unfinished_one_did(
    home: Path, settings: MakeSettings
) -> None:
    with service.running(Records()) as api, service.running(Records()) as other:
        api.faults.append(Fault("/sessions", times=1, status=404))
        run(settings(api_url=api.url), sessions_plan(days=3))
        assert run(settings(api_url=api.url), sessions_plan(days=2)).resumed == 0
        assert run(settings(api_url=other.url), sessions_plan(days=3)).resumed == 0
        assert run(settings(api_url=api.url), sessions_plan(days=3)).resumed == 2


def test_a_journal_is_forgotten_after_a_day(home: Path, settings: MakeSettings) -> None:
    with service.running(Records()) as api:
        api.faults.append(Fault("/sessions", times=1, status=404))
        run(settings(api_url=api.url), sessions_plan(days=3))
        (journal,) = (home / "landing" / ".incoming").iterdir()
        old = time.time() - 25 * 3600
        os.utime(journal, (old, old))
        assert run(settings(api_url=api.url), sessions_plan(days=3)).resumed == 0


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_kill_leaves_whole_batches_only_and_the_same_command_goes_on(
    home: Path, landed: Landed, sign: signal.Signals
) -> None:
    sessions = [session(f"s{day}", f"2024-01-0{day}T10:00:00") for day in (5, 6, 7)]
    faults = [
        Fault("/sessions", times=2, sized=True),  # spoils nothing
        Fault("/sessions", stall=True),
    ]
    window = ["--start", "2024-01-05", "--end", "2024-01-08"]
    arguments = ["sessions", *window, "--workers", "1"]
    with service.running(Records(sessions=sessions), faults=faults) as api:
        environment = command_environment(home, {"api_url": api.url})
        process = subprocess.Popen(
            command_line(arguments), env=environment, stderr=subprocess.PIPE, text=True
        )
        with process:
            incoming = home / "landing" / ".incoming"
            wait_until(lambda: len(api.requests) == 3)
            wait_until(lambda: lines_of(incoming.glob("*.journal")) == 2)
            process.send_signal(sign)
            code = 130 if sign == signal.SIGINT else -sign
            assert process.wait(timeout=60) == code
            assert process.stderr is not None
            assert process.stderr.read() == (
                "Interrupted. The same command continues from here.\n"
                if sign == signal.SIGINT
                else ""
            )
        assert list(incoming.glob("tmp*"))
        assert [row["session_id"] for row in landed("sessions")] == ["s5", "s6"]

        again = command(home, *arguments, api_url=api.url)
        assert again.returncode == 0
        assert "2 of 3 windows are done" in again.stderr
        assert len(api.requests) == 4
    assert [row["session_id"] for row in landed("sessions")] == ["s5", "s6", "s7"]
    assert not list(incoming.iterdir())


def test_a_second_run_waits_then_refuses(home: Path, settings: MakeSettings) -> None:
    with home_lock(home, 0):
        refused = command(home, "exchange_rates", "--wait", "0.1")
        with pytest.raises(LockedError):
            run(settings(), plan("exchange_rates"))
    assert refused.returncode == 1
    assert "waiting up to 0.1 s" in refused.stderr
    assert "Run this again" in refused.stderr
    assert not batches(home)
    with home_lock(home, 0):
        pass


# The guard


def test_an_extract_that_shrinks_is_refused_unless_allowed(
    home: Path, settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    users = [user(str(number)) for number in range(20)]
    with service.running(Records(users)) as api:
        made = settings(api_url=api.url)
        run(made, plan("users"))
        del users[18:]
        assert not run(made, plan("users")).failed  # a tenth is fine
        del users[16:]
        assert run(made, plan("users")).failed == ["users"]
        assert len(batches(home)) == 2
        for part in ("16 records", "18 the last time", "--max-shrink"):
            assert part in caplog.text
        assert not run(made, plan("users", max_shrink=0.2)).failed
    assert len(batches(home)) == 3


def test_a_day_of_sessions_may_shrink(home: Path, settings: MakeSettings) -> None:
    sessions = [session("s", "2024-01-05T10:00:00")]
    with service.running(Records(sessions=sessions)) as api:
        run(settings(api_url=api.url), sessions_plan())
        sessions.clear()
        assert not run(settings(api_url=api.url), sessions_plan()).failed
    assert len(batches(home)) == 2


# The command


def test_the_daily_command_lands_yesterday(
    home: Path, songs_dsn: str, today: date
) -> None:
    yesterday = today - timedelta(days=1)
    source = Records([user("u")], [session("s", f"{yesterday}T10:00:00")])
    with service.running(source) as api:
        done = command(home, api_url=api.url, postgres_dsn=songs_dsn)
        asked = [path for path in api.requests if path.startswith("/sessions")]
    assert done.returncode == 0
    assert done.stderr == ""
    last = done.stdout.splitlines()[-1]
    for entity in ENTITIES:
        assert f"{entity}: " in last
    assert "users: 1 records landed (0 do not fit their types), " in last
    assert asked == [f"/sessions?start_date={yesterday}&end_date={today}"]


def test_what_does_not_land_is_said_and_exits_with_1(home: Path) -> None:
    faults = [Fault("/users", status=404)]
    with service.running(Records(), faults=faults) as api:
        done = command(home, "users", api_url=api.url)
    assert done.returncode == 1
    assert f"users did not land: {api.url}/users: " in done.stderr
    assert "did not land: 1" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["users"], "DEFTUNES_API_URL"),
        (["sessions"], "DEFTUNES_API_URL"),
        (["songs"], "DEFTUNES_POSTGRES_DSN"),
        (["playlists"], "playlists"),
        (["--start", "2024-02-30"], "2024-02-30"),
        (["--start", "2024-01-02", "--end", "2024-01-02"], "--end"),
        (["--workers", "0"], "--workers"),
        (["--max-shrink", "2"], "--max-shrink"),
    ],
)
def test_wrong_usage_and_missing_settings_exit_with_2(
    home: Path, arguments: list[str], said: str
) -> None:
    done = command(home, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not batches(home)


def test_only_the_settings_that_are_needed_are_asked_for(
    settings: MakeSettings,
) -> None:
    assert not run(settings(), plan("exchange_rates")).failed
    with pytest.raises(SettingsError):
        run(settings(), plan(*ENTITIES))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda dsn: dsn.replace("@", "geheim@"),
        lambda dsn: dsn.rpartition(":")[0] + ":1/postgres",
        lambda dsn: dsn.replace("@", "%geheim@"),
        lambda dsn: dsn.replace("@", "/geheim@"),
        lambda dsn: f"{dsn}?password=geheim",
        lambda dsn: f"{dsn}%3Fpassword=geheim",
        lambda _: "host=127.0.0.1 port=1 user=postgres password='geheim heit'",
    ],
    ids=["password", "port", "percent", "slash", "parameter", "escaped", "keywords"],
)
def test_no_part_of_the_password_is_ever_shown(
    home: Path, postgres_dsn: str, spoil: Callable[[str], str]
) -> None:
    dsn = spoil(postgres_dsn)
    done = command(home, "songs", postgres_dsn=dsn)
    password = postgres_dsn.partition("postgres:")[2].partition("@")[0]
    output = done.stdout + done.stderr
    assert done.returncode == 1
    assert "songs did not land: deftunes.songs cannot be read: " in output
    assert password not in output
    assert "heim" not in output
    assert "Traceback" not in output
    for path in home.rglob("*"):
        assert path.is_dir() or b"heim" not in path.read_bytes()


def test_a_start_without_an_end_says_how_many_days_that_is(
    home: Path, today: date
) -> None:
    start = ["sessions", "--start", str(today - timedelta(days=3))]
    with service.running(Records()) as api:
        done = command(home, *start, api_url=api.url)
        assert len(api.requests) == 3
    assert "Without --end, 3 days of sessions are fetched: " in done.stderr
    assert done.returncode == 0


def test_many_days_are_fetched_after_a_yes_if_someone_can_answer(home: Path) -> None:
    arguments = command_line(["sessions", "--start", "2024-01-01"])
    with service.running(Records()) as api:
        environment = command_environment(home, {"api_url": api.url})
        ours, its = os.openpty()
        process = subprocess.Popen(
            arguments, env=environment, stdin=its, stdout=its, stderr=its
        )
        os.write(ours, b"n\n")
        assert process.wait(timeout=60) == 1
        said = os.read(ours, 10_000).decode()
        os.close(ours)
        os.close(its)
        assert not api.requests
    assert "days of sessions are fetched: 2024-01-01 to before" in said
    assert "Continue? [y/N]" in said


def test_nothing_at_all_is_warned_of(
    settings: MakeSettings, songs_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    load_songs(songs_dsn, [])
    sessions: list[dict[str, Any]] = []
    with service.running(Records(sessions=sessions)) as api:
        made = settings(api_url=api.url, postgres_dsn=songs_dsn)
        assert not run(made, plan(*ENTITIES, days=2)).failed
        for part in (
            "The API has no users: check DEFTUNES_API_URL.",
            "deftunes.songs has no rows: check DEFTUNES_POSTGRES_DSN.",
            "The API has no sessions from 2024-01-05 to before 2024-01-07: check",
        ):
            assert part in caplog.text
        caplog.clear()
        sessions.append(session("s", "2024-01-06T10:00:00"))
        run(made, sessions_plan(days=2))
        assert not caplog.messages


def test_days_in_the_future_are_warned_of_before_they_are_fetched(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture, today: date
) -> None:
    with service.running(Records()) as api:
        made = settings(api_url=api.url)
        for first, last, days in ((0, 1, 0), (-1, 3, 2), (5, 6, 1)):
            caplog.clear()
            start, end = (today + timedelta(days=each) for each in (first, last))
            run(made, LandingPlan(("sessions",), start, end, wait=0))
            warned = f"{days} of the days to land are after today, {today} (UTC)"
            assert (warned in caplog.messages[0]) == bool(days)


def test_a_log_gets_a_line_a_minute_while_windows_are_fetched(
    settings: MakeSettings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deftunes.landing.loader._PROGRESS_INTERVAL", 0.05)
    caplog.set_level("INFO")
    faults = [Fault("/users", delay=0.5)]
    with service.running(Records([user("u")]), faults=faults) as api:
        run(settings(api_url=api.url), plan("users", "sessions"))
    assert "1 of 2 windows are done. In progress: users." in caplog.text


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("It did not happen.")


def lines_of(files: Iterable[Path]) -> int:
    """Return the number of lines in files."""
    return sum(len(file.read_text().splitlines()) for file in files)
