"""The API's users and sessions as Arrow tables."""

from datetime import date, timedelta
from urllib.parse import urlencode

import pyarrow as pa  # type: ignore[import-untyped]

from deftunes.landing.download import RetryPolicy, download
from deftunes.landing.json_parsing import split, to_table

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
    """Return the path and query of the request for the sessions of a day (UTC)."""
    return f"/sessions?{urlencode(_window(day))}"


def users(url: str, retry_policy: RetryPolicy | None = None) -> pa.Table:
    """Fetch all users.

    Args:
        url: the base URL of the API, without a trailing slash.
        retry_policy: how often and how long to retry.

    Returns:
        One row per record of the answer: the columns of `USERS` and those that
        `deftunes.landing.json_parsing.to_table` adds.

    Raises:
        DownloadError: the users cannot be fetched.

    """
    return to_table(download(f"{url}/users", split, retry_policy=retry_policy), USERS)


def sessions(url: str, day: date, retry_policy: RetryPolicy | None = None) -> pa.Table:
    """Fetch the sessions of one day.

    Everything that the API delivers is kept. The API does not document whether
    `end_date` is inclusive, so a session may also be delivered with the day before its
    own. dbt uses the latest version.

    Args:
        url: the base URL of the API, without a trailing slash.
        day: the day (UTC).
        retry_policy: how often and how long to retry.

    Returns:
        One row per record of the answer: the columns of `SESSIONS` and those that
        `deftunes.landing.json_parsing.to_table` adds.

    Raises:
        DownloadError: the sessions cannot be fetched.

    """
    records = download(
        f"{url}/sessions", split, query=_window(day), retry_policy=retry_policy
    )
    return to_table(records, SESSIONS)


def _window(day: date) -> dict[str, str]:
    """Return the query parameters for one day."""
    return {
        "start_date": day.isoformat(),
        "end_date": (day + timedelta(days=1)).isoformat(),
    }
