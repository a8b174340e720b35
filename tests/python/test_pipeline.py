"""The promises of the whole pipeline, from served records to the published star.

The expected results are computed here in plain Python, from the served records.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dbt_process
import duckdb
import pytest
from conftest import WITHOUT_TESTS, Lakehouse, copy_of_project
from currency_converter import CurrencyConverter  # type: ignore[import-untyped]
from deftunes.lock import home_lock
from demo_sources import postgres
from demo_sources.generator import Generator

# Europe and America put their clocks forward in between.
START, END = date(2023, 3, 1), date(2023, 4, 1)
SHOP: Any = {"seed": 8, "items": 4_000, "start": START, "end": END, "damage": 0.02}
BUILT = ("intermediate", "marts", "quality")

Rows = list[tuple[Any, ...]]


# The right answer, worked out independently.


@dataclass
class Truth:
    """What must be known after a series of deliveries.

    Attributes:
        converter: the rates, the last known one on days without.
        sessions: the latest good version of each session.
        users: the versions of each user.
        songs: the latest version of each song, by track id.
        sold_by: the names under which an artist's songs were ever sold.
        newest: the newest content of each entity and window, in no order.
        landed: how many records of each entity were new content of their window.
        rejected: how many of them are bad.
        restated: the sessions that were delivered again, with something else.

    """

    converter: CurrencyConverter
    sessions: dict[str, dict[str, Any]]
    users: dict[str, list[dict[str, Any]]]
    songs: dict[str, dict[str, Any]]
    sold_by: dict[str, set[str]]
    newest: dict[tuple[str, str], list[str]]
    landed: Counter[str]
    rejected: Counter[str]
    restated: set[str]

    @classmethod
    def by(cls, rates: Path) -> "Truth":
        """Start with exchange rates only."""
        converter = CurrencyConverter(
            str(rates),
            fallback_on_wrong_date=True,
            fallback_on_missing_rate=True,
            fallback_on_missing_rate_method="last_known",
            decimal=True,
        )
        sold_by: dict[str, set[str]] = defaultdict(set)
        return cls(converter, {}, {}, {}, sold_by, {}, Counter(), Counter(), set())

    def learn(self, generator: Generator, start: date, end: date) -> None:
        """Add what is landed from a generator, with the sessions of [start, end)."""
        self._learn_users(decoded(generator.users(None, None)))
        for table in generator.song_tables():
            for row in self._new("songs", "all", table.to_pylist()):
                self.songs[row["track_id"]] = row
        for number in range((end - start).days):
            day = start + timedelta(days=number)
            records = decoded(generator.sessions(day, day + timedelta(days=1)))
            self._learn_sessions(day, records)

    def _new(
        self, entity: str, window: str, records: Iterable[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the records, or nothing if the window's content has not changed."""
        records = list(records)
        content = sorted(json.dumps(record) for record in records)
        if content == self.newest.get((entity, window)):
            return []
        self.newest[entity, window] = content
        self.landed[entity] += len(records)
        return records

    def _learn_sessions(self, day: date, records: Iterable[dict[str, Any]]) -> None:
        for record in self._new("sessions", str(day), records):
            items = record["session_items"]
            self.landed["session_items"] += len(items)
            start = moment_of(record["session_start_time"])
            if start is None or record["user_id"] is None:
                self.rejected["sessions"] += 1
                self.rejected["session_items"] += len(items)
                continue
            name = record["session_id"]
            if self.sessions.get(name, record) != record:
                self.restated.add(name)
            self.sessions[name] = record
            good = [item for _, item in self.good_items(record)]
            self.rejected["session_items"] += len(items) - len(good)
            for item in good:
                self.sold_by[item["artist_id"]].add(item["artist_name"])

    def _learn_users(self, records: Iterable[dict[str, Any]]) -> None:
        for record in self._new("users", "all", records):
            if (
                record["user_id"] is None
                or len(record["user_location"]) != 5
                or moment_of(record["user_since"]) is None
            ):
                self.rejected["users"] += 1
                continue
            versions = self.users.setdefault(record["user_id"], [])
            if not versions or versions[-1] != record:
                versions.append(record)

    def good_items(
        self, session: dict[str, Any]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the valid items, with their positions in the session."""
        known = {"EUR", *self.converter.currencies}
        for number, item in enumerate(session["session_items"], 1):
            if (
                isinstance(item, dict)
                and isinstance(item["price"], int | float)
                and item["price"] >= 0
                and item["currency"] in known
            ):
                yield number, item

    def facts(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the purchases by session and item number."""
        facts = {}
        for session_id, session in self.sessions.items():
            moment = moment_of(session["session_start_time"])
            assert moment is not None
            versions = self.users.get(session["user_id"])
            zone = versions[0]["user_location"][4] if versions else "UTC"
            local = moment.replace(tzinfo=timezone.utc).astimezone(ZoneInfo(zone))
            for number, item in self.good_items(session):
                facts[session_id, number] = {
                    "track_id": item["song_id"],
                    "artist_id": item["artist_id"],
                    "user_id": session["user_id"],
                    "date": moment.date(),
                    "price": Decimal(str(item["price"])),
                    "currency": item["currency"],
                    "liked": item["liked"],
                    "liked_since": moment_of(item["liked_since"]),
                    "session_start_time": moment,
                    "local_date": local.date(),
                    "local_hour": local.hour,
                }
        return facts

    def in_dollars(self, fact: dict[str, Any]) -> Decimal:
        """Return the price of a purchase in US dollars."""
        money = (fact["price"], fact["currency"])
        dollars: Decimal = self.converter.convert(*money, "USD", fact["date"])
        return dollars

    def artists(self) -> dict[str, tuple[str, list[str]]]:
        """Return the name and the aliases of each artist of the catalogue."""
        names: dict[str, Counter[str]] = defaultdict(Counter)
        for row in self.songs.values():
            names[row["artist_id"]][row["artist_name"]] += 1
        artists = {}
        for artist_id, counts in names.items():
            best, *others = sorted(
                counts, key=lambda name: (-counts[name], len(name), name)
            )
            artists[artist_id] = best, sorted(others)
        return artists


def decoded(records: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yield records as objects."""
    for record in records:
        yield json.loads(record) if isinstance(record, bytes) else record


def moment_of(text: str | None) -> datetime | None:
    """Read a timestamp; None if it is none."""
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None


# One lakehouse that grows day by day, in disorder, and is delivered parts again.


@dataclass(frozen=True)
class Story:
    """What a lakehouse went through.

    Attributes:
        lakehouse: the lakehouse at the end.
        truth: what it must know.
        first: the published file after the first build, as bytes.
        failed: a build whose test failed, with new data.
        after_failure: the published file after it.
        partial: what a build of a part said.
        after_partial: the published file after it.
        whole: what the last build said.
        reader: what a reader saw who opened the file after the first build: at once,
            and after the last build.
        first_items: the purchases in the file after the first build.

    """

    lakehouse: Lakehouse
    truth: Truth
    first: bytes
    failed: subprocess.CompletedProcess[str]
    after_failure: bytes
    partial: str
    after_partial: bytes
    whole: str
    reader: tuple[str, str]
    first_items: int


_READER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    for _ in range(2):
        print(connection.execute("from marts.fact_order_items").fetchall(), flush=True)
        sys.stdin.readline()
"""


@pytest.fixture(scope="session")
def story(
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Story:
    """Land out of order and build after each step; some builds fail or are killed.

    At the end, sessions, users and songs are delivered again, some of them changed, and
    late exchange rates arrive.
    """
    lakehouse = lakehouses(tmp_path_factory.mktemp("rates") / rates.name)
    truth = Truth.by(rates)
    # Until the last step the ECB has published nothing after 15 March.
    header, *days = rates.read_text().splitlines()
    known = [line for line in days if line[:10] <= "2023-03-15"]
    lakehouse.rates.write_text("\n".join([header, *known]))
    before, after = (Generator(**SHOP, revision=revision) for revision in (0, 1))
    day = {number: date(2023, 3, number) for number in range(1, 32)}

    def land(generator: Generator, start: date, end: date) -> None:
        lakehouse.land(generator, generator.song_tables(), start, end)
        truth.learn(generator, start, end)

    land(before, day[10], day[20])
    lakehouse.build()
    first = lakehouse.database.read_bytes()
    ((first_items,),) = lakehouse.published(
        "select count(*) from marts.fact_order_items"
    )

    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(lakehouse.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdin is not None
        assert reader.stdout is not None
        seen_first = reader.stdout.readline()

        land(before, day[1], day[13])
        # Someone expects what is not so.
        project = copy_of_project(tmp_path_factory)
        (project / "tests" / "assert_nothing_is_sold.sql").write_text(
            "select * from {{ ref('fact_order_items') }}"
        )
        failed = lakehouse.dbt("build", project=project)
        after_failure = lakehouse.database.read_bytes()

        land(before, day[5], END)
        for model in ("dim_users", "fact_order_items"):
            build_and_kill(lakehouse, model)
        partial = lakehouse.build(*WITHOUT_TESTS)
        after_partial = lakehouse.database.read_bytes()

        shutil.copy(rates, lakehouse.rates)
        land(after, START, END)
        whole = lakehouse.build()
        reader.stdin.write("\n")
        reader.stdin.flush()
        seen_last = reader.stdout.readline()
    finally:
        reader.communicate(timeout=60)

    return Story(
        lakehouse,
        truth,
        first,
        failed,
        after_failure,
        partial,
        after_partial,
        whole,
        (seen_first, seen_last),
        first_items,
    )


def build_and_kill(lakehouse: Lakehouse, model: str) -> None:
    """Kill a build as soon as it has built a model."""
    process = lakehouse.start("build", *WITHOUT_TESTS)
    for line in dbt_process.lines(process, lakehouse.said):
        if re.search(rf"OK created .*\.{model} ", line):
            process.kill()
            break
    process.join(60)
    assert process.exitcode == -signal.SIGKILL


# The numbers are right.


def test_every_purchase_is_in_the_star_once_and_finds_its_dimensions(
    story: Story, proven: dict[str, str]
) -> None:
    expected = story.truth.facts()
    rows = story.lakehouse.published(
        """
        select
            session_id, item_number, dim_songs.track_id, dim_artists.artist_id,
            user_id, date, price, currency, liked, liked_since, session_start_time,
            local_date, local_hour, fact.track_id
        from marts.fact_order_items as fact
        inner join marts.dim_songs using (song_key)
        inner join marts.dim_artists on fact.artist_key = dim_artists.artist_key
        inner join marts.dim_users using (user_key)
        inner join marts.dim_date using (date_key)
        """
    )
    names = [*next(iter(expected.values()))]
    found = {row[:2]: dict(zip(names, row[2:-1], strict=True)) for row in rows}
    assert len(rows) == len(found) == len(expected)
    assert found == expected
    assert all(row[2] == row[-1] for row in rows)
    assert story.lakehouse.published("select count(*) from marts.fact_order_items") == [
        (len(expected),)
    ]
    proven["purchases compared field by field"] = f"{len(expected):,}"
    proven["of them paid in"] = ", ".join(
        f"{currency} {count}"
        for currency, count in Counter(
            fact["currency"] for fact in expected.values()
        ).most_common()
    )


def test_revenue_per_day_and_currency_is_exact(
    story: Story, proven: dict[str, str]
) -> None:
    expected: dict[Any, Decimal] = defaultdict(Decimal)
    for fact in story.truth.facts().values():
        expected[fact["date"], fact["currency"]] += fact["price"]
    rows = story.lakehouse.published(
        "select date, currency, sum(price) from marts.fact_order_items"
        " inner join marts.dim_date using (date_key) group by all"
    )
    assert {row[:2]: row[2] for row in rows} == expected
    assert len({day for day, _ in expected}) == (END - START).days
    proven["days times currencies of revenue compared"] = f"{len(expected):,}"


def test_revenue_per_day_in_dollars_is_right_to_the_cent(
    story: Story, proven: dict[str, str]
) -> None:
    expected: dict[date, Decimal] = defaultdict(Decimal)
    for fact in story.truth.facts().values():
        expected[fact["date"]] += story.truth.in_dollars(fact)
    rows = story.lakehouse.published(
        "select date, sum(price_usd) from marts.fact_order_items"
        " inner join marts.dim_date using (date_key) group by all"
    )
    assert {day for day, _ in rows} == {*expected}
    off = max(abs(revenue - expected[day]) for day, revenue in rows)
    assert off < Decimal("0.005")
    proven["revenue compared"] = (
        f"{sum(expected.values()):,.2f} USD over {len(rows)} days; "
        f"the most that a day is off: {off:.6f} USD"
    )


def test_landed_is_loaded_plus_rejected(story: Story, proven: dict[str, str]) -> None:
    counts = story.lakehouse.published(
        "select entity, sum(landed_count), sum(rejected_count),"
        " sum(landed_count - loaded_count - rejected_count)"
        " from quality.batch_reconciliation"
        " where entity <> 'exchange_rates' group by all"
    )
    landed, rejected = story.truth.landed, story.truth.rejected
    assert {row[0]: row[1:] for row in counts} == {
        entity: (landed[entity], rejected[entity], 0) for entity in landed
    }
    kept = dict(
        story.lakehouse.published(
            "select entity, count(*) from quality.rejected_records group by all"
        )
    )
    # The items of a rejected session lie in the payload of the session.
    assert kept["users"] == rejected["users"] > 0
    assert kept["sessions"] == rejected["sessions"] > 0
    assert 0 < kept["session_items"] <= rejected["session_items"]
    proven["records landed, of them rejected"] = ", ".join(
        f"{entity} {landed[entity]:,} {rejected[entity]:,}" for entity in landed
    )


def test_what_is_compared_holds_every_case(story: Story) -> None:
    """Check the test data: without restatements the other tests would prove little."""
    truth = story.truth
    buyers = {session["user_id"] for session in truth.sessions.values()}
    assert len({fact["currency"] for fact in truth.facts().values()}) > 8
    assert truth.restated
    assert any(len(truth.users.get(buyer, ())) > 1 for buyer in buyers)
    assert buyers - {*truth.users}
    assert truth.landed["songs"] > len(truth.songs)
    assert any(not session["session_items"] for session in truth.sessions.values())
    assert any(fact["local_date"] != fact["date"] for fact in truth.facts().values())


def test_a_dimension_has_one_row_per_id(story: Story) -> None:
    for table, key in (
        ("dim_artists", "artist_id"),
        ("dim_songs", "track_id"),
        ("dim_users", "user_id, valid_from"),
        ("dim_date", "date"),
    ):
        assert (
            story.lakehouse.published(
                f"select {key} from marts.{table} group by all having count(*) > 1"  # noqa: S608
            )
            == []
        ), table


def test_an_artist_has_the_name_that_most_songs_carry(
    story: Story, proven: dict[str, str]
) -> None:
    expected = story.truth.artists()
    rows = story.lakehouse.published(
        "select artist_id, artist_name, aliases, is_inferred from marts.dim_artists"
    )
    catalogued = {row[0]: row[1:3] for row in rows if not row[3]}
    assert catalogued == expected
    assert any(aliases for _, aliases in expected.values())
    for artist_id, name, _, is_inferred in rows:
        if is_inferred and artist_id != "":
            assert name in story.truth.sold_by[artist_id]
    proven["artists compared"] = f"{len(rows):,}"


def test_songs_are_found_by_their_track_ids(
    story: Story, proven: dict[str, str]
) -> None:
    rows = story.lakehouse.published(
        "select fact.track_id, song_title, release, is_inferred"
        " from marts.fact_order_items as fact"
        " inner join marts.dim_songs using (song_key)"
    )
    listed = [row for row in rows if row[0] in story.truth.songs]
    found = [
        row
        for row in listed
        if not row[3]
        and row[1:3]
        == tuple(story.truth.songs[row[0]][name] for name in ("title", "release"))
    ]
    assert len(found) == len(listed) > 0
    inferred = {row[0] for row in rows if row[3]}
    assert inferred == {row[0] for row in rows} - {*story.truth.songs}
    assert inferred
    proven["items whose track is listed that found their song"] = (
        f"{len(found)} of {len(listed)}; sold but not listed: {len(inferred)} tracks"
    )


# Running it again changes nothing, and the order does not matter.


def test_landing_and_building_again_changes_nothing(story: Story) -> None:
    lakehouse = story.lakehouse
    before, snapshots = lakehouse.tables(*BUILT, "snapshots"), commits(lakehouse)
    batches = sorted((lakehouse.home / "landing").glob("*/*"))
    again = Generator(**SHOP, revision=1)

    summary = lakehouse.land(again, again.song_tables(), START, END)
    lakehouse.build(*WITHOUT_TESTS)

    assert not any(
        landed.changed for windows in summary.landed.values() for landed in windows
    )
    assert sorted((lakehouse.home / "landing").glob("*/*")) == batches
    assert commits(lakehouse) == snapshots
    assert lakehouse.tables(*BUILT, "snapshots") == before


def commits(lakehouse: Lakehouse) -> Rows:
    """Return the ids of all commits to the lake."""
    with lakehouse.lake() as connection:
        return connection.execute(
            "select snapshot_id from ducklake_snapshots('lake') order by all"
        ).fetchall()


@pytest.fixture(scope="session")
def rebuilt(story: Story, lakehouses: Callable[[Path], Lakehouse]) -> Lakehouse:
    """Return a lakehouse that was built once from the same landing zone."""
    other = lakehouses(story.lakehouse.rates)
    shutil.copytree(story.lakehouse.home / "landing", other.home / "landing")
    other.build("--full-refresh", *WITHOUT_TESTS)
    return other


def test_building_step_by_step_gives_the_same_as_building_at_once(
    story: Story, rebuilt: Lakehouse, proven: dict[str, str]
) -> None:
    grown, made = (each.tables(*BUILT) for each in (story.lakehouse, rebuilt))
    assert differences(grown, made) == {}
    proven["rows equal, grown step by step and built at once"] = (
        f"{sum(map(len, grown.values())):,} in {len(grown)} tables"
    )


def test_a_table_that_was_dropped_is_made_anew_whole(rebuilt: Lakehouse) -> None:
    made = rebuilt.tables(*BUILT)
    with rebuilt.writing() as lake:
        for table in ("fact_order_items", "dim_artists"):
            lake.execute(f"drop table lake.marts.{table}")
    rebuilt.build(*WITHOUT_TESTS)
    assert differences(rebuilt.tables(*BUILT), made) == {}


def differences(
    one: dict[str, list[Any]], other: dict[str, list[Any]]
) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the rows that only one of them has, by table; at most five."""
    found = {}
    for name in one.keys() | other.keys():
        left, right = one.get(name, []), other.get(name, [])
        if left != right:
            found[name] = (
                [row for row in left if row not in right][:5],
                [row for row in right if row not in left][:5],
            )
    return found


# Publishing.


def test_a_whole_build_publishes(story: Story) -> None:
    assert story.first_items > 0
    assert f"Published {story.lakehouse.database}" in story.whole
    assert story.lakehouse.database.read_bytes() != story.first


def test_a_failing_test_leaves_what_was_published(story: Story) -> None:
    assert story.failed.returncode == 1, story.failed.stdout
    assert "assert_nothing_is_sold" in story.failed.stdout
    assert "nodes failed or were skipped" in story.failed.stdout
    assert "Published" not in story.failed.stdout
    assert story.after_failure == story.first


def test_unit_tests_pass_and_are_left_to_those_who_ask(story: Story) -> None:
    assert "unit_test" not in story.whole
    tested = story.lakehouse.dbt("test", "--select", "test_type:unit")
    assert tested.returncode == 0, tested.stdout
    assert re.search(r"PASS=[1-9]\d* WARN=0 ERROR=0 SKIP=0", tested.stdout)


def test_a_build_of_a_part_publishes_nothing(story: Story) -> None:
    assert "Not published" in story.partial
    assert "`dbt build` publishes" in story.partial
    assert story.after_partial == story.first


def test_an_open_reader_keeps_what_it_has(story: Story) -> None:
    first, last = story.reader
    assert first == last
    assert first.count("datetime.datetime") >= story.first_items


def test_the_published_tables_say_what_they_are(story: Story) -> None:
    undescribed = story.lakehouse.published(
        "select table_name from duckdb_tables() where comment is null"
    )
    assert undescribed == []


# The other target.


def test_a_catalogue_in_postgres_holds_the_same(
    story: Story,
    rebuilt: Lakehouse,
    lakehouses: Callable[[Path], Lakehouse],
) -> None:
    other = lakehouses(rebuilt.rates)
    shutil.copytree(rebuilt.home / "landing", other.home / "landing")
    with postgres.running() as dsn:
        environment = {
            "DBT_ENV_SECRET_CATALOG_DSN": dsn,
            "DEFTUNES_LAKE_DATA": str(other.home / "elsewhere"),
            "DBT_LOG_LEVEL_FILE": "debug",
        }
        target = ("--target", "lake_pg")
        said = other.build(*target, *WITHOUT_TESTS, environment=environment)
        published = other.dbt(
            *("run-operation", "publish_lake", *target),
            *("--args", "{passed: 0, warned: 0}"),
            environment=environment,
        )
        assert published.returncode == 0, published.stdout
        held = other.tables(*BUILT, catalogue=f"postgres:{dsn}")
        # A verb acts on the lake that DBT_TARGET names, and on its files alone.
        strange = other.home / "elsewhere" / "theirs" / "t" / "strange.parquet"
        strange.parent.mkdir(parents=True)
        strange.touch()
        for refused in (True, False):
            upkeep = other.dbt(
                *("run-operation", "upkeep", "--vars", "{retention_days: 0}"),
                environment=environment | {"DBT_TARGET": "lake_pg"},
            )
            assert (upkeep.returncode != 0) == refused, upkeep.stdout
            assert (f"{strange} belongs to no table" in upkeep.stdout) == refused
            strange.unlink(missing_ok=True)
        assert other.tables(*BUILT, catalogue=f"postgres:{dsn}") == held
    # Without the database of the catalogue.
    with duckdb.connect() as reader:
        reader.load_extension("ducklake")
        reader.execute(
            f"attach 'ducklake:{other.database.with_suffix('.ducklake')}' as lake"
            " (read_only)"
        )
        for name, rows in held.items():
            if name.startswith("marts."):
                found = reader.table(f"lake.{name}").order("all").fetchall()
                assert found == rows
    assert differences(held, rebuilt.tables(*BUILT)) == {}
    assert any((other.home / "elsewhere").rglob("*.parquet"))
    assert not (other.home / "lake" / "catalog.sqlite").exists()
    password = dsn.partition("@")[0].rpartition(":")[2]
    assert len(password) > 8
    logs = "".join(path.read_text() for path in (other.home / "logs").iterdir())
    assert "DUCKDB" in logs.upper()
    assert password not in said + logs


# Clear errors.


def test_building_before_anything_has_landed_says_what_to_do(
    lakehouses: Callable[[Path], Lakehouse], rates: Path
) -> None:
    lakehouse = lakehouses(rates)
    done = lakehouse.dbt("build")
    assert done.returncode != 0
    assert "has been landed" in done.stdout
    assert "python scripts/land.py" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("option", "advice"),
    [(["--threads", "2"], "with one thread"), (["--empty"], "use dbt compile")],
)
def test_what_would_spoil_the_lake_is_refused(
    story: Story, option: list[str], advice: str
) -> None:
    snapshots = commits(story.lakehouse)
    done = story.lakehouse.dbt("build", *option)
    assert done.returncode != 0
    assert advice in done.stdout
    assert commits(story.lakehouse) == snapshots


def test_a_second_build_waits_for_the_first(story: Story) -> None:
    lakehouse = story.lakehouse
    with home_lock(lakehouse.home, wait=0):
        second = lakehouse.start("run", "--select", "dim_date")
        # Ends without the sentence if the second build does not wait.
        for line in dbt_process.lines(second, lakehouse.said):
            if "Another run holds" in line:
                break
        assert "Another run holds" in lakehouse.said.read_text()
        assert second.is_alive()
    second.join(120)
    assert second.exitcode == 0, lakehouse.said.read_text()


@pytest.mark.parametrize(
    ("variable", "setting", "value", "shown"),
    [
        ("DEFTUNES_MEMORY_LIMIT", "memory_limit", "512MiB", "| 512.0 MiB |"),
        ("DEFTUNES_THREADS", "threads", "3", "| 3 |"),
    ],
)
def test_duckdb_takes_no_more_than_it_may(
    story: Story, variable: str, setting: str, value: str, shown: str
) -> None:
    show = ("show", "--inline", f"select current_setting('{setting}') as allowed")
    said = story.lakehouse.dbt(*show, environment={variable: value}).stdout
    assert shown in re.sub(" +", " ", said)
    refused = story.lakehouse.dbt(*show, environment={variable: "much"})
    assert refused.returncode != 0
    assert f"{variable}=much cannot be used: " in refused.stdout
    assert "Traceback" not in refused.stdout
