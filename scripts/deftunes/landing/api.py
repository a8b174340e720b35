"""The API's users and sessions as Arrow tables."""

from datetime import date, timedelta
from urllib.parse import urlencode

import pyarrow as pa  # type: ignore[import-untyped]

from deftunes.landing.download import Patience, download
from deftunes.landing.records import split, to_table

USERS = pa.schema(
    [
        ("user_id", pa.string()),
        ("user_name", pa.string()),
        ("user_lastname", pa.string()),
        ("user_location", pa.list_(pa.string())),
        ("user_since", pa.string()),
    ]
)
SESSIONS = pa.schema(
    [
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("user_agent", pa.string()),
        ("session_start_time", pa.string()),
        (
            "session_items",
            pa.list_(
                pa.struct(
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
            ),
        ),
    ]
)


def sessions_path(day: date) -> str:
    """Return the path and query that ask for the sessions of a day (UTC)."""
    return f"/sessions?{urlencode(_window(day))}"


def users(url: str, patience: Patience | None = None) -> pa.Table:
    """Fetch all users.

    Args:
        url: the base URL of the API, without a trailing slash.
        patience: how long to insist.

    Returns:
        One row per record of the answer: the columns of `USERS` and those that
        `deftunes.landing.records.to_table` adds.

    Raises:
        DownloadError: the users cannot be had.

    """
    return to_table(download(f"{url}/users", split, patience=patience), USERS)


def sessions(url: str, day: date, patience: Patience | None = None) -> pa.Table:
    """Fetch the sessions of one day.

    All that the API delivers is kept. Whether it counts `end_date` in is not
    documented, so a session may come with the day before its own too: dbt takes its
    latest version.

    Args:
        url: the base URL of the API, without a trailing slash.
        day: the day (UTC).
        patience: how long to insist.

    Returns:
        One row per record of the answer: the columns of `SESSIONS` and those that
        `deftunes.landing.records.to_table` adds.

    Raises:
        DownloadError: the sessions cannot be had.

    """
    records = download(f"{url}/sessions", split, query=_window(day), patience=patience)
    return to_table(records, SESSIONS)


def _window(day: date) -> dict[str, str]:
    """Return the query that asks for a day."""
    return {
        "start_date": day.isoformat(),
        "end_date": (day + timedelta(days=1)).isoformat(),
    }
