"""Generates made-up users, sessions and songs, of any size, reproducible by a seed.

More users sign up each year. They buy while they are active, and then stop for good.
In most of their sessions, they only listen and buy nothing. Each user has a favourite
genre and two favourite artists. All properties of a user or track are derived from a
hash of its number, and each day's sessions come from their own random streams. So a day
has the same records, whichever window is requested.

The data has the irregularities of the real sources; the constants below set how often.
"""

import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]

from demo_sources.columns import (
    DAY,
    Floats,
    Integers,
    codes,
    find_position,
    fixed_width,
    hashes,
    pick,
    timestamps,
    uniform,
    uuids,
)
from demo_sources.postgres import SONGS_SCHEMA
from demo_sources.reference_data import CURRENCIES, WHOLE_CURRENCIES, names, places

USERS_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("user_name", pa.string()),
        ("user_lastname", pa.string()),
        ("user_location", pa.list_(pa.string())),
        ("user_since", pa.string()),
    ]
)
"""A user of the API."""

ITEM_TYPE = pa.struct(
    [
        ("song_id", pa.string()),
        ("song_name", pa.string()),
        ("artist_id", pa.string()),
        ("artist_name", pa.string()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("liked", pa.bool_()),
        ("liked_since", pa.string()),
    ]
)
"""A purchased item of the API."""

SESSIONS_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("session_items", pa.list_(ITEM_TYPE)),
        ("user_agent", pa.string()),
        ("session_start_time", pa.string()),
    ]
)
"""A session of the API."""

EMPTY_SESSIONS = 0.6
"""Share of sessions without items, most of them visits in which users only listen."""
DUPLICATE_SESSIONS = 0.002
"""Share of sessions that are delivered twice in one answer."""
REPEATED_ITEMS = 0.004
"""Share of items with the same song as the item before."""
MISSING_TRACKS = 0.015
"""Share of tracks that the catalogue lacks at first; each revision halves it."""
MISSING_USERS = 0.005
"""Share of users that the API never lists."""
LATE_SIGN_UPS = 0.15
"""Share of users who may buy before they sign up."""
REVISED_SESSIONS = 0.02
"""Share of sessions with items whose items a revision changes."""
MOVED_USERS = 0.03
"""Share of users whose location a revision changes."""
RENAMED_USERS = 0.01
"""Share of users whose last name a revision changes."""
CORRECTED_SONGS = 0.01
"""Share of tracks whose year and title a revision corrects."""

_ITEMS_PER_SESSION = 3.0
_ABANDONED = 0.003  # share of the sessions other than visits that have no items either
_ITEMS_PER_USER = 16
_ITEMS_PER_TRACK = 4
_AT_MOST = 1_000_000  # users, and tracks
_CHUNK_ROWS = 1 << 16  # the most rows of one table
_GENRES = 1 / np.arange(2.0, 18.0)  # weights of 16 genres
_EARLY = 180  # days from the first sign-ups to the start
_YEAR = 365.25  # days
_MICROSECOND = timedelta(microseconds=1)
# Purchases by the hour of the buyer's clock: few at night, most in the evening.
_HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 8] + [9, 8, 8, 8, 9, 11] * 1)
_HOURS = np.concatenate([_HOURS, [13, 15, 16, 15, 11, 6]]).astype(float)
_SUFFIXES = pa.array(
    [""] * 54
    + [" (Album Version)", " (LP Version)", " (Live)", " (Remix)", " - Remastered"]
    + ["_ Pt. 2", "_ Op. 12_ No. 3: Allegro", " [Explicit]", " (Part 1/2)"]
    + ["\x1f"]  # the real catalogue has control characters, too
)

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Buyers:
    """The hidden properties of the users, by sign-up; arrays of shape (users,)."""

    since: Integers  # sign-up, in microseconds since 1970
    first: Integers  # day of the first possible purchase, as days since 1970
    churn: Integers  # day from which they buy nothing more, as days since 1970
    rate: Floats  # relative number of purchases while active
    like: Floats  # share of items that they like
    genre: Integers
    artists: Integers  # the two favourites, shape (users, 2)
    city: Integers  # where they live at first
    currency: Integers


@dataclass(frozen=True)
class _Tracks:
    """The tracks, sorted by genre and artist; arrays of shape (tracks,)."""

    artist: Integers
    running_total: Floats  # of the relative sales; begins with 0, so one more element
    artist_first: Integers  # first track of each artist, and the number of tracks
    genre_first: Integers  # first artist of each genre, and the number of artists
    dollars: Floats  # list price
    track_id: pa.Array
    title: pa.Array
    artist_id: pa.Array
    artist_name: pa.Array


class Generator:
    """The data of both sources; implements `demo_sources.service.Source`."""

    def __init__(
        self,
        *,
        seed: int = 1,
        items: int = 5_000,
        start: date = date(2023, 1, 1),
        end: date = date(2024, 1, 1),
        revision: int = 0,
        damage: float = 0.0,
    ) -> None:
        """Set the parameters of the data.

        Args:
            seed: another seed gives other data.
            items: the approximate number of items bought from start to end.
            start: the first day of sessions (UTC).
            end: the day after the last day.
            revision: how many times the sources have changed since. Each time, the
                items of some sessions change, some users move or change their last
                name, and in the catalogue some songs are corrected and some are added.
            damage: the share of JSON records that break the contract, 0 to 1.

        Raises:
            ValueError: the end is not after the start, or a number is out of range.

        """
        if start >= end or min(seed, items, revision) < 0 or not 0 <= damage <= 1:
            raise ValueError("The end must lie after the start, and numbers in range.")
        self.seed = seed
        self.items = items
        self.start = start
        self.end = end
        self.revision = revision
        self.damage = damage
        self.user_count = min(max(items // _ITEMS_PER_USER, 60), _AT_MOST)
        self.track_count = min(max(items // _ITEMS_PER_TRACK, 200), _AT_MOST)

    def at(self, revision: int) -> "Generator":
        """Return the same sources after they have changed so many times."""
        revised = copy.copy(self)
        revised.revision = revision
        return revised

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield as JSON the users with `user_since` in [start, end); None: no limit."""
        return self._records(self.user_tables(start, end), _damage_user)

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield as JSON the sessions that start in [start, end); None: no limit."""
        return self._records(self.session_tables(start, end), _damage_session)

    def user_tables(
        self, start: date | None = None, end: date | None = None
    ) -> Iterator[pa.Table]:
        """Yield the users with `user_since` in [start, end), in tables of bounded size.

        Args:
            start: first day (UTC); None for the first of all.
            end: day after the last; None for no end.

        Yields:
            Tables of `USERS_SCHEMA`, unsorted.

        """
        since = self._buyers.since
        first = 0 if start is None else np.searchsorted(since, _days(start) * DAY)
        last = len(since) if end is None else np.searchsorted(since, _days(end) * DAY)
        for low in range(int(first), int(last), _CHUNK_ROWS):
            index = np.arange(low, min(low + _CHUNK_ROWS, int(last)))
            index = index[uniform(self.seed, "missing", index) >= MISSING_USERS]
            yield self._user_table(np.random.default_rng(self.seed).permutation(index))

    def session_tables(
        self, start: date | None = None, end: date | None = None
    ) -> Iterator[pa.Table]:
        """Yield the sessions that start in [start, end), in tables of bounded size.

        Args:
            start: first day (UTC); None for the first of all.
            end: day after the last; None for no end.

        Yields:
            Tables of `SESSIONS_SCHEMA`, each of one day, unsorted.

        """
        low = max(start or self.start, self.start)
        high = min(end or self.end, self.end)
        for number in range((high - low).days):
            yield from self._day(low + timedelta(days=number))

    def song_tables(self) -> Iterator[pa.Table]:
        """Yield the rows of `deftunes.songs`, in tables of bounded size.

        Yields:
            Tables of `demo_sources.postgres.SONGS_SCHEMA`.

        """
        share = MISSING_TRACKS / 2**self.revision
        for low in range(0, self.track_count, _CHUNK_ROWS):
            index = np.arange(low, min(low + _CHUNK_ROWS, self.track_count))
            index = index[uniform(self.seed, "unlisted", index) >= share]
            yield self._song_table(index)

    def truth(self) -> pa.Table:
        """Return the hidden properties that a model could learn: one row per user.

        Returns:
            Columns user_id, genre (number), artist_ids (the two favourites),
            churned_on (the day from which they buy nothing more; null if that is after
            the end).

        """
        buyers = self._buyers
        churn = pa.array(buyers.churn, mask=buyers.churn >= _days(self.end))
        ids = codes(self.seed, "AR", buyers.artists.ravel())
        return pa.table(
            {
                "user_id": self._user_ids,
                "genre": buyers.genre,
                "artist_ids": pa.ListArray.from_arrays(
                    np.arange(0, 2 * len(buyers.genre) + 1, 2, dtype=np.int32), ids
                ),
                "churned_on": churn.cast(pa.int32()).cast(pa.date32()),
            }
        )

    def genres(self) -> pa.Table:
        """Return the hidden genre of each artist: columns artist_id and genre."""
        first = self._tracks.genre_first
        return pa.table(
            {
                "artist_id": codes(self.seed, "AR", np.arange(first[-1])),
                "genre": np.repeat(np.arange(len(_GENRES)), np.diff(first)),
            }
        )

    @cached_property
    def _user_ids(self) -> pa.Array:
        return uuids(self.seed, "user", np.arange(self.user_count))

    @cached_property
    def _buyers(self) -> _Buyers:
        """Generate the users."""
        index, tracks = np.arange(self.user_count), self._tracks

        def at(purpose: str) -> Floats:
            return uniform(self.seed, purpose, index)

        # Sign-ups grow by 50 % per year. Users are numbered in the order of sign-up.
        begin = _days(self.start) - _EARLY
        span = _days(self.end) - begin
        growth = np.log(1.5) / _YEAR
        along = (index + at("sign-up")) / self.user_count
        since = begin + np.log1p(along * np.expm1(growth * span)) / growth
        lag = np.where(
            at("late") < LATE_SIGN_UPS,
            -20 * _exponential(at("lag")) - 0.5,
            15 * _exponential(at("lag")),
        )
        # Keener users buy more, like more and stay longer. A quarter never leaves.
        keenness = _bell(at("keenness 1"), at("keenness 2"))
        life = 200 * np.exp(0.8 * keenness) * _exponential(at("life")) + 20
        life[at("loyal") < 0.25] = 100 * _YEAR
        first = (since + lag).astype(np.int64)
        genre = pick(_GENRES, at("genre"))
        low = tracks.running_total[tracks.artist_first[tracks.genre_first[genre]]]
        high = tracks.running_total[tracks.artist_first[tracks.genre_first[genre + 1]]]
        favourites = [
            tracks.artist[
                self._track_at_total(low + (high - low) * at(f"artist {number}"))
            ]
            for number in (1, 2)
        ]
        city = pick(places().weights, at("city"))
        return _Buyers(
            since=(since * DAY).astype(np.int64),
            first=first,
            churn=first + life.astype(np.int64),
            rate=np.exp(0.8 * keenness),
            like=1 / (1 + np.exp(1.2 - 0.7 * keenness)),
            genre=genre,
            artists=np.stack(favourites, axis=1),
            city=city,
            # Some pay in dollars, independent of their country.
            currency=np.where(at("dollars") < 0.15, 0, places().currency[city]),
        )

    @cached_property
    def _tracks(self) -> _Tracks:
        """Generate the artists and their tracks; some sell far more than others."""
        rng = np.random.default_rng([self.seed, 1])
        tracks, artists = self.track_count, int(self.track_count * 0.4)
        fame = (rng.permutation(artists) + 4.0) ** -0.9
        spread = np.sqrt(fame)
        counts = 1 + rng.multinomial(tracks - artists, spread / spread.sum())
        artist = np.repeat(np.arange(artists), counts)
        artist_first = np.concatenate([[0], np.cumsum(counts)])
        index = np.arange(tracks)
        rank = index - artist_first[artist] + 1
        running_total = np.concatenate([[0.0], np.cumsum(fame[artist] * rank**-0.7)])
        genre_first = np.concatenate([[0], np.cumsum(_GENRES / _GENRES.sum())])
        return _Tracks(
            artist=artist,
            running_total=running_total,
            artist_first=artist_first,
            genre_first=np.rint(genre_first * artists).astype(np.int64),
            dollars=0.49 + np.floor(uniform(self.seed, "price", index) * 151) / 100,
            track_id=codes(self.seed, "TR", index),
            title=self._titles(artist, index),
            artist_id=codes(self.seed, "AR", artist),
            artist_name=self._credited_names(artist, index),
        )

    def _track_at_total(self, amount: Floats) -> Integers:
        """Return the track for each point of the running total of sales."""
        return find_position(self._tracks.running_total[1:], amount)

    def _pooled(
        self, pool: pa.Array, purpose: str, locale: Integers, index: Integers
    ) -> pa.Array:
        """Return a text from the locale's pool for each index."""
        size = names().size
        drawn = hashes(self.seed, purpose, index) % np.uint64(size)
        return pool.take(pa.array(locale * size + drawn.astype(np.int64)))

    def _singer_locale(self, artist: Integers) -> Integers:
        return pick(names().singers, uniform(self.seed, "locale", artist))

    def _titles(self, artist: Integers, index: Integers) -> pa.Array:
        """Generate titles in the artist's language, with irregular endings."""
        locale, words = self._singer_locale(artist), names().words
        form = uniform(self.seed, "title", index)
        second = pc.binary_join_element_wise(
            pa.array([" ", "_ "]).take(pa.array((form > 0.9).astype(np.int8))),
            self._pooled(words, "word 2", locale, index),
            "",
        )
        suffix = hashes(self.seed, "suffix", index) % np.uint64(len(_SUFFIXES))
        title = pc.binary_join_element_wise(
            self._pooled(words, "word 1", locale, index),
            pc.if_else(form > 0.25, second, ""),
            _SUFFIXES.take(pa.array(suffix)),
            "",
        )
        return pc.if_else(form < 0.002, "", title)

    def _credited_names(self, artist: Integers, index: Integers) -> pa.Array:
        """Generate the artist's name as each track writes it."""
        form = uniform(self.seed, "credit", index)
        name = self._artist_names(artist)
        guest = self._artist_names(np.roll(artist, 7))
        joint = pa.array([" feat. ", " & "]).take(pa.array((form < 0.01).astype(int)))
        name = pc.if_else(
            form < 0.03, pc.binary_join_element_wise(name, guest, joint), name
        )
        name = pc.if_else(form > 0.99, pc.utf8_upper(name), name)
        return pc.if_else(
            (form > 0.98) & (form <= 0.99),
            pc.utf8_slice_codeunits(name, 0, stop=-1),
            name,
        )

    def _artist_names(self, artist: Integers) -> pa.Array:
        """Generate names of people and bands; a few artists share a name."""
        artist = artist - (uniform(self.seed, "namesake", artist) < 0.01)
        locale, pools = self._singer_locale(artist), names()
        form = uniform(self.seed, "name", artist)
        person = pc.binary_join_element_wise(
            self._pooled(pools.first, "first", locale, artist),
            self._pooled(pools.last, "last", locale, artist),
            " ",
        )
        band = pc.binary_join_element_wise(
            pa.array(["", "The ", "DJ "]).take(pa.array(pick([6, 3, 1], form))),
            self._pooled(pools.words, "band 1", locale, artist),
            pa.array([" ", " & ", "_ "]).take(pa.array(pick([7, 2, 1], form * 97 % 1))),
            self._pooled(pools.words, "band 2", locale, artist),
            "",
        )
        return pc.if_else(uniform(self.seed, "person", artist) < 0.6, person, band)

    def _user_table(self, index: Integers) -> pa.Table:
        buyers, pools = self._buyers, names()
        city = buyers.city[index]
        locale = places().locale[city]
        last_name = self._pooled(pools.last, "user last", locale, index)
        for revision in range(1, self.revision + 1):
            moved = uniform(self.seed, f"moved {revision}", index) < MOVED_USERS
            where = uniform(self.seed, f"city {revision}", index[moved])
            city[moved] = pick(places().weights, where)
            last_name = pc.if_else(
                uniform(self.seed, f"renamed {revision}", index) < RENAMED_USERS,
                self._pooled(pools.last, f"user last {revision}", locale, index),
                last_name,
            )
        fields = (city[:, None] * 5 + np.arange(5)).ravel()
        return pa.Table.from_arrays(
            [
                self._user_ids.take(pa.array(index)),
                self._pooled(pools.first, "user first", locale, index),
                last_name,
                pa.ListArray.from_arrays(
                    np.arange(0, len(fields) + 1, 5, dtype=np.int32),
                    places().fields.take(pa.array(fields)),
                ),
                fixed_width(timestamps(buyers.since[index])),
            ],
            schema=USERS_SCHEMA,
        )

    def _song_table(self, index: Integers) -> pa.Table:
        tracks, rows = self._tracks, pa.array(index)
        artist = tracks.artist[index]

        def at(purpose: str) -> Floats:
            return uniform(self.seed, purpose, index)

        # Most tracks of an artist have the same scores for it, some differ.
        drift = np.where(at("drift") < 0.1, 0.05 * at("drifted"), 0.0)
        familiarity = 0.2 + 0.7 * uniform(self.seed, "familiarity", artist) - drift
        hotness = 0.7 * uniform(self.seed, "hotness", artist) ** 0.7 + drift
        hotness[uniform(self.seed, "cold", artist) < 0.1] = 0.0
        hotness[at("unrated") < 0.01] = np.nan
        known = uniform(self.seed, "mbid", artist)
        mbid = pc.if_else(known < 0.7, uuids(self.seed, "mbid", artist), "")
        mbid = pc.if_else(known < 0.85, mbid, pa.scalar(None, pa.string()))
        year = np.where(at("dated") < 0.5, 0, 2011 - 60 * at("year") ** 2.5)
        title = tracks.title.take(rows)
        for revision in range(1, self.revision + 1):
            corrected = at(f"corrected {revision}") < CORRECTED_SONGS
            year[corrected] = 2011 - 60 * at(f"year {revision}")[corrected] ** 2.5
            # Without its ending, such as "(Live)".
            plain = pc.replace_substring_regex(title, r"(_| -| [(\[]).*", "")
            title = pc.if_else(corrected, plain, title)
        covered = at("covered") < 0.03
        values = {
            "track_id": tracks.track_id.take(rows),
            "title": title,
            # Some songs have two tracks.
            "song_id": codes(self.seed, "SO", index - (at("again") < 0.01)),
            "release": self._pooled(
                names().words, "release", self._singer_locale(artist), index // 8
            ),
            "artist_id": tracks.artist_id.take(rows),
            "artist_mbid": mbid,
            "artist_name": tracks.artist_name.take(rows),
            "duration": np.rint(1e5 * 230 * np.exp(_bell(at("a"), at("b")) / 2)) / 1e5,
            "artist_familiarity": familiarity,
            "artist_hotttnesss": hotness,
            "year": year,
            "track_7digitalid": 1e5 + 9e6 * at("7digital"),
            "shs_perf": np.where(covered, 3e5 * at("performance"), -1.0),
            "shs_work": np.where(covered, 1e5 * at("work"), 0.0),
        }
        return pa.Table.from_arrays(
            [
                values[column.name]
                if pa.types.is_string(column.type)
                else pa.array(np.asarray(values[column.name])).cast(
                    column.type, safe=False
                )
                for column in SONGS_SCHEMA
            ],
            schema=SONGS_SCHEMA,
        )

    @cached_property
    def _sessions_before(self) -> Integers:
        """The number of sessions, without visits, before each day and in total."""
        days = np.arange(_days(self.start), _days(self.end))
        moments = days.astype("datetime64[D]")
        month = moments.astype("datetime64[M]").astype(int) % 12
        weekday = (days + 3) % 7  # 1970-01-01 was a Thursday
        weights = (
            1.4 ** ((days - days[0]) / _YEAR)
            * np.array([0.9, 0.95, 1, 1, 1, 1.05, 1, 0.95, 1, 1, 1.15, 1.5])[month]
            * np.array([0.9, 0.9, 0.95, 1, 1.15, 1.35, 1.2])[weekday]
        )
        running_total = np.concatenate([[0.0], np.cumsum(weights)])
        wanted = self.items / _ITEMS_PER_SESSION / (1 - _ABANDONED)
        sessions: Floats = np.rint(running_total * wanted / running_total[-1])
        return sessions.astype(np.int64)

    def _day(self, day: date) -> Iterator[pa.Table]:
        """Yield the sessions of a day."""
        number, buyers = _days(day), self._buyers
        position = number - _days(self.start)
        sessions = self._sessions_before[position : position + 2]
        visits = sessions * (EMPTY_SESSIONS - _ABANDONED) / (1 - EMPTY_SESSIONS)
        active = (buyers.first <= number) & (number < buyers.churn)
        # Users who are about to leave buy less in their last weeks.
        waning = buyers.churn - number <= 28
        rate = np.cumsum(buyers.rate * active * np.where(waning, 0.35, 1.0))
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=timezone.utc)
        clocks = [
            noon.astimezone(zone).replace(tzinfo=timezone.utc)
            for zone in places().zones
        ]
        offsets = np.array([(clock - noon) // _MICROSECOND for clock in clocks])
        # Visits have random streams of their own, so their number does not change what
        # is bought.
        for (low, high), purpose, kind in (
            (sessions, "session", []),
            (np.rint(visits), "visit", [2]),
        ):
            for first in range(int(low), int(high), _CHUNK_ROWS):
                index = np.arange(first, min(first + _CHUNK_ROWS, int(high)))
                size, stream = len(index), [*kind, number, first]
                rng = np.random.default_rng([self.seed, *stream])
                buyer = find_position(rate, rng.random(size) * rate[-1])
                clock = (pick(_HOURS, rng.random(size)) + rng.random(size)) / 24
                zone = places().zone[buyers.city[buyer]]
                local = (clock * DAY).astype(int)
                moment = number * DAY + (local - offsets[zone]) % DAY
                ids = uuids(self.seed, purpose, index)
                share = 1.0 if purpose == "visit" else _ABANDONED
                yield self._session_table(ids, buyer, moment, share, rng, stream)

    def _session_table(
        self,
        ids: pa.Array,
        buyer: Integers,
        moment: Integers,
        empty: float,
        rng: np.random.Generator,
        stream: list[int],
    ) -> pa.Table:
        """Generate sessions with their items.

        Args:
            ids: the sessions' ids, shape (n,).
            buyer: the users' numbers, shape (n,).
            moment: when they start, microseconds since 1970, shape (n,).
            empty: the share of them without items.
            rng: the day's random stream.
            stream: the seeds of the revisions' random streams, besides the seed.

        """
        buyers, tracks = self._buyers, self._tracks
        count = rng.geometric(1 / _ITEMS_PER_SESSION, len(ids)).clip(max=40)
        count[rng.random(len(ids)) < empty] = 0
        row = np.repeat(np.arange(len(ids)), count)
        who = buyer[row]
        # A quarter of the items is by a favourite artist, half is of the favourite
        # genre.
        taste = rng.random(len(row))
        artist = buyers.artists[who, rng.integers(0, 2, len(row))]
        genre = tracks.genre_first[buyers.genre[who]]
        genre_end = tracks.genre_first[buyers.genre[who] + 1]
        artists = len(tracks.artist_first) - 1
        low = np.select([taste < 0.25, taste < 0.75], [artist, genre], 0)
        high = np.select([taste < 0.25, taste < 0.75], [artist + 1, genre_end], artists)
        begin = tracks.running_total[tracks.artist_first[low]]
        span = tracks.running_total[tracks.artist_first[high]] - begin
        track = self._track_at_total(begin + span * rng.random(len(row)))
        again = np.flatnonzero(rng.random(len(row)) < REPEATED_ITEMS)
        again = again[(again > 0) & (row[again] == row[again - 1])]
        track[again] = track[again - 1]
        # Items of their favourite artist or genre are liked more often.
        liked = rng.random(len(row)) < buyers.like[who] * np.where(taste < 0.75, 1, 0.6)
        wait = (rng.exponential(120 * DAY, len(row))).astype(np.int64)
        factor = np.ones(len(row))
        for revision in range(1, self.revision + 1):
            again_rng = np.random.default_rng([self.seed, *stream, revision])
            chosen, added, cheaper = _revise(row, len(ids), again_rng)
            row, track, liked = row[chosen], track[chosen], liked[chosen] & ~added
            wait, factor = wait[chosen], np.where(cheaper, 0.8, factor[chosen])
            track[added] = again_rng.integers(0, self.track_count, added.sum())
        who = buyer[row]
        scale = np.array([1.0 if c in WHOLE_CURRENCIES else 100.0 for c in CURRENCIES])
        money = buyers.currency[who]
        local = np.array(list(CURRENCIES.values()))[money] * tracks.dollars[track]
        price = np.rint(local * factor * scale[money]) / scale[money]
        bought = pa.array(track)
        items = pa.StructArray.from_arrays(
            [
                tracks.track_id.take(bought),
                tracks.title.take(bought),
                tracks.artist_id.take(bought),
                tracks.artist_name.take(bought),
                pa.array(price),
                pa.array(list(CURRENCIES)).take(pa.array(money)),
                pa.array(liked),
                fixed_width(timestamps((moment[row] + wait)[liked]), liked),
            ],
            fields=list(ITEM_TYPE),
        )
        ends = np.cumsum(np.bincount(row, minlength=len(ids)))
        agents = names().agents
        device = hashes(self.seed, "device", buyer) + (rng.random(len(ids)) < 0.25)
        table = pa.Table.from_arrays(
            [
                self._user_ids.take(pa.array(buyer)),
                ids,
                pa.ListArray.from_arrays(np.append(0, ends).astype(np.int32), items),
                agents.take(pa.array(device % np.uint64(len(agents)))),
                fixed_width(timestamps(moment)),
            ],
            schema=SESSIONS_SCHEMA,
        )
        duplicates = np.flatnonzero(rng.random(len(ids)) < DUPLICATE_SESSIONS)
        return pa.concat_tables([table, table.take(pa.array(duplicates))])

    def _records(
        self,
        tables: Iterator[pa.Table],
        damage: Callable[[dict[str, Any], int], dict[str, Any]],
    ) -> Iterator[bytes | dict[str, Any]]:
        """Yield the rows as JSON, some of them damaged."""
        limit = int(self.damage * 2**32)
        with duckdb.connect() as connection:
            for table in tables:
                for low in range(0, table.num_rows, 1 << 13):
                    connection.register("piece", table.slice(low, 1 << 13))
                    connection.execute(
                        "select cast(to_json(piece) as varchar) from piece"
                    )
                    for (text,) in connection.fetchall():
                        record = text.encode()
                        random_number = zlib.crc32(record, self.seed & 0xFFFFFFFF)
                        if random_number < limit:
                            yield damage(msgspec.json.decode(record), random_number)
                        else:
                            yield record


def _days(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _exponential(at: Floats) -> Floats:
    """Map uniform numbers in [0, 1) to the exponential distribution of mean 1."""
    return -np.log1p(-at)


def _bell(a: Floats, b: Floats) -> Floats:
    """Map uniform numbers in [0, 1) to the standard normal one (Box-Muller)."""
    return np.sqrt(2 * _exponential(a)) * np.cos(2 * np.pi * b)


def _revise(
    row: Integers, sessions: int, rng: np.random.Generator
) -> tuple[Integers, Flags, Flags]:
    """Choose the items that a revision adds, removes or makes cheaper.

    Args:
        row: the session of each item, shape (items,), ascending.
        sessions: the number of sessions.
        rng: the revision's random stream.

    Returns:
        For each item after the revision: its index before the revision, whether it is
        an added copy (which gets another song), and whether it becomes cheaper.

    """
    change = np.where(
        rng.random(sessions) < REVISED_SESSIONS, rng.integers(1, 4, sessions), 0
    )[row]
    is_last = np.append(row[1:] != row[:-1], True)[: len(row)]
    is_only = is_last & np.append(True, is_last[:-1])[: len(row)]
    copies = np.where(is_last & (change == 1), 2, 1)
    copies[is_last & ~is_only & (change == 2)] = 0
    chosen = np.repeat(np.arange(len(row)), copies)
    added = np.append(False, chosen[1:] == chosen[:-1])[: len(chosen)]
    return chosen, added, (is_last & (change == 3))[chosen]


def _damage_user(user: dict[str, Any], random_number: int) -> dict[str, Any]:
    """Damage a user; the random number chooses how."""
    return (
        user
        | (
            {"user_location": user["user_location"][:4]},
            {"user_id": None},
            {"user_since": "yesterday"},
            {"user_email": "nobody@example.com"},
        )[random_number % 4]
    )


def _damage_session(session: dict[str, Any], random_number: int) -> dict[str, Any]:
    """Damage a session; the random number chooses how."""
    items = session["session_items"]
    if items and random_number % 9 < 6:
        price = items[0]["price"]
        items[0] = (
            items[0] | {"price": -price},
            items[0] | {"price": str(price)},
            items[0] | {"price": None},
            items[0] | {"currency": "XXX"},
            items[0] | {"gift": True},
            items[0]["song_id"],
        )[random_number % 9]
        return session
    return (
        session
        | (
            {"session_start_time": "soon"},
            {"user_id": None},
            {"voucher": "SPRING"},
        )[random_number % 3]
    )
