"""Hand-written records: late sign-ups, moves, and irregularities of real sources."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from conftest import WITHOUT_TESTS, Lakehouse, copy_of_project, song
from deftunes.settings import PROJECT
from demo_sources import postgres
from demo_sources.service import Records
from test_pipeline import BUILT, Truth, differences

NOW = datetime.now(timezone.utc).replace(tzinfo=None)
LATER = NOW.replace(hour=20, minute=30, second=0) + timedelta(days=2)
AT_NIGHT = "2023-03-10T23:30:00.000001"


def item(track_id: str, price: object = 1.25, **more: object) -> dict[str, Any]:
    """Return a purchased item."""
    return {
        "song_id": track_id,
        "song_name": f"Song {track_id}",
        "artist_id": "ARODD0000000000001",
        "artist_name": "Odd One",
        "price": price,
        "currency": "USD",
        "liked": False,
        "liked_since": None,
    } | more


def session(name: str, user_id: str, start: str, *items: object) -> dict[str, Any]:
    """Return a session."""
    return {
        "user_id": user_id,
        "session_id": name,
        "session_items": [*items],
        "user_agent": "Opera/8.77.(X11; Linux x86_64; lb-LU) Presto/2.9.170",
        "session_start_time": start,
    }


def user(user_id: str, *location: str) -> dict[str, Any]:
    """Return a user who signed up after buying."""
    return {
        "user_id": user_id,
        "user_name": "Zoë",
        "user_lastname": "O'Neil",
        "user_location": [*location],
        "user_since": "2023-06-01T00:00:00.000000",
    }


LISBON = ("38.71667", "-9.13333", "Lisbon", "PT", "Europe/Lisbon")
TOKYO = ("35.6895", "139.69171", "Tokyo", "JP", "Asia/Tokyo")
PARIS = ("48.85341", "2.3488", "Paris", "FR", "Europe/Paris")
PARIS_AGAIN = ("48.85341", "2.3488", "Paris", " fr", "europe/paris")
ROME = ("41.89193", "12.51133", "Rome", "IT ", "Europe/Rome ")
LATE = item("TRLATE000000000001", artist_id="ARLATE000000000001")
MANY_NAMES = "ARMANY000000000001"

SESSIONS = [
    session("late", "comes-later", AT_NIGHT, LATE),
    session("empty", "stays-unknown", "2023-03-11T00:00:00"),
    session(
        "odd",
        "stays-unknown",
        "2023-03-12T12:00:00.500000",
        item("TR0000000000000000", 0.1),
        item("TR0000000000000000", 0.2),  # the same song again
        item("SO0000000000000001", 150, currency="JPY"),  # by its song id
        item("TRGONE000000000001", "1.00"),  # rejected, its place stays its own
        item(
            "TR0000000000000002",
            1.7,
            artist_id=MANY_NAMES,
            liked=True,
            liked_since="2025-01-02T03:04:05.060708",
            gift=True,
        ),
    ),
    session(
        "precise",
        "roman",
        AT_NIGHT,
        *(
            item("TR0000000000000000", price)
            for price in (1.2345, 1.23456, 0.00005, 1e-9, 899.9999, 0.1 + 0.2)
        ),
    ),
    session("odd", "stays-unknown", "soon"),
    "no session",
]
SONGS = [
    song(0) | {"title": "", "year": 0},
    song(1) | {"title": "\x1f", "year": 1999},
    song(2) | {"artist_id": MANY_NAMES, "artist_name": "Ann"},
    song(3) | {"artist_id": MANY_NAMES, "artist_name": "Ann feat. Bob"},
    song(4) | {"artist_id": MANY_NAMES, "artist_name": "Ann feat. Bob"},
    song(5) | {"artist_id": MANY_NAMES, "artist_name": "Bob"},
    song(6) | {"artist_id": MANY_NAMES, "artist_name": "Ann"},
]
LISTED_LATER = song(7) | {
    "track_id": LATE["song_id"],
    "artist_id": LATE["artist_id"],
    "title": "Later",
}


@dataclass(frozen=True)
class Ages:
    """What the star said at three times: few known, all known, one has moved.

    The last build had other names of countries: Portugal's, and none for Italy.
    """

    lakehouse: Lakehouse
    project: Path
    sales: list[dict[tuple[str, int], dict[str, Any]]]


_SALE = """
select
    session_id, item_number, fact_key, user_key, song_key, price, price_usd,
    liked_since, local_date, local_hour, artist_name, song_title, year, place_name,
    dim_songs.is_inferred as song_is_inferred,
    dim_users.is_inferred as user_is_inferred, dim_users.valid_from, country_name,
    country_code, timezone, fact.has_known_timezone
from marts.fact_order_items as fact
inner join marts.dim_users using (user_key)
inner join marts.dim_songs using (song_key)
inner join marts.dim_artists on fact.artist_key = dim_artists.artist_key
"""


@pytest.fixture(scope="session")
def ages(
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Ages:
    """Land hand-written records three times, with a build each time."""
    lakehouse = lakehouses(rates)
    project = copy_of_project(tmp_path_factory)
    countries = (project / "seeds" / "countries.csv").read_text()
    renamed = countries.replace("PT,Portugal", "PT,Lusitania").replace("IT,Italy\n", "")
    assert len(renamed) < len(countries)
    (project / "seeds" / "countries.csv").write_text(renamed)
    sales = []
    new = session("new", "comes-later", LATER.isoformat(), LATE)
    for users, songs, sessions, days, built in (
        ([], SONGS, SESSIONS, (date(2023, 3, 10), date(2023, 3, 13)), PROJECT),
        (
            [
                user("comes-later", *LISBON),
                user("stays", *LISBON),
                user("parisian", *PARIS),
                user("roman", *ROME),
            ],
            [*SONGS, LISTED_LATER],
            SESSIONS,
            (date(2023, 3, 10), date(2023, 3, 11)),
            PROJECT,
        ),
        (
            [
                user("comes-later", *TOKYO),
                user("stays", *LISBON),
                user("parisian", *PARIS_AGAIN),
                user("roman", *ROME),
            ],
            [*SONGS, LISTED_LATER],
            [*SESSIONS, new],
            (LATER.date(), LATER.date() + timedelta(days=1)),
            project,
        ),
    ):
        table = pa.Table.from_pylist(songs, postgres.SONGS_SCHEMA)
        lakehouse.land(Records(users, sessions), [table], *days)
        done = lakehouse.dbt("build", *WITHOUT_TESTS, project=built)
        assert done.returncode == 0, done.stdout
        with lakehouse.lake() as connection:
            rows = connection.sql(_SALE).to_arrow_table().to_pylist()
        sales.append({(row["session_id"], row["item_number"]): row for row in rows})
    return Ages(lakehouse, project, sales)


def test_who_and_what_is_known_late_keeps_its_keys(ages: Ages) -> None:
    unknown, known, _ = (sales["late", 1] for sales in ages.sales)
    assert (unknown["user_is_inferred"], known["user_is_inferred"]) == (True, False)
    assert (unknown["song_is_inferred"], known["song_is_inferred"]) == (True, False)
    for key in ("user_key", "song_key", "fact_key", "price"):
        assert unknown[key] == known[key]
    assert (unknown["place_name"], known["place_name"]) == (None, "Lisbon")
    assert unknown["song_title"] == "Song TRLATE000000000001"
    assert known["song_title"] == "Later"
    assert known["artist_name"] == "一青窈"


def test_a_purchase_keeps_the_version_of_its_buyer(ages: Ages) -> None:
    sales = ages.sales[2]
    old, new = sales["late", 1], sales["new", 1]
    assert (old["place_name"], new["place_name"]) == ("Lisbon", "Tokyo")
    assert old["user_key"] == ages.sales[0]["late", 1]["user_key"] != new["user_key"]
    assert old["valid_from"] == datetime(1900, 1, 1)
    assert NOW < new["valid_from"] < LATER
    # Half past eleven at night in Lisbon, early morning in Tokyo.
    assert (old["local_date"], old["local_hour"]) == (date(2023, 3, 10), 23)
    assert (new["local_date"], new["local_hour"]) == (
        LATER.date() + timedelta(days=1),
        5,
    )


def test_the_oddities_of_the_real_sources_come_out_right(
    ages: Ages, rates: Path
) -> None:
    sales = ages.sales[2]
    assert sorted(number for name, number in sales if name == "odd") == [1, 2, 3, 5]
    first, second, by_song_id, liked = (sales["odd", number] for number in (1, 2, 3, 5))
    assert (first["price"], second["price"]) == (Decimal("0.1"), Decimal("0.2"))
    assert first["song_key"] == second["song_key"]
    assert (first["song_title"], first["year"]) == ("", None)
    assert (by_song_id["song_title"], by_song_id["year"]) == ("\x1f", 1999)
    assert not by_song_id["song_is_inferred"]
    # A Sunday: Friday's rates.
    yen = Truth.by(rates).converter.convert(
        Decimal(150), "JPY", "USD", date(2023, 3, 10)
    )
    assert abs(by_song_id["price_usd"] - yen) < Decimal("0.000001")
    assert liked["liked_since"] == datetime(2025, 1, 2, 3, 4, 5, 60708)
    assert liked["artist_name"] == "Ann"  # as often as "Ann feat. Bob", but shorter
    assert first["user_is_inferred"]
    assert first["local_hour"] == 12


def test_a_price_is_sold_as_it_was_delivered_or_not_at_all(ages: Ages) -> None:
    for sales in ages.sales:
        prices = {
            key[1]: row["price"] for key, row in sales.items() if "precise" in key
        }
        assert prices == {1: Decimal("1.2345"), 5: Decimal("899.9999")}
    with ages.lakehouse.lake() as connection:
        rows = connection.execute(
            "select distinct item_number, payload from quality.rejected_records"
            " where rejection_reason = 'price_too_precise'"
        ).fetchall()
    kept = {number: json.loads(payload)["price"] for number, payload in rows}
    assert kept == {2: 1.23456, 3: 0.00005, 4: 1e-9, 6: 0.1 + 0.2}


def test_codes_are_folded_and_guessed_local_times_are_marked(ages: Ages) -> None:
    inferred, roman, _ = (sales["precise", 1] for sales in ages.sales)
    # Half past eleven at night (UTC) is half past midnight in Rome.
    assert (inferred["has_known_timezone"], inferred["local_hour"]) == (False, 23)
    assert (roman["has_known_timezone"], roman["local_hour"]) == (True, 0)
    assert (roman["country_code"], roman["timezone"]) == ("IT", "Europe/Rome")
    assert roman["country_name"] == "Italy"
    with ages.lakehouse.lake() as connection:
        versions = connection.execute(
            "select country_code, country_name, timezone, has_known_timezone"
            " from marts.dim_users where user_id = 'parisian'"
        ).fetchall()
    # Another spelling is no version.
    assert versions == [("FR", "France", "Europe/Paris", True)]


def test_the_names_of_the_countries_are_those_of_the_seed(ages: Ages) -> None:
    with ages.lakehouse.lake() as connection:
        users = connection.execute(
            "select user_id, country_name, has_known_country from marts.dim_users"
            " where user_id in ('stays', 'roman')"
        ).fetchall()
    assert sorted(users) == [("roman", "Unknown", False), ("stays", "Lusitania", True)]


def test_what_was_rejected_is_kept_whole_with_a_reason(ages: Ages) -> None:
    with ages.lakehouse.lake() as connection:
        rows = connection.execute(
            "select entity, rejection_reason, payload from quality.rejected_records"
        ).fetchall()
    # A record without a day is in every day's answer.
    reasons = {(entity, reason) for entity, reason, _ in rows}
    assert reasons == {
        ("sessions", "unparsable_timestamp"),
        ("sessions", "not_an_object"),
        ("session_items", "price_not_a_number"),
        ("session_items", "price_too_precise"),
    }
    payloads = {reason: payload for _, reason, payload in rows}
    assert json.loads(payloads["not_an_object"]) == "no session"
    assert json.loads(payloads["price_not_a_number"]) == item(
        "TRGONE000000000001", "1.00"
    )


def test_history_follows_from_the_landing_zone_alone(
    long_mode: None, ages: Ages, lakehouses: Callable[[Path], Lakehouse]
) -> None:
    other = replace(ages.lakehouse, home=lakehouses(ages.lakehouse.rates).home)
    shutil.copytree(ages.lakehouse.home / "landing", other.home / "landing")
    built = other.dbt("build", *WITHOUT_TESTS, project=ages.project)
    assert built.returncode == 0, built.stdout
    assert differences(ages.lakehouse.tables(*BUILT), other.tables(*BUILT)) == {}


def test_a_corrected_exchange_rate_restates_revenue(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, tmp_path: Path
) -> None:
    lists = tmp_path / rates.name
    header, *lines = rates.read_text().splitlines()
    known = [header, *(line for line in lines if line[:10] <= "2023-03-03")]
    lists.write_text("\n".join(known))
    euros, dollars = item("TR1", 10, currency="EUR"), item("TR1", 10)
    sessions = [
        session("early", "u", "2023-03-01T12:00:00", euros, dollars),
        session("corrected", "u", "2023-03-02T12:00:00", euros, dollars),
        session("provisional", "u", "2023-03-04T12:00:00", euros),
    ]
    lakehouse = lakehouses(lists)

    def build() -> dict[tuple[str, int], Decimal]:
        table = pa.Table.from_pylist(SONGS, postgres.SONGS_SCHEMA)
        days = (date(2023, 3, 1), date(2023, 3, 5))
        lakehouse.land(Records([user("u", *LISBON)], sessions), [table], *days)
        lakehouse.build(*WITHOUT_TESTS)
        with lakehouse.lake() as connection:
            rows = connection.execute(
                "select session_id, item_number, price_usd from marts.fact_order_items"
            ).fetchall()
        return {(name, number): price for name, number, price in rows}

    before = build()
    # The dollar's column is the first one.
    day, dollar, rest = known[2].split(",", 2)
    assert day == "2023-03-02"
    known[2] = f"{day},2.5,{rest}"
    lists.write_text("\n".join(known))
    after = build()
    assert after.pop(("corrected", 1)) == Decimal(25)
    assert before.pop(("corrected", 1)) == 10 * Decimal(dollar)
    assert after == before
    with lakehouse.lake() as connection:
        reported = connection.execute(
            "select revenue_usd, batch_ids, exchange_rates_batch_id"
            " from snapshots.revenue_per_day_reported"
            " where date = '2023-03-02' order by dbt_valid_from"
        ).fetchall()
    (first, batches, first_list), (second, same_batches, second_list) = reported
    assert (first, second) == (10 * Decimal(dollar) + 10, Decimal(35))
    assert batches == same_batches
    assert first_list < second_list
    # A rate holds for a week at most, so these days have none now.
    without = [line for line in lines if not "2023-02-21" <= line[:10] <= "2023-03-05"]
    lists.write_text("\n".join([header, *without]))
    assert build().keys() == {("early", 2), ("corrected", 2)}
    grown = lakehouse.tables(*BUILT)
    lakehouse.build(*WITHOUT_TESTS, "--full-refresh")
    assert differences(grown, lakehouse.tables(*BUILT)) == {}
