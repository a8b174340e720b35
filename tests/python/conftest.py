"""What several test modules share: a real database, a home, a look at what landed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from deftunes.settings import Settings
from demo_sources import postgres


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Run an empty database for the whole session."""
    with postgres.running() as dsn:
        yield dsn


@pytest.fixture
def songs_dsn(postgres_dsn: str) -> str:
    """Return the database with three songs in `deftunes.songs`."""
    postgres.load_songs(
        postgres_dsn,
        [
            pa.Table.from_pylist(
                [song(number) for number in range(3)], postgres.SONGS_SCHEMA
            )
        ],
    )
    return postgres_dsn


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder for a lakehouse, with a space in its name."""
    return tmp_path / "my lake"


@pytest.fixture
def settings(home: Path) -> Callable[..., Settings]:
    """Return what makes settings; what is not given is unset."""

    def make(**given: str | None) -> Settings:
        unset = dict.fromkeys(("api_url", "postgres_dsn", "exchange_rates"))
        return Settings(home=home, **(unset | given))

    return make


@pytest.fixture
def landed(home: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Return what reads all landed rows of an entity, by batch and position."""

    def read(entity: str) -> list[dict[str, Any]]:
        files = str(home / "landing" / entity / "*" / "*.parquet")
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            rows = connection.read_parquet(files).order("all").to_arrow_table()
        found: list[dict[str, Any]] = rows.to_pylist()
        return sorted(
            found, key=lambda row: (row["_batch_id"], row.get("_position", 0))
        )

    return read


def song(number: int) -> dict[str, Any]:
    """Return a row of `deftunes.songs` with oddities of the real ones."""
    return {
        "track_id": f"TR{number:016}",
        "title": "Världen_ É Din",
        "song_id": f"SO{number:016}",
        "release": "",
        "artist_id": "AR0000000000000000",
        "artist_mbid": None,
        "artist_name": "一青窈",
        "duration": 146.5,
        "artist_familiarity": 0.25,
        "artist_hotttnesss": float("nan"),
        "year": 0,
        "track_7digitalid": number,
        "shs_perf": -1,
        "shs_work": 0,
    }
