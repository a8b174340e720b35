"""The API's users and sessions as Arrow tables.

`users.schema.json` and `sessions.schema.json` describe the answers that are expected.
"""

import logging
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pyarrow as pa  # type: ignore[import-untyped]

from deftunes.landing.download import Remote, RetryPolicy, download
from deftunes.landing.json_parsing import split, to_table
from deftunes.settings import PROJECT, ApiAccess

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


JSON_SCHEMAS = {
    "users": Path(__file__).with_name("users.schema.json"),
    "sessions": Path(__file__).with_name("sessions.schema.json"),
}
"""The JSON Schemas of the answers, by path. Tests compare them with the above."""

logger = logging.getLogger(__name__)


def sessions_path(day: date) -> str:
    """Return the path and query of the request for the sessions of a day (UTC)."""
    return f"/sessions?{urlencode(_window(day))}"


def users(access: ApiAccess, retry_policy: RetryPolicy | None = None) -> pa.Table:
    """Fetch all users.

    Args:
        access: how to reach the API.
        retry_policy: how often and how long to retry.

    Returns:
        One row per record of the answer: the columns of `USERS` and those that
        `deftunes.landing.json_parsing.to_table` adds.

    Raises:
        DownloadError: the users cannot be fetched.

    """
    return _fetch(access, "users", USERS, None, retry_policy)


def sessions(
    access: ApiAccess, day: date, retry_policy: RetryPolicy | None = None
) -> pa.Table:
    """Fetch the sessions of one day.

    Everything that the API delivers is kept. The API does not document whether
    `end_date` is inclusive, so a session may also be delivered with the day before its
    own. dbt uses the latest version.

    Args:
        access: how to reach the API.
        day: the day (UTC).
        retry_policy: how often and how long to retry.

    Returns:
        One row per record of the answer: the columns of `SESSIONS` and those that
        `deftunes.landing.json_parsing.to_table` adds.

    Raises:
        DownloadError: the sessions cannot be fetched.

    """
    return _fetch(access, "sessions", SESSIONS, _window(day), retry_policy)


def _fetch(
    access: ApiAccess,
    path: str,
    schema: pa.Schema,
    query: dict[str, str] | None,
    retry_policy: RetryPolicy | None,
) -> pa.Table:
    """Fetch the records of a path; warn if none of them has an id."""
    expected = JSON_SCHEMAS[path].relative_to(PROJECT)
    remote = Remote(
        f"{access.url}/{path}",
        "DEFTUNES_API_URL",
        f"a JSON array as in {expected}",
        query,
        access.headers,
        access.certificate,
        access.credentials,
    )
    table = to_table(download(remote, split, retry_policy), schema)
    id = f"{path.removesuffix('s')}_id"
    if table.num_rows and table[id].null_count == table.num_rows:
        logger.warning(
            "%s: none of the %d records has a text as %s, so dbt will reject all. "
            "Compare the answer with %s.",
            *(remote, table.num_rows, id, expected),
        )
    return table


def _window(day: date) -> dict[str, str]:
    """Return the query parameters for one day."""
    return {
        "start_date": day.isoformat(),
        "end_date": (day + timedelta(days=1)).isoformat(),
    }
