"""Property tests: for any deliveries in any order, the star is right, nothing is lost.

The tests generate histories of deliveries with every kind of damage, land and build
them with the real loader and dbt, and compare the result with `reference_model`.
"""

import csv
import json
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from conftest import WITHOUT_TESTS, Lakehouse, differing_views, song
from deftunes.landing.loader import ENTITIES, LandingPlan, run
from deftunes.settings import PROJECT, Settings
from demo_sources import postgres, service
from demo_sources.service import Records
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from reference_model import (
    BEGINNING,
    UNKNOWN,
    Delivery,
    Rates,
    ReferenceModel,
    canonical,
    is_equivalent,
    loads,
    moment_of,
    session_reasons,
)
from test_pipeline import commits, differences

BUILT = ("intermediate", "marts", "quality")
DAY = timedelta(days=1)

# Around them the ECB ceased to quote the rouble and the kuna, clocks were changed, and
# the limits of dbt_project.yml lie. The last one is in the future: users have changed.
DAYS = [
    *(date(2022, 3, 1), date(2022, 3, 5), date(2022, 3, 12), date(2022, 12, 30)),
    *(date(2023, 1, 6), date(2023, 1, 9), date(2023, 3, 11), date(2023, 3, 26)),
    *(date(2024, 2, 29), date(2024, 3, 9), date(2024, 3, 10), date(2024, 3, 11)),
    *(date(1999, 12, 31), date(2000, 1, 1), date(2100, 1, 1), date(2040, 2, 29)),
]
LAST_LISTS = ["2022-03-01", "2023-01-04", "2024-03-08", "2024-03-31"]
CURRENCIES = [
    *("USD", "USD", "USD", "EUR", "GBP", "JPY", "KRW", "IDR", "RUB", "HRK"),
    *("usd", " Gbp "),
]
TEXTS = ["", "Zoë", "O'Neil", "一青窈", "a|b", "<null>", "\x1f", '"', "\\", "NaN", "🎵"]
CLOSE_NAMES = [("a|b", "c"), ("a", "b|c"), ("<null>", "c"), (None, "c"), ("", "c")]
AGENTS = ["Opera/8.77.(X11; Linux x86_64)", "a|b", "", "<null>"]
PLACES = [
    ["38.71667", "-9.13333", "Lisbon", "PT", "Europe/Lisbon"],
    ["35.6895", "139.69171", "Tokyo", "JP", "Asia/Tokyo"],
    ["27.70169", "85.3206", "Kathmandu", "NP", "Asia/Kathmandu"],
    ["47.56494", "-52.70931", "St. John's", "CA", "America/St_Johns"],
    ["-43.95", "-176.55", "Waitangi", "NZ", "Pacific/Chatham"],
    ["40.71427", "-74.00597", "New York City", "US", "America/New_York"],
    ["48.85341", "2.3488", "Paris", "FR", "Europe/Paris"],
    ["48.85341", "2.3488", "Paris", " fr", "europe/paris"],
    ["41.89193", "12.51133", "Rome", "IT ", "Europe/Rome "],
    ["-90", "180", "", "ZZ", "Mars/Base"],
    ["-90", "180", "", "zz", "mars/base"],
    ["0", "-0.0", "Null Island", "", ""],
]


@dataclass(frozen=True)
class Step:
    """What happens before a build.

    Attributes:
        windows: the first days of sessions that are landed, and how many.
        rates: the last list of exchange rates that is known, out of LAST_LISTS.
        users: the share of users that the extract holds.
        songs: the share of songs that the catalogue holds.
        changes: the share of records that are delivered with something else.
        end_inclusive: whether the API counts the last day in.

    """

    windows: list[tuple[date, int]]
    rates: int
    users: float
    songs: float
    changes: float
    end_inclusive: bool


STEPS = st.builds(
    Step,
    windows=st.lists(
        st.tuples(st.sampled_from(DAYS), st.integers(1, 3)), min_size=2, max_size=5
    ),
    rates=st.integers(0, len(LAST_LISTS) - 1),
    users=st.sampled_from([0.0, 0.5, 1.0]),
    songs=st.sampled_from([0.0, 0.5, 1.0]),
    changes=st.sampled_from([0.1, 0.5]),
    end_inclusive=st.booleans(),
)


HISTORIES = settings.get_profile("histories")

EXAMPLE = Step([(date(2023, 1, 9), 3)], 0, 1.0, 1.0, 0.5, end_inclusive=True)
# A day again with another one, and the first day that sessions may be of; then what has
# changed of the first.
LATER = Step(
    windows=[(date(2023, 1, 10), 2), (date(1999, 12, 31), 2)],
    rates=1,
    users=0.5,
    songs=0.5,
    changes=0.5,
    end_inclusive=False,
)
AGAIN = Step([(date(2023, 1, 9), 2)], 1, 0.5, 1.0, 0.1, end_inclusive=True)
# Two days after the last list, seven after the last rate of the Croatian kuna.
KUNA = Step([(date(2023, 1, 6), 2)], 1, 0.0, 0.0, 0.1, end_inclusive=True)


# Damage. Every function gets a good record of its own, to change or to replace.

Record = dict[str, Any]
Damage = Callable[[Record, random.Random], Any]


def put(**members: Any) -> Damage:  # noqa: ANN401 - any JSON
    return lambda record, _: record | members


def without(name: str) -> Damage:
    return lambda record, _: {
        key: value for key, value in record.items() if key != name
    }


def instead(value: Any) -> Damage:  # noqa: ANN401 - any JSON
    return lambda _, __: value


def at(position: int, value: Any) -> Damage:  # noqa: ANN401 - any JSON
    """Return a function that replaces a part of a user's location."""

    def change(record: Record, _: random.Random) -> Record:
        place = [*record["user_location"]]
        place[position] = value
        return record | {"user_location": place}

    return change


class Literal(str):
    """A piece of JSON that Python's writer would not produce."""


NO_TIMES = [
    *("soon", "", "2023-02-30T00:00:00", "2023-13-01T00:00:00", "2023-03-12T25:00:00"),
    *("infinity", "-infinity", "epoch", "0000-01-01T00:00:00", "12/03/2023"),
    "0044-03-15 (BC)",
]
ILL_TYPED_AGENTS: list[Any] = [{"name": "Opera"}, ["a"], "\udc00", 1.5]
ILL_TYPED_ITEMS: list[Any] = ["[]", {}, 3, False]
ODD_SONGS: list[Any] = ["", 5, "x\0y", {}]
ILL_TYPED_PRICES: list[Any] = ["1.25", "", True, [], {}, float("nan")]
NO_LOCATIONS: list[Any] = [None, "Lisbon", {}, [], PLACES[0][:4], [*PLACES[0], "more"]]
NO_OBJECTS: list[Any] = [None, 7, True, "no record", [], [{}]]
EXTRAS: list[Record] = [
    {"gift": "ja"},
    {"gift": {"to": ["Ann", None, 1.5]}, "note": "\0"},
    {"_payload": "x", "_rescued": {"y": 1}, "_position": 3, "_batch_id": "b"},
    {"Price": "1", "SESSION_ID": "2", "User_Id": 3, "": 0, 'a"b': "'"},
    {"half": "\ud800", "nan": float("nan"), "huge": 10**400},
]

OF_ALL: list[Damage] = [
    *map(instead, NO_OBJECTS),
    *(put(**extra) for extra in EXTRAS),
]
OF_SESSIONS: list[Damage] = [
    *OF_ALL,
    *map(without, ("session_id", "user_id", "user_agent", "session_start_time")),
    without("session_items"),
    *(put(**{name: None}) for name in ("session_id", "user_id", "user_agent")),
    *(put(**{name: None}) for name in ("session_start_time", "session_items")),
    *(put(**{name: ""}) for name in ("session_id", "user_id")),
    *(put(session_start_time=text) for text in NO_TIMES),
    put(session_start_time="1999-12-31T23:59:59.999999"),
    put(session_start_time="1999-12-31T19:00:00-05:00"),
    put(session_start_time="2100-01-01T00:00:00Z"),
    put(session_start_time=1678579200),
    *(put(**{name: "x\0y"}) for name in ("session_id", "user_id", "user_agent")),
    *(put(user_agent=value) for value in ILL_TYPED_AGENTS),
    *(put(user_id=value) for value in (12, True, float("nan"), "\ud83c")),
    *(put(session_items=value) for value in ILL_TYPED_ITEMS),
    put(session_items=[]),
    put(user_id=Literal('"one", "user_id": "other"')),
]
OF_ITEMS: list[Damage] = [
    *OF_ALL,
    *map(without, ("song_id", "song_name", "artist_id", "artist_name", "price")),
    *map(without, ("currency", "liked", "liked_since")),
    *(put(**{name: None}) for name in ("song_id", "song_name", "artist_id", "price")),
    *(put(**{name: None}) for name in ("artist_name", "currency", "liked")),
    *(put(song_id=value) for value in ODD_SONGS),
    *(put(price=value) for value in ILL_TYPED_PRICES),
    *(put(price=value) for value in (float("inf"), -float("inf"), Literal("1e999"))),
    *(put(price=value) for value in (-0.01, -1, 1e300, 10**30, 10**400, 1e14, 1e-9)),
    *(put(price=value) for value in (1.23456, 0.00005, 1e-5, 0.1 + 0.2, 99.99999)),
    # No double holds these.
    *(put(price=Literal(t)) for t in ("1.0000000000000000001", "9007199254740993")),
    # Not -0.0: beside a 0.0 in its file it loses its sign, and looks changed then.
    *(put(price=value, currency="USD") for value in (1000, 1000.01, 0, 5)),
    *(put(currency=value) for value in ("XXX", "US$", "", "  ", 1, "€", "\0")),
    *(put(liked=value) for value in ("true", 1, "")),
    *(put(liked=True, liked_since=text) for text in NO_TIMES),
    put(liked=True, liked_since="1999-01-01T00:00:00"),
    put(liked=True, liked_since="2099-06-01T12:00:00.000001+05:30"),
    *(put(liked=False, liked_since=value) for value in (7, False)),
    *(put(song_name=value) for value in ("x\0y", "\ud800", 1, "")),
    *(put(artist_name=value) for value in ("", "\0")),
    put(price=Literal('1, "price": 2')),
]
OF_USERS: list[Damage] = [
    *OF_ALL,
    *map(without, ("user_id", "user_name", "user_lastname", "user_since")),
    without("user_location"),
    *(put(**{name: None}) for name in ("user_id", "user_name", "user_since")),
    *(put(user_location=value) for value in NO_LOCATIONS),
    *(put(user_id=value) for value in ("", 5, "x\0y", "\udfff")),
    *(put(user_name=value) for value in ("\0", 1, ["Ann"])),
    *(
        at(0, value)
        for value in ("4_8", "48,1", "91", "north", "", "nan", "inf", None, 38.7, "1\0")
    ),
    *(at(1, value) for value in ("-180.1", "Infinity", None, -9, " 9.5 ")),
    *(at(place, "\0") for place in (2, 3, 4)),
    *(put(user_since=text) for text in NO_TIMES),
    put(user_since=1678579200),
]


def written(record: Any, rng: random.Random) -> bytes:  # noqa: ANN401 - any JSON
    """Write a record as JSON, in one of the ways that a server might choose."""
    literals: list[str] = []

    def marked(value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, Literal):
            literals.append(value)
            return f"@literal{len(literals) - 1}@"
        if isinstance(value, dict):
            return {key: marked(member) for key, member in value.items()}
        return (
            [marked(member) for member in value] if isinstance(value, list) else value
        )

    record = marked(record)
    spaced = rng.choice([(",", ":"), (" , ", ":\r\n\t")])
    text = json.dumps(record, separators=spaced, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(record, separators=spaced)
    for number, literal in enumerate(literals):
        text = text.replace(f'"@literal{number}@"', literal)
    return text.encode()


@dataclass
class World:
    """The sources as they change, made up from a seed.

    Attributes:
        rng: where all that is made up comes from.
        users: texts of users, by what they are to be called.
        sessions: texts of sessions, the newest of each name last.
        songs: rows of the catalogue by track id.

    """

    rng: random.Random
    users: dict[str, list[bytes]] = field(default_factory=dict)
    sessions: dict[str, list[bytes]] = field(default_factory=dict)
    songs: dict[str, Record] = field(default_factory=dict)
    made: int = 0

    def name(self, kind: str) -> str:
        """Return a new id."""
        self.made += 1
        return f"{kind}{self.made}" + self.rng.choice(["", "", "|1", "'", " ü"])

    # Users.

    def user(self, user_id: str) -> Record:
        """Generate a user."""
        rng = self.rng
        return {
            "user_id": user_id,
            "user_name": rng.choice(TEXTS),
            "user_lastname": rng.choice(TEXTS),
            "user_location": [*rng.choice(PLACES)],
            "user_since": rng.choice(
                ["2020-01-01T00:00:00.000001", "2031-01-01T00:00:00Z", "2023-06-01"]
            ),
        }

    def change_users(self, share: float) -> None:
        """Add, move and damage users."""
        for user_id in (*(f"user{number}" for number in range(30)), "unknown"):
            if user_id not in self.users or self.rng.random() < share:
                text = written(self.user(user_id), self.rng)
                self.users.setdefault(user_id, []).append(text)
        # What tells these apart is where one text ends and the next one begins.
        first, last = self.rng.choice(CLOSE_NAMES)
        close = self.user("close") | {"user_name": first, "user_lastname": last}
        close |= {"user_location": PLACES[0], "user_since": None}
        self.users.setdefault("close", []).append(written(close, self.rng))
        for number, damage in enumerate(OF_USERS):
            name = f"bad{number}"
            good = self.user(name)
            # What is damaged may be mended later.
            mended = name in self.users and self.rng.random() < share
            record = good if mended else damage(dict(good), self.rng)
            self.users.setdefault(name, []).append(written(record, self.rng))

    def users_now(self, share: float) -> list[bytes]:
        """Return an extract in random order, with duplicates."""
        rng = self.rng
        texts = [each[-1] for each in self.users.values() if rng.random() < share]
        if texts:
            texts += rng.choices(texts, k=3)  # identical twins
            known = [name for name in self.users if name.startswith("user")]
            texts += [written(self.user(rng.choice(known)), rng) for _ in range(3)]
        rng.shuffle(texts)
        return texts

    # Songs.

    def change_songs(self, share: float) -> None:
        """Add and change songs."""
        rng = self.rng
        for number, track_id in enumerate([*(f"TR{n}" for n in range(24)), "unknown"]):
            if track_id in self.songs and rng.random() >= share:
                continue
            self.songs[track_id] = song(number) | {
                "track_id": track_id,
                "song_id": rng.choice([f"SO{number // 2}", f"SO{rng.randrange(12)}"]),
                "title": rng.choice(TEXTS).replace("\0", ""),
                "release": rng.choice(TEXTS),
                "artist_id": rng.choice(
                    [f"AR{number % 7}", f"AR{rng.randrange(7)}", None, "", "unknown"]
                ),
                "artist_mbid": rng.choice([None, "", "mb1", "mb2"]),
                "artist_name": rng.choice(
                    ["Ann", "Ann feat. Bob", "Bob", "", None, "Unknown"]
                ),
                "duration": rng.choice([146.5, 0.0]),
                "artist_familiarity": rng.choice([0.0, 0.25, 0.5, float("nan")]),
                "artist_hotttnesss": rng.choice([0.0, 1.25, float("nan"), None]),
                "year": rng.choice([0, 1999, None]),
            }

    def songs_now(self, share: float) -> list[Record]:
        """Return an extract in random order, with duplicates and rows without an id."""
        rng = self.rng
        rows = [row for row in self.songs.values() if rng.random() < share]
        if rows:
            rows.append(rng.choice(rows))
            twin = song(99) | {"track_id": "TRTWIN", "artist_id": "ARTWIN"}
            rows += [twin, twin | {"title": "Another"}, twin | {"release": "Else"}]
            rows += [twin | {"track_id": None}, twin | {"track_id": ""}]
        rng.shuffle(rows)
        return rows

    # Sessions.

    def item(self) -> Record:
        """Generate a valid item."""
        rng = self.rng
        currency = rng.choice(CURRENCIES)
        price: object = rng.choice([0.99, 1.29, 2, 0.1, 12.5, 0, 0.0001, 999.99])
        if currency in ("JPY", "KRW", "IDR"):
            price = rng.choice([150, 1300.5, 90000, 2500000])
        liked = rng.random() < 0.3
        number = rng.randrange(30)
        return {
            "song_id": rng.choice(
                [
                    *[f"TR{number}"] * 5,
                    f"SO{number // 2}",
                    f"SO{number // 2}",
                    "unknown",
                ]
            ),
            "song_name": rng.choice(TEXTS),
            "artist_id": rng.choice(
                [f"AR{number % 9}", f"AR{number % 9}", None, "", "unknown"]
            ),
            "artist_name": rng.choice(["Ann", "Bob", "Zed", "Unknown", "", None]),
            "price": price,
            "currency": currency,
            "liked": liked,
            "liked_since": "2025-01-02T03:04:05.060708" if liked else None,
        }

    def session(self, name: str, day: date, *items: object) -> Record:
        """Generate a valid session of a day."""
        rng = self.rng
        moment = datetime.combine(
            day,
            rng.choice(
                [time(), time(2, 30), time(12, 0, 1, 500), time(23, 59, 59, 999999)]
            ),
        )
        start = rng.choice(
            [
                moment.isoformat(),
                moment.isoformat(timespec="microseconds"),
                f"{moment.isoformat()}Z",
                f"{moment + timedelta(hours=5, minutes=30)}+05:30",
                f"{(moment - timedelta(hours=5)).isoformat()}-05:00",
            ]
        )
        goods = [self.item() for _ in range(rng.randrange(4))]
        goods += rng.choices(goods, k=1) if goods and rng.random() < 0.2 else []
        mixed = [*goods, *items]
        rng.shuffle(mixed)
        return {
            "user_id": rng.choice([f"user{rng.randrange(40)}"] * 9 + ["unknown"]),
            "session_id": name,
            "session_items": mixed,
            "user_agent": rng.choice(AGENTS),
            "session_start_time": start,
        }

    def change_sessions(self, days: Sequence[date], share: float) -> None:
        """Add, change, move, damage, repair and revert sessions."""
        rng = self.rng
        for name, texts in self.sessions.items():
            if rng.random() < share:
                again = rng.choice(texts)
                new = self.session(name, rng.choice(days))
                texts.append(rng.choice([again, written(new, rng), written(new, rng)]))
        for damage in (*OF_SESSIONS, *[put()] * 15):
            name = self.name("session")
            record = damage(self.session(name, rng.choice(days)), rng)
            self.sessions[name] = [written(record, rng)]
        damages = [*OF_ITEMS]
        rng.shuffle(damages)
        while damages:
            bad = [damages.pop()(self.item(), rng) for _ in range(2) if damages]
            name = self.name("session")
            record = self.session(name, rng.choice(days), *bad)
            self.sessions[name] = [written(record, rng)]

    def sessions_now(self) -> list[bytes]:
        """Return all sessions in random order, with identical and other duplicates."""
        rng = self.rng
        texts = [each[-1] for each in self.sessions.values()]
        for text in rng.sample(texts, k=min(6, len(texts))):
            record = loads(text.decode())
            texts.append(text)
            if isinstance(record, dict) and not session_reasons(record):
                record["session_items"] = [self.item()]
                texts.append(written(record, rng))
        rng.shuffle(texts)
        return texts


# The lakehouse that lives through the histories, one after the other.


class Laboratory:
    """A lakehouse, its sources, and what was landed from them.

    Attributes:
        lakehouse: the lakehouse.
        counts: what was tried so far, over all histories.
        reasons: how many records were rejected so far, by reason.
        deliveries: what has landed since the beginning of the history.

    """

    def __init__(self, lakehouse: Lakehouse, lists: list[str]) -> None:
        """Begin with nothing but the ECB's file: its header, and a line per day."""
        self.lakehouse = lakehouse
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.deliveries: list[Delivery] = []
        self._lists = lists
        self._newest: dict[tuple[str, str], list[str]] = {}

    def begin(self) -> None:
        """Start a new history; keep only dbt's parsed project, which saves time."""
        for folder in ("landing", "lake", "serving"):
            shutil.rmtree(self.lakehouse.home / folder, ignore_errors=True)
        self.deliveries.clear()
        self._newest.clear()

    def publish_rates(self, last: str) -> None:
        """Publish the ECB's rates up to a day."""
        header, *lists = self._lists
        known = [line for line in lists if line[:10] <= last]
        self.lakehouse.rates.write_text("\n".join([header, *known]))

    def land(self, world: World, step: Step) -> None:
        """Land everything, and record the expected deliveries."""
        users, sessions = world.users_now(step.users), world.sessions_now()
        source = Records(users, sessions)
        songs = world.songs_now(step.songs)
        dsn, rates = self.lakehouse.postgres_dsn, str(self.lakehouse.rates)
        table = pa.Table.from_pylist(songs, postgres.SONGS_SCHEMA)
        postgres.load_songs(dsn, [table])
        with service.running(source, end_inclusive=step.end_inclusive) as api:
            at_home = Settings(self.lakehouse.home, api.url, dsn, rates)
            entities: tuple[str, ...] = ENTITIES
            for start, days in step.windows:
                plan = LandingPlan(
                    entities, start, start + days * DAY, 2, max_shrink=1.0
                )
                assert not run(at_home, plan).failed
                delivered: dict[str, list[str]] = {}
                for day in (start + number * DAY for number in range(days)):
                    end = day + (2 if step.end_inclusive else 1) * DAY
                    texts = [text.decode() for text in source.sessions(day, end)]
                    self._note("sessions", str(day), dict(enumerate(texts)))
                    delivered |= good_sessions(texts)
                last = self._last_sessions()
                assert delivered == {name: last[name] for name in delivered}
                entities = ("sessions",)
        decoded = (text.decode() for text in users)
        self._note("users", "all", dict(enumerate(decoded)))
        self._note("songs", "all", dict(enumerate(songs)))

    def _note(self, entity: str, window: str, records: Mapping[int, Any]) -> None:
        """Record what has landed; unchanged content does not land again."""
        noted = {delivery.batch_id for delivery in self.deliveries}
        folder = self.lakehouse.home / "landing" / entity
        new = [
            path.name.removeprefix("_batch_id=")
            for path in folder.glob(f"*_{window}_*")
            if path.name.removeprefix("_batch_id=") not in noted
        ]
        content = sorted(map(repr, records.values()))
        held = self._newest.get((entity, window))
        # A day that came as it was lands again if another has changed a session since.
        possible = (
            {0, 1} if entity == "sessions" and held == content else {held != content}
        )
        assert len(new) in possible, (entity, window)
        if new:
            self._newest[entity, window] = content
            self.deliveries.append(Delivery(entity, new[0], records))
            self.counts["records"] += len(records)

    def _last_sessions(self) -> dict[str, list[str]]:
        """Return the last delivery of each session, with its duplicates."""
        last: dict[str, list[str]] = {}
        for delivery in sorted(self.deliveries, key=lambda each: each.batch_id):
            if delivery.entity == "sessions":
                last |= good_sessions(delivery.records.values())
        return last

    def build(self, *arguments: str) -> None:
        """Build without dbt's tests."""
        self.lakehouse.build("--quiet", *WITHOUT_TESTS, *arguments)
        self.counts["builds"] += 1


def good_sessions(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return the texts of valid sessions by their ids."""
    found: dict[str, list[str]] = {}
    for text in sorted(texts):
        record = loads(text)
        if isinstance(record, dict) and not session_reasons(record):
            found.setdefault(record["session_id"], []).append(text)
    return found


@pytest.fixture(scope="module")
def laboratory(
    lakehouses: Callable[[Path], Lakehouse],
    tmp_path_factory: pytest.TempPathFactory,
    ecb_lists: list[str],
    proven: dict[str, str],
) -> Iterator[Laboratory]:
    """Return a laboratory that reports at the end what it tested."""
    rates = tmp_path_factory.mktemp("rates") / "eurofxref-hist.csv"
    header, *lists = ecb_lists
    kept = [line for line in lists if "2022-02-20" < line[:10] <= LAST_LISTS[-1]]
    made = Laboratory(lakehouses(rates), [header, *kept])
    yield made
    counts = made.counts
    proven["histories made up"] = f"{counts['histories']} in {counts['builds']} builds"
    proven["records tried in them"] = f"{counts['records']:,}"
    proven["of them rejected"] = ", ".join(
        f"{reason} {count:,}" for reason, count in sorted(made.reasons.items())
    )
    proven["materialized views refreshed by the feed"] = f"{counts['feeds']:,}"
    proven["purchases compared with the model"] = f"{counts['facts']:,}"
    proven["rows equal, grown in histories and built at once"] = (
        f"{counts['rows']:,} in {counts['tables']} tables"
    )


# What must hold after each build.


def check(laboratory: Laboratory) -> ReferenceModel:
    """Compare all tables with the reference model."""
    lakehouse = laboratory.lakehouse
    truth = ReferenceModel(laboratory.deliveries, Rates(lakehouse.rates))
    with lakehouse.lake() as connection:

        def rows(query: str) -> list[Record]:
            found = connection.sql(query)
            return [
                dict(zip(found.columns, row, strict=True)) for row in found.fetchall()
            ]

        # Staging's views read the landing zone.
        connection.execute("set timezone = 'UTC'")
        check_facts(truth, rows)
        check_sessions(truth, rows)
        check_rejected(truth, rows)
        check_staging_is_complete(truth, rows)
        check_counts(truth, rows)
        check_dimensions(truth, rows)
        check_materialized_views(laboratory, connection)
        check_landed_revenue(rows)
    laboratory.counts["facts"] += len(truth.facts())
    return truth


Rows = Callable[[str], list[Record]]


def check_facts(truth: ReferenceModel, rows: Rows) -> None:
    expected = truth.facts()
    found = {}
    for row in rows(
        """
        select
            session_id, item_number, fact.track_id, dim_artists.artist_id, user_id,
            valid_from, date, price, currency, liked, liked_since, session_start_time,
            fact.has_known_timezone,
            local_date, local_hour, fact._batch_id as batch_id, price_usd
        from marts.fact_order_items as fact
        left join marts.dim_songs using (song_key)
        left join marts.dim_artists on fact.artist_key = dim_artists.artist_key
        left join marts.dim_users using (user_key)
        left join marts.dim_date using (date_key)
        """
    ):
        key = row.pop("session_id"), row.pop("item_number")
        assert key not in found, f"{key} is there twice"
        found[key] = row
    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    for key, fact in expected.items():
        exact = fact.pop("price_usd")
        assert key in found, f"not sold: {key} {fact}"
        in_dollars = Fraction(found[key].pop("price_usd"))
        rounded = Fraction(1, 1_900_000) + Fraction(fact["price"]) / 10**12
        assert abs(in_dollars - exact) <= rounded, (key, fact, in_dollars)
        assert found[key] == fact, key
        revenue[fact["currency"]] += fact["price"]
    left = {key: fact for key, fact in found.items() if key not in expected}
    assert not left, f"sold, but should not be: {left}"
    assert revenue == {
        row["currency"]: row["revenue"]
        for row in rows(
            "select currency, sum(price) as revenue from marts.fact_order_items"
            " group by all"
        )
    }


def check_sessions(truth: ReferenceModel, rows: Rows) -> None:
    found = by_key(
        ("session_id",),
        rows(
            "select session_id, user_id, valid_from, date, device_type,"
            " operating_system, browser, item_count, fact.has_known_timezone,"
            " session_start_time, local_date, local_hour, fact._batch_id as batch_id"
            " from marts.fact_sessions as fact"
            " left join marts.dim_users using (user_key)"
            " left join marts.dim_date using (date_key)"
        ),
    )
    assert found == truth.session_rows()
    # The same device is at each purchase.
    assert not rows(
        "from marts.fact_order_items as item left join marts.fact_sessions as session"
        " using (session_id) select session_id"
        " where item.device_type is distinct from session.device_type"
        " or item.user_key is distinct from session.user_key"
    )


def check_rejected(truth: ReferenceModel, rows: Rows) -> None:
    expected = {
        where: verdict
        for where, verdict in truth.verdicts.items()
        if verdict.reasons - {"session_rejected"}
    }
    found = set()
    of_songs = []
    for row in rows("from quality.rejected_records"):
        if row["entity"] == "songs":
            of_songs.append((row["_batch_id"], row["rejection_reason"], row["payload"]))
            continue
        where = (
            *(row["entity"], row["_batch_id"], row["record_number"] - 1),
            row["item_number"],
        )
        assert where not in found
        found.add(where)
        assert where in truth.verdicts, row
        verdict = truth.verdicts[where]
        assert row["rejection_reason"] in verdict.reasons, (where, row, verdict)
        assert is_equivalent(verdict.record, loads(row["payload"])), (row, verdict)
    lost = {where: expected[where] for where in expected.keys() - found}
    assert not lost, f"rejected, but not kept: {lost}"
    wrong = found - expected.keys()
    assert not wrong, f"rejected, but good: {[truth.verdicts[each] for each in wrong]}"
    for batch_id, verdicts in truth.song_verdicts.items():
        payloads = [
            (reason, song_text(json.loads(payload)))
            for batch, reason, payload in of_songs
            if batch == batch_id
        ]
        for reason, text in payloads:
            assert any(
                reason in verdict.reasons and song_text(verdict.record) == text
                for verdict in verdicts
            ), (reason, text)
        keyless = [each for each in verdicts if "missing_key" in each.reasons]
        twins = [each for each in verdicts if "contradicting_twin" in each.reasons]
        assert len(payloads) == len(keyless) + max(len(twins) - 1, 0)


def song_text(row: Record) -> str:
    """Return a row of the catalogue as JSON text, without nulls and NaN."""
    kept = {
        name: value
        for name, value in row.items()
        if value is not None and value == value and str(value).lower() != "nan"
    }
    return json.dumps(canonical(kept), sort_keys=True)


def check_staging_is_complete(truth: ReferenceModel, rows: Rows) -> None:
    """Check that staging has every delivered record, loaded or rejected."""
    for entity, table, number in (
        ("users", "stg_api__users", "null"),
        ("sessions", "stg_api__sessions", "null"),
        ("session_items", "stg_api__session_items", "item_number"),
    ):
        staged = {
            (entity, row["_batch_id"], row["_position"], row["number"]): row["_payload"]
            for row in rows(
                f"select _batch_id, _position, {number}::int as number, _payload"  # noqa: S608
                f" from staging.{table}"
            )
        }
        verdicts = {
            where: verdict.record
            for where, verdict in truth.verdicts.items()
            if where[0] == entity
        }
        assert staged.keys() == verdicts.keys()
        for where, record in verdicts.items():
            kept = loads(staged[where])
            assert is_equivalent(record, kept), (where, record, kept)


def check_counts(truth: ReferenceModel, rows: Rows) -> None:
    landed: Counter[tuple[str, str]] = Counter()
    rejected: Counter[tuple[str, str]] = Counter()
    revenue: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (entity, batch_id, _, __), verdict in truth.verdicts.items():
        landed[entity, batch_id] += 1
        rejected[entity, batch_id] += bool(verdict.reasons)
        if entity == "session_items" and not verdict.reasons:
            currency = verdict.record["currency"].strip().upper()
            revenue[batch_id, currency] += Decimal(str(verdict.record["price"]))
    for batch_id, verdicts in truth.song_verdicts.items():
        twins = sum("contradicting_twin" in each.reasons for each in verdicts)
        landed["songs", batch_id] = len(verdicts)
        rejected["songs", batch_id] = sum(bool(each.reasons) for each in verdicts)
        rejected["songs", batch_id] -= bool(twins)
    seen = set()
    for row in rows("from quality.batch_reconciliation"):
        key = row["entity"], row["_batch_id"]
        seen.add(key)
        counts = (row["landed_count"], row["rejected_count"], row["missing_count"])
        assert row["loaded_count"] + row["rejected_count"] == row["landed_count"], row
        if row["entity"] != "exchange_rates":
            assert counts == (landed[key], rejected[key], 0), row
    assert seen >= landed.keys()
    loaded = {
        (row["_batch_id"], row["currency"]): row["loaded_revenue"]
        for row in rows("from quality.revenue_reconciliation")
        if row["loaded_revenue"] or row["missing_revenue"]
    }
    for key in loaded.keys() | revenue.keys():
        off = loaded.get(key, Decimal()) - revenue[key]
        assert abs(off) < Decimal("0.0002"), (key, loaded.get(key), revenue[key])


def by_key(names: Sequence[str], rows: list[Record]) -> dict[Any, Record]:
    """Return rows by their key columns, which must be unique."""
    found: dict[Any, Record] = {}
    for row in rows:
        values = tuple(row.pop(name) for name in names)
        key = values if len(values) > 1 else values[0]
        assert key not in found, f"{key} is there twice"
        found[key] = row
    return found


def check_dimensions(truth: ReferenceModel, rows: Rows) -> None:
    users = by_key(
        ("user_id", "valid_from"),
        rows(
            "select user_id, valid_from, user_name, user_lastname, place_name,"
            " country_code, timezone, has_known_timezone, latitude, longitude,"
            " user_since, valid_to,"
            " is_current, is_inferred from marts.dim_users"
        ),
    )
    for key, user in truth.user_rows().items():
        assert users.pop(key, None) == user, key
    assert all(row["is_inferred"] for row in users.values())
    buyers = {session.record["user_id"] for session in truth.sessions.values()}
    inferred = buyers - truth.users.keys()
    assert users.keys() == {(user_id, BEGINNING) for user_id in {UNKNOWN, *inferred}}

    songs = by_key(
        ("track_id",),
        rows(
            "select track_id, song_id, artist_id, song_title, release, duration, year,"
            " is_inferred from marts.dim_songs"
        ),
    )
    assert songs.pop(UNKNOWN)["is_inferred"]
    sold = {item["song_id"] for item in truth.sold}
    assert songs.keys() == truth.tracks.keys() | sold
    for track_id, row in songs.items():
        listed = truth.song_rows(track_id)
        if listed is not None:
            assert row in listed, track_id
        else:
            assert row["is_inferred"], track_id
            assert row["song_title"] == truth.title(track_id), track_id
            assert row["artist_id"] == truth.seller(track_id), track_id

    artists = by_key(
        ("artist_id",),
        rows(
            "select artist_id, artist_name, aliases, artist_mbid, artist_familiarity,"
            " artist_hotness, track_count, is_inferred from marts.dim_artists"
        ),
    )
    assert artists.pop(UNKNOWN)["is_inferred"]
    assert artists == truth.artist_rows()

    years = {
        moment.year
        for session in truth.sessions.values()
        if (moment := moment_of(session.record["session_start_time"]))
    }
    assert {row["year"] for row in rows("from marts.dim_date")} == (
        set(range(min(years), max(years) + 1)) if years else set()
    )


def check_landed_revenue(rows: Rows) -> None:
    of_files, remembered = "int_landed_revenue", "int_landed_revenue_by_batch"
    for one, other in ((of_files, remembered), (remembered, of_files)):
        query = f"from intermediate.{one} except all from intermediate.{other}"
        assert rows(query) == [], f"in {one} alone"


def check_materialized_views(
    laboratory: Laboratory, lake: duckdb.DuckDBPyConnection
) -> None:
    """Compare each materialized view, and its live variant, with its query."""
    assert differing_views(lake) == differing_views(lake, "_live") == {}
    methods = lake.execute("select method from operations.materialized_views")
    laboratory.counts["feeds"] += methods.fetchall().count(("feed",))


def live(laboratory: Laboratory, seed: int, steps: Sequence[Step]) -> ReferenceModel:
    """Run a history, and check the result after each build."""
    laboratory.begin()
    world = World(random.Random(seed))  # noqa: S311 - nothing is secret
    lists = sorted(step.rates for step in steps)
    for number, (step, rates) in enumerate(zip(steps, lists, strict=True)):
        laboratory.publish_rates(LAST_LISTS[rates])
        days = [
            start + n * DAY for start, length in step.windows for n in range(length)
        ]
        world.change_users(step.changes)
        world.change_songs(step.changes)
        world.change_sessions(days, step.changes)
        laboratory.land(world, step)
        laboratory.build()
        truth = check(laboratory)
        # The next build takes the feed wherever that gives the right answer.
        with laboratory.lakehouse.writing() as lake:
            lake.execute(
                "update lake.operations.materialized_views set recompute_seconds = 1e9"
            )
            if number % 2 == 0 and number < len(steps) - 1:
                # As a build does now and then, at its end. The next one has the lake
                # know again what its columns hold.
                lake.execute(
                    "call ducklake_rewrite_data_files('lake', delete_threshold => 0)"
                )
    with laboratory.lakehouse.lake() as connection:
        connection.execute("set timezone = 'UTC'")
        found = connection.execute(
            "select rejection_reason, count(*) from intermediate.int_landed_records"
            " where rejection_reason is not null group by all"
        )
        laboratory.reasons.update(dict(found.fetchall()))
    return truth


@settings(
    HISTORIES,
    deadline=None,
    database=None,
    # Those that are named below; the long mode, which draws at random, adds others.
    phases=[Phase.explicit, *([] if HISTORIES.derandomize else [Phase.generate])],
    suppress_health_check=[*HealthCheck],
)
@given(
    seed=st.integers(0, 2**32 - 1),
    steps=st.lists(STEPS, min_size=2, max_size=3),
)
@example(seed=11604, steps=[KUNA])
@example(seed=0, steps=[EXAMPLE, LATER, AGAIN])
def test_any_history_gives_the_star_that_is_right(
    laboratory: Laboratory, seed: int, steps: list[Step]
) -> None:
    live(laboratory, seed, steps)
    lakehouse = laboratory.lakehouse
    grown, snapshots = lakehouse.tables(*BUILT), commits(lakehouse)
    laboratory.build()
    assert commits(lakehouse) == snapshots
    laboratory.build("--full-refresh")
    made = lakehouse.tables(*BUILT)
    assert differences(grown, made) == {}
    laboratory.counts["histories"] += 1
    laboratory.counts["rows"] += sum(map(len, grown.values()))
    laboratory.counts["tables"] = len(grown)


def test_the_histories_hold_every_reason_of_rejection(laboratory: Laboratory) -> None:
    if not laboratory.deliveries:
        live(laboratory, 0, [EXAMPLE])
    with (PROJECT / "seeds" / "rejection_reasons.csv").open() as seed:
        known = {row["rejection_reason"] for row in csv.DictReader(seed)}
    # The loader refuses a bad list of rates.
    assert known - {"invalid_rate"} <= laboratory.reasons.keys()


def test_what_a_history_leaves_passes_all_tests_and_is_published(
    long_mode: None, laboratory: Laboratory
) -> None:
    if not laboratory.deliveries:
        live(laboratory, 0, [EXAMPLE])
    facts = ReferenceModel(
        laboratory.deliveries, Rates(laboratory.lakehouse.rates)
    ).facts()
    assert "Published" in laboratory.lakehouse.build()
    assert laboratory.lakehouse.published(
        "select count(*) from marts.fact_order_items"
    ) == [(len(facts),)]
