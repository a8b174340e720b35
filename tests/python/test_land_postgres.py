"""Songs are read completely from a real Postgres, also if the schema has changed."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from deftunes.landing import postgres
from deftunes.landing.loader import LandingPlan, run
from deftunes.settings import Settings
from demo_sources.postgres import connected
from test_land import plan

Landed = Callable[[str], list[dict[str, Any]]]
MakeSettings = Callable[..., Settings]

SONGS: LandingPlan = plan("songs")


def change(dsn: str, *statements: str) -> None:
    """Run statements in the database."""
    with connected(dsn) as connection:
        for statement in statements:
            connection.execute("call postgres_execute('sources', ?)", [statement])


def updates(column: str, values: dict[int, str]) -> list[str]:
    """Return the statements that set a column of songs, by number, to SQL values."""
    update = f"update deftunes.songs set {column} = "  # noqa: S608 - our own values
    return [
        f"{update}{value} where track_7digitalid = {number}"
        for number, value in values.items()
    ]


def test_every_value_survives(
    settings: MakeSettings, landed: Landed, songs_dsn: str
) -> None:
    run(settings(postgres_dsn=songs_dsn), SONGS)
    rows = sorted(landed("songs"), key=lambda row: str(row["track_id"]))
    assert [row["track_7digitalid"] for row in rows] == [0, 1, 2]
    row = rows[0]
    assert (row["title"], row["release"]) == ("Världen_ É Din", "")
    assert (row["artist_mbid"], row["artist_name"]) == (None, "一青窈")
    assert (row["duration"], row["year"], row["shs_perf"]) == (146.5, 0, -1)
    assert math.isnan(row["artist_hotttnesss"])
    assert row["_rescued"] is row["_payload"] is None


def test_unknown_columns_are_rescued(
    settings: MakeSettings, landed: Landed, songs_dsn: str
) -> None:
    change(
        songs_dsn,
        'alter table deftunes.songs add "the ""label""" text default $$o\'k$$',
        "alter table deftunes.songs add tags text[] default '{a,b}'",
    )
    run(settings(postgres_dsn=songs_dsn), SONGS)
    for row in landed("songs"):
        assert json.loads(row["_rescued"]) == {'the "label"': "o'k", "tags": ["a", "b"]}
        assert row["_payload"] is None
        assert row["duration"] == 146.5


@pytest.mark.parametrize(
    ("column", "kind", "bad", "kept"),
    [
        ("year", "text", "'unknown'", "unknown"),
        ("year", "numeric(8, 2)", "1999.5", 1999.5),
        ("year", "double precision", "1999.5", 1999.5),
        ("year", "bigint", "3000000000", 3000000000),
        ("duration", "text", "'2:26'", "2:26"),
        ("duration", "double precision", "1e300", 1e300),
    ],
)
def test_a_value_that_cannot_be_cast_keeps_its_row_as_text(
    settings: MakeSettings,
    landed: Landed,
    songs_dsn: str,
    column: str,
    kind: str,
    bad: str,
    kept: object,
) -> None:
    change(
        songs_dsn,
        "update deftunes.songs set artist_hotttnesss = 0.5",
        f"alter table deftunes.songs alter {column} type {kind}",
        *updates(column, {1: bad, 2: "null"}),
    )
    summary = run(settings(postgres_dsn=songs_dsn), SONGS)
    assert [window.malformed for window in summary.landed["songs"]] == [1]
    rows = landed("songs")
    (odd,) = (row for row in rows if row["_payload"] is not None)
    assert all(odd[name] is None for name in postgres.SONGS)
    payload = json.loads(odd["_payload"])
    assert payload[column] == kept
    assert payload["track_7digitalid"] == 1
    assert payload.keys() == postgres.SONGS.keys()
    good = {row["track_7digitalid"]: row[column] for row in rows if row is not odd}
    assert good == {0: 0 if column == "year" else 146.5, 2: None}


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("alter table deftunes.songs drop column year", "lacks the columns year"),
        ("drop table deftunes.songs", "no such table"),
    ],
)
def test_a_missing_column_or_table_is_said(
    settings: MakeSettings,
    home: Path,
    songs_dsn: str,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    said: str,
) -> None:
    change(songs_dsn, statement)
    assert run(settings(postgres_dsn=songs_dsn), SONGS).failed == ["songs"]
    assert said in caplog.text
    assert not (home / "landing" / "songs").exists()


@pytest.fixture
def reader_dsn(songs_dsn: str) -> Iterator[str]:
    """Return the database for a user `reader` without any rights."""
    change(
        songs_dsn,
        "create role reader login password 'geheim'",
        "revoke all on database postgres from public",
        "revoke all on schema public from public",
    )
    yield re.sub("//.*@", "//reader:geheim@", songs_dsn)
    change(
        songs_dsn,
        "grant connect, temporary on database postgres to public",
        "grant usage on schema public to public",
        "drop owned by reader",
        "drop role reader",
    )


def test_the_least_rights_of_the_user_are_named_until_it_has_them(
    settings: MakeSettings,
    landed: Landed,
    songs_dsn: str,
    reader_dsn: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for right, denied in (
        ("connect on database postgres", "database"),
        ("usage on schema deftunes", "schema deftunes"),
        ("select on deftunes.songs", "table songs"),
    ):
        caplog.clear()
        assert run(settings(postgres_dsn=reader_dsn), SONGS).failed == ["songs"]
        assert f"permission denied for {denied}" in caplog.text
        what = right.removesuffix(" postgres")
        assert what in caplog.text.replace("the database", "database")
        change(songs_dsn, f"grant {right} to reader")
    assert not run(settings(postgres_dsn=reader_dsn), SONGS).failed
    assert len(landed("songs")) == 3


@pytest.mark.parametrize(
    ("part", "text", "reason", "cure"),
    [
        ("user", "me:geheim", "password authentication failed", "the password in"),
        ("user", "postgres", "no password supplied", "the password in"),
        ("host", "nowhere.invalid", "could not translate host name", "Check the host"),
        ("port", "1", "Connection refused", "whether the server runs"),
        ("name", "geheim", 'database "***" does not exist', "Check the database in"),
        ("name", "postgres?sslmode=require", "does not support SSL", "Check sslmode"),
    ],
)
def test_an_error_of_the_connection_is_one_line_with_what_to_do(
    songs_dsn: str, part: str, text: str, reason: str, cure: str
) -> None:
    url = re.fullmatch(
        "postgresql://(?P<user>.*)@(?P<host>.*):(?P<port>.*)/(?P<name>.*)", songs_dsn
    )
    assert url is not None
    made = "postgresql://{user}@{host}:{port}/{name}".format(
        **url.groupdict() | {part: text}
    )
    with (
        duckdb.connect() as connection,
        pytest.raises(postgres.PostgresError) as raised,
    ):
        postgres.read_songs(connection, made)
    said = str(raised.value)
    assert reason in said
    assert cure in said
    assert "geheim" not in said
    assert "\n" not in said


def test_a_missing_extension_names_the_remedy(tmp_path: Path) -> None:
    with (
        duckdb.connect(config={"extension_directory": str(tmp_path)}) as connection,
        pytest.raises(postgres.PostgresError, match="make setup"),
    ):
        postgres.read_songs(connection, "postgresql://127.0.0.1:1/x")


def test_an_unchanged_catalogue_lands_once_in_any_order(
    settings: MakeSettings, home: Path, songs_dsn: str
) -> None:
    run(settings(postgres_dsn=songs_dsn), SONGS)
    # An update moves a row to the end of the table.
    change(songs_dsn, "update deftunes.songs set year = 0 where track_7digitalid = 0")
    run(settings(postgres_dsn=songs_dsn), SONGS)
    assert len(list((home / "landing" / "songs").iterdir())) == 1
    change(songs_dsn, "update deftunes.songs set year = 2024")
    run(settings(postgres_dsn=songs_dsn), SONGS)
    assert len(list((home / "landing" / "songs").iterdir())) == 2
