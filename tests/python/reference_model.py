"""A reference model: the expected tables after a series of deliveries, in plain Python.

It implements the design and the definitions of the rejection reasons, independent of
the models' SQL. It computes everything from all deliveries each time: that is slow, but
simple and easy to check.
"""

import csv
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

BEGINNING, END = datetime(1900, 1, 1), datetime(9999, 12, 31)
UNKNOWN = ""
SESSION_TEXTS = ("session_id", "user_id", "user_agent", "session_start_time")
USER_TEXTS = ("user_id", "user_name", "user_lastname", "user_since")
ITEM_TEXTS = (
    *("song_id", "song_name", "artist_id", "artist_name", "currency", "liked_since"),
)

DEVICES = {
    "Opera/8.77.(X11; Linux x86_64)": {
        "device_type": "Desktop",
        "operating_system": "Linux",
        "browser": "Opera",
    },
    "": dict.fromkeys(("device_type", "operating_system", "browser"), "Unknown"),
}
"""The devices of the user agents in the tests, by how these begin."""

_FIRST_DAY, _LAST_DAY = date(2000, 1, 1), date(2099, 12, 31)
_HIGHEST_USD = 1000
_ZONES = {name.lower(): name for name in available_timezones()}
_CARRY, _CARRY_AT_END = timedelta(days=7), timedelta(days=366)
_DEEP_PRICE = 900 * 10**9
"""A price that is higher than the highest price, whatever its currency."""

_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)"
    r"(Z|[+-]\d\d(?::\d\d)?)?)?"
)

Where = tuple[str, str, int, int | None]
"""Entity, batch, position, and number of the item if it is one."""


@dataclass(frozen=True)
class Delivery:
    """A batch that landed.

    Attributes:
        entity: users, sessions or songs.
        batch_id: its id; ids sort by time.
        records: the records by their positions in the answer: JSON texts from the API,
            rows from Postgres.

    """

    entity: str
    batch_id: str
    records: Mapping[int, Any]

    @property
    def moment(self) -> datetime:
        """When it was fetched (UTC)."""
        return datetime.strptime(self.batch_id.split("_")[0], "%Y%m%dT%H%M%S%fZ")


@dataclass(frozen=True)
class Verdict:
    """The expected result for a record.

    Attributes:
        record: the record as delivered.
        reasons: the possible rejection reasons; if there are none, it is loaded.

    """

    record: Any
    reasons: frozenset[str]


@dataclass(frozen=True)
class Version:
    """A version of a user, with the time from which it is valid."""

    record: dict[str, Any]
    batch_id: str
    valid_from: datetime


@dataclass(frozen=True)
class SoldSession:
    """The version of a session that is loaded: its last delivery."""

    record: dict[str, Any]
    batch_id: str
    position: int


class Rates:
    """The exchange rates in the ECB's file."""

    def __init__(self, file: Path) -> None:
        """Read the file."""
        self._published: dict[str, dict[date, Fraction]] = defaultdict(dict)
        with file.open() as lines:
            for row in csv.DictReader(lines):
                day = date.fromisoformat(row.pop("Date"))
                for currency, rate in row.items():
                    if currency and rate not in ("", "N/A"):
                        self._published[currency][day] = Fraction(rate)
        self.last = max(self._published["USD"])

    def usd(self, currency: str, day: date) -> Fraction | None:
        """Return the US dollars for one unit, or None without a rate on that day."""
        if currency == "USD":
            return Fraction(1)
        dollars, units = self._per_euro("USD", day), self._per_euro(currency, day)
        return None if dollars is None or units is None else dollars / units

    def _per_euro(self, currency: str, day: date) -> Fraction | None:
        if currency == "EUR":
            return Fraction(1)
        days = [each for each in self._published.get(currency, ()) if each <= day]
        if not days:
            return None
        newest = max(days)
        carry = _CARRY_AT_END if newest == self.last else _CARRY
        return self._published[currency][newest] if day - newest <= carry else None


class ReferenceModel:
    """The expected content of the lakehouse.

    Attributes:
        verdicts: for every record, and every item of a readable session.
        users: the versions of each user, oldest first.
        sessions: the loaded version of each session.
        tracks: the possible rows of each track of the catalogue; only one, unless there
            are conflicting duplicates.
        sold: all items that were ever delivered, superseded or not, that are valid
            except for their exchange rate or their price in US dollars.
        song_verdicts: for every row of a song, by batch.

    """

    def __init__(self, deliveries: Iterable[Delivery], rates: Rates) -> None:
        """Compute it from everything that has landed and the latest rates."""
        self.rates = rates
        self.verdicts: dict[Where, Verdict] = {}
        self.users: dict[str, list[Version]] = {}
        self.sessions: dict[str, SoldSession] = {}
        self.tracks: dict[str, list[dict[str, Any]]] = {}
        self.sold: list[dict[str, Any]] = []
        self.song_verdicts: dict[str, list[Verdict]] = {}
        add = {
            "users": self._add_users,
            "sessions": self._add_sessions,
            "songs": self._add_songs,
        }
        for delivery in sorted(deliveries, key=lambda each: each.batch_id):
            add[delivery.entity](delivery)

    def _checked(
        self, delivery: Delivery, key: str, check: Callable[[Any], frozenset[str]]
    ) -> Iterable[tuple[int, Any, frozenset[str]]]:
        """Yield position, record and rejection reasons; also detects duplicates."""
        firsts: dict[str, Any] = {}
        for position, text in sorted(delivery.records.items()):
            record = loads(text)
            reasons = check(record)
            if not reasons:
                first = firsts.setdefault(record[key], normalized(record))
                if first != normalized(record):
                    reasons = frozenset({"contradicting_twin"})
            where = (delivery.entity, delivery.batch_id, position, None)
            self.verdicts[where] = Verdict(record, reasons)
            yield position, record, reasons

    def _add_users(self, delivery: Delivery) -> None:
        for _, record, reasons in self._checked(delivery, "user_id", user_reasons):
            if reasons:
                continue
            versions = self.users.setdefault(record["user_id"], [])
            if not versions:
                versions.append(Version(record, delivery.batch_id, BEGINNING))
            elif normalized(versions[-1].record) != normalized(record):
                versions.append(Version(record, delivery.batch_id, delivery.moment))

    def _add_sessions(self, delivery: Delivery) -> None:
        checked = self._checked(delivery, "session_id", session_reasons)
        for position, record, reasons in checked:
            for number, item in items_of(record):
                where = ("session_items", delivery.batch_id, position, number)
                of_item = (
                    frozenset({"session_rejected"})
                    if reasons
                    else item_reasons(item, day_of(record), self.rates)
                )
                self.verdicts[where] = Verdict(item, of_item)
                if of_item <= {"no_exchange_rate", "absurd_price"} and (
                    item["price"] < _DEEP_PRICE
                ):
                    self.sold.append(item)
            if reasons:
                continue
            loaded = self.sessions.get(record["session_id"])
            if loaded is None or canonical(loaded.record) != canonical(record):
                self.sessions[record["session_id"]] = SoldSession(
                    record, delivery.batch_id, position
                )

    def _add_songs(self, delivery: Delivery) -> None:
        verdicts = self.song_verdicts.setdefault(delivery.batch_id, [])
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in delivery.records.values():
            if row["track_id"]:
                rows[row["track_id"]].append(row)
            else:
                verdicts.append(Verdict(row, frozenset({"missing_key"})))
        for track_id, duplicates in rows.items():
            contents = Counter(repr(row) for row in duplicates)
            reasons = ["contradicting_twin"] if len(contents) > 1 else []
            verdicts += [Verdict(row, frozenset(reasons)) for row in duplicates]
            self.tracks[track_id] = duplicates

    def facts(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Return the purchases by session and item number."""
        facts = {}
        for session_id, session in self.sessions.items():
            moment = moment_of(session.record["session_start_time"])
            assert moment is not None
            user_id = session.record["user_id"]
            version = self.version(user_id, moment)
            local = local_time(moment, version)
            for number, item in items_of(session.record):
                where = ("session_items", session.batch_id, session.position, number)
                if self.verdicts[where].reasons:
                    continue
                currency = code_of(item["currency"])
                rate = self.rates.usd(currency, moment.date())
                assert rate is not None
                facts[session_id, number] = {
                    "track_id": item["song_id"],
                    "artist_id": item.get("artist_id") or UNKNOWN,
                    "user_id": user_id,
                    "valid_from": version.valid_from if version else BEGINNING,
                    "date": moment.date(),
                    "price": price_of(item),
                    "currency": currency,
                    "liked": item.get("liked"),
                    "has_known_timezone": zone_of(version) is not None,
                    "liked_since": moment_of(item.get("liked_since")),
                    "session_start_time": moment,
                    "local_date": local.date(),
                    "local_hour": local.hour,
                    "batch_id": session.batch_id,
                    "price_usd": Fraction(price_of(item)) * rate,
                }
        return facts

    def session_rows(self) -> dict[str, dict[str, Any]]:
        """Return the sessions by id, also those without items."""
        rows = {}
        for session_id, session in self.sessions.items():
            moment = moment_of(session.record["session_start_time"])
            assert moment is not None
            version = self.version(session.record["user_id"], moment)
            local = local_time(moment, version)
            agent = session.record.get("user_agent") or ""
            rows[session_id] = {
                "user_id": session.record["user_id"],
                "valid_from": version.valid_from if version else BEGINNING,
                "date": moment.date(),
                **next(DEVICES[text] for text in DEVICES if agent.startswith(text)),
                "item_count": len(session.record["session_items"]),
                "has_known_timezone": zone_of(version) is not None,
                "session_start_time": moment,
                "local_date": local.date(),
                "local_hour": local.hour,
                "batch_id": session.batch_id,
            }
        return rows

    def version(self, user_id: str, moment: datetime) -> Version | None:
        """Return the version of a user at a time; None if the user is unknown."""
        versions = [
            version
            for version in self.users.get(user_id, [])
            if version.valid_from <= moment
        ]
        return versions[-1] if versions else None

    def user_rows(self) -> dict[tuple[str, datetime], dict[str, Any]]:
        """Return the known versions by user and start."""
        rows = {}
        for user_id, versions in self.users.items():
            ends = [*(each.valid_from for each in versions[1:]), END]
            for version, end in zip(versions, ends, strict=True):
                record = version.record
                place = normalized_location(record["user_location"])
                rows[user_id, version.valid_from] = {
                    "user_name": record.get("user_name"),
                    "user_lastname": record.get("user_lastname"),
                    "place_name": place[2],
                    "country_code": place[3],
                    "timezone": place[4],
                    "has_known_timezone": place[4] in _ZONES.values(),
                    "latitude": coordinate(place[0], 90),
                    "longitude": coordinate(place[1], 180),
                    "user_since": moment_of(record.get("user_since")),
                    "valid_to": end,
                    "is_current": end == END,
                    "is_inferred": False,
                }
        return rows

    def song_rows(self, track_id: str) -> list[dict[str, Any]] | None:
        """Return the possible rows of a song; None if the catalogue lacks it.

        Args:
            track_id: the id that the song is sold under, or its song_id.

        """
        rows = self.tracks.get(track_id)
        if rows is None:
            tracks = [
                track
                for track, duplicates in self.tracks.items()
                if duplicates[0]["song_id"] == track_id
            ]
            if not tracks:
                return None
            rows = self.tracks[min(tracks)]
        return [
            {
                "song_id": row["song_id"],
                "artist_id": row["artist_id"] or self.seller(track_id),
                "song_title": row["title"],
                "release": row["release"],
                "duration": row["duration"],
                "year": row["year"] or None,
                "is_inferred": False,
            }
            for row in rows
        ]

    def seller(self, track_id: str) -> str | None:
        """Return the artist in a song's items; the smallest if there are several."""
        return _first(
            item.get("artist_id")
            for item in self.sold
            if item["song_id"] == track_id and item.get("artist_id")
        )

    def title(self, track_id: str) -> str | None:
        """Return the title in a song's items; the smallest if there are several."""
        return _first(
            item.get("song_name") for item in self.sold if item["song_id"] == track_id
        )

    def artist_rows(self) -> dict[str, dict[str, Any]]:
        """Return the artists of the catalogue and of the items."""
        sold: dict[str, list[str | None]] = defaultdict(list)
        for item in self.sold:
            if item.get("artist_id"):
                sold[item["artist_id"]].append(item.get("artist_name") or None)
        songs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for rows in self.tracks.values():
            # Conflicting duplicates of a song differ in other columns only.
            if rows[0]["artist_id"]:
                songs[rows[0]["artist_id"]].append(rows[0])
        found = {}
        for artist_id in songs.keys() | sold.keys():
            rows = songs[artist_id]
            names = Counter(row["artist_name"] for row in rows if row["artist_name"])
            ids = Counter(row["artist_mbid"] for row in rows if row["artist_mbid"])
            ranked = sorted(names, key=lambda name: (-names[name], len(name), name))
            found[artist_id] = {
                "artist_name": ranked[0]
                if ranked
                else _first(sold[artist_id]) or "Unknown",
                "aliases": sorted(ranked[1:]),
                "artist_mbid": min(ids, key=lambda each: (-ids[each], each))
                if ids
                else None,
                "artist_familiarity": _maximum(rows, "artist_familiarity"),
                "artist_hotness": _maximum(rows, "artist_hotttnesss"),
                "track_count": len(rows),
                "is_inferred": not rows,
            }
        return found


def _first(texts: Iterable[str | None]) -> str | None:
    return min((text for text in texts if text is not None), default=None)


def _maximum(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    return max(
        (row[name] for row in rows if row[name] and not math.isnan(row[name])),
        default=None,
    )


def loads(text: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON; the value of a key that occurs twice is a `DuplicateKey`."""

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(key for key, _ in members)
        return {
            key: DuplicateKey() if counts[key] > 1 else value for key, value in members
        }

    return json.loads(
        text,
        object_pairs_hook=pairs,
        parse_float=_parse_number,
        parse_int=_parse_number,
    )


def _parse_number(text: str) -> float | int | Decimal:
    """Parse a number as an int or float; as a Decimal if a float would round it."""
    number = Decimal(text)
    rounded = float(text)
    if math.isfinite(rounded) and Decimal(repr(rounded)) != number:
        return number
    return int(text) if re.fullmatch(r"-?\d+", text) else rounded


class DuplicateKey:
    """The ambiguous value of a key that occurs twice."""

    def __eq__(self, other: object) -> bool:
        """Return whether the other is one too: all of them are equal."""
        return isinstance(other, DuplicateKey)

    __hash__ = None  # type: ignore[assignment]


def canonical(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the normal form of a value: without nulls, and with 1 equal to 1.0."""
    if isinstance(value, dict):
        return {
            key: canonical(member)
            for key, member in value.items()
            if member is not None
        }
    if isinstance(value, list):
        return [canonical(member) for member in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value  # a Decimal is kept, since all of its digits matter
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    return number if math.isfinite(number) else json.dumps(number)


def is_equivalent(delivered: Any, kept: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a kept record has the whole content of the delivered one.

    Fields that the schema lacks may be in `_rescued`, a malformed item may be in its
    `_payload`, and text that is not strict JSON may be kept as a string.
    """
    if canonical(delivered) == canonical(kept):
        return True
    if isinstance(delivered, dict) and isinstance(kept, dict):
        if isinstance(kept.get("_payload"), str) and "_payload" not in delivered:
            return is_equivalent(delivered, loads(kept["_payload"]))
        kept = dict(kept)
        rescued = kept.pop("_rescued", None)
        if rescued is not None:
            kept |= loads(rescued)
        one, other = canonical(delivered), canonical(kept)
        return one.keys() == other.keys() and all(
            is_equivalent(one[key], other[key]) for key in one
        )
    if isinstance(delivered, list) and isinstance(kept, list):
        return len(delivered) == len(kept) and all(map(is_equivalent, delivered, kept))
    if isinstance(kept, dict) and isinstance(kept.get("_payload"), str):
        return is_equivalent(delivered, loads(kept["_payload"]))
    try:
        return isinstance(kept, str) and canonical(delivered) == canonical(loads(kept))
    except ValueError:
        return False


def moment_of(text: Any) -> datetime | None:  # noqa: ANN401 - any JSON
    """Parse an ISO 8601 timestamp as UTC; None if it is not valid."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    day, time, zone = match.groups()
    zone = (zone or "Z").replace("Z", "+00:00")
    if len(zone) == 3:
        zone += ":00"
    try:
        moment = datetime.fromisoformat(f"{day}T{_padded(time or '00:00:00')}{zone}")
        return moment.astimezone(timezone.utc).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _padded(time: str) -> str:
    """Return a time with seconds and six decimals."""
    time = time if time.count(":") == 2 else f"{time}:00"
    whole, _, fraction = time.partition(".")
    return f"{whole}.{fraction[:6]:0<6}"


def day_of(session: Mapping[str, Any]) -> date:
    """Return the day (UTC) of a valid session."""
    moment = moment_of(session["session_start_time"])
    assert moment is not None
    return moment.date()


def items_of(session: Any) -> list[tuple[int, Any]]:  # noqa: ANN401 - any JSON
    """Return the items of a readable session, numbered from 1."""
    if not isinstance(session, dict) or _has_wrong_types(session):
        return []
    return list(enumerate(session.get("session_items") or [], 1))


def code_of(text: str) -> str:
    """Return the normal form of the code of a currency or country."""
    return text.strip(" ").upper()


def price_of(item: Mapping[str, Any]) -> Decimal:
    """Return the price of an item, a number, as it was delivered."""
    return Decimal(str(item["price"]))


def coordinate(text: str, limit: int) -> Decimal | None:
    """Parse degrees; None if they are not valid coordinates."""
    if not re.fullmatch(r"[0-9+\-.eE ]*", text):
        return None
    try:
        degrees = Decimal(text.strip())
    except ArithmeticError:
        return None
    if not degrees.is_finite() or abs(degrees) > limit:
        return None
    return degrees.quantize(Decimal("0.000001"), ROUND_HALF_UP)


def local_time(moment: datetime, version: Version | None) -> datetime:
    """Return the local time of a user; UTC if the time zone is unknown."""
    zone = zone_of(version)
    if zone is None:
        return moment
    return moment.replace(tzinfo=timezone.utc).astimezone(zone)


def zone_of(version: Version | None) -> ZoneInfo | None:
    """Return the time zone of a user; None if it is unknown."""
    if version is None:
        return None
    name = normalized_location(version.record["user_location"])[4]
    return ZoneInfo(name) if name in _ZONES.values() else None


def normalized_location(place: Sequence[str]) -> list[str]:
    """Return a valid location with its country and time zone in their normal form."""
    *rest, country, zone = place
    return [*rest, code_of(country), _ZONES.get(zone.strip(" ").lower(), zone)]


def normalized(record: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return the normal form of a valid record."""
    place = record.get("user_location")
    if place is not None:
        record = {**record, "user_location": normalized_location(place)}
    return canonical(record)


def user_reasons(user: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON
    """Return why a user may be rejected."""
    if not isinstance(user, dict):
        return frozenset({"not_an_object"})
    place = user.get("user_location")
    if not (
        all(_is_text(user.get(name)) for name in USER_TEXTS)
        and (
            place is None
            or (
                isinstance(place, list)
                and all(part is not None and _is_text(part) for part in place)
            )
        )
    ):
        return frozenset({"wrong_type"})
    reasons = set()
    texts = [*(user.get(name) for name in USER_TEXTS), *(place or [])]
    if any("\0" in text for text in texts if text):
        reasons.add("nul_character")
    if not user.get("user_id"):
        reasons.add("missing_key")
    if (
        place is None
        or len(place) != 5
        or coordinate(place[0], 90) is None
        or coordinate(place[1], 180) is None
    ):
        reasons.add("malformed_location")
    if user.get("user_since") is not None and moment_of(user["user_since"]) is None:
        reasons.add("unparsable_timestamp")
    return frozenset(reasons)


def session_reasons(session: Any) -> frozenset[str]:  # noqa: ANN401 - any JSON
    """Return why a session may be rejected."""
    if not isinstance(session, dict):
        return frozenset({"not_an_object"})
    if _has_wrong_types(session):
        return frozenset({"wrong_type"})
    reasons = set()
    if any("\0" in (session.get(name) or "") for name in SESSION_TEXTS):
        reasons.add("nul_character")
    if not session.get("session_id") or not session.get("user_id"):
        reasons.add("missing_key")
    start = session.get("session_start_time")
    moment = moment_of(start)
    if start is None:
        reasons.add("missing_timestamp")
    elif moment is None:
        reasons.add("unparsable_timestamp")
        if start.strip("-") in ("infinity", "epoch") or start[:4] == "0000":
            reasons.add("timestamp_out_of_range")
    elif not _FIRST_DAY <= moment.date() <= _LAST_DAY:
        reasons.add("timestamp_out_of_range")
    if session.get("session_items") is None:
        reasons.add("missing_items")
    return frozenset(reasons)


def _has_wrong_types(session: Mapping[str, Any]) -> bool:
    return not all(_is_text(session.get(name)) for name in SESSION_TEXTS) or not (
        isinstance(session.get("session_items"), list | None)
    )


def item_reasons(item: Any, day: date, rates: Rates) -> frozenset[str]:  # noqa: ANN401
    """Return why an item of a valid session may be rejected."""
    if not isinstance(item, dict):
        return frozenset({"not_an_object"})
    price, liked = item.get("price"), item.get("liked")
    has_wrong_types = not (
        all(_is_text(item.get(name)) for name in ITEM_TEXTS)
        and isinstance(liked, bool | None)
        and (price is None or _is_number(price))
    )
    if has_wrong_types:
        reasons = {"wrong_type"}
        if price is not None and not _is_number(price):
            reasons.add("price_not_a_number")
        return frozenset(reasons)
    number = canonical(price)
    if isinstance(number, str):
        return frozenset({"wrong_type", "price_not_a_number", "absurd_price"})
    reasons = set()
    if any("\0" in (item.get(name) or "") for name in ITEM_TEXTS):
        reasons.add("nul_character")
    if not item.get("song_id"):
        reasons.add("missing_key")
    if number is None:
        reasons.add("missing_price")
    elif number < 0:
        reasons.add("negative_price")
    currency = code_of(item.get("currency") or "")
    if not currency:
        reasons.add("missing_currency")
    rate = rates.usd(currency, day)
    if rate is None and currency:
        reasons.add("no_exchange_rate")
    if number is not None and not _has_four_decimals(price_of(item)):
        reasons.add("price_too_precise")
    if number is not None and (
        number >= _DEEP_PRICE
        or (rate is not None and Fraction(price_of(item)) * rate > _HIGHEST_USD)
    ):
        reasons.add("absurd_price")
    if item.get("liked_since") is not None and moment_of(item["liked_since"]) is None:
        reasons.add("unparsable_timestamp")
    return frozenset(reasons)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - any JSON
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _has_four_decimals(price: Decimal) -> bool:
    """Return whether a price has at most four decimals, without trailing zeros."""
    return (Fraction(price) * 10_000).denominator == 1


def _is_text(value: Any) -> bool:  # noqa: ANN401 - any JSON
    """Return whether a value is null, or a text that UTF-8 can encode."""
    if value is None:
        return True
    return isinstance(value, str) and not re.search("[\ud800-\udfff]", value)
