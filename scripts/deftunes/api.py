"""The API's users and sessions as Arrow tables."""

from datetime import date, timedelta
from urllib.parse import urlencode

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from duckdb import DuckDBPyConnection

from deftunes.download import Patience, download
from deftunes.records import split, to_table

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

_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z?"

# Times without a zone are UTC. A record that does not fit its types may still say when
# it happened. Rows are told by their position: the engine keeps no order.
_START_ON = """
    select _position
    from sessions
    where
        cast(
            try_cast(
                coalesce(
                    session_start_time,
                    if(json_valid(_payload), _payload ->> '$.session_start_time', null)
                ) as timestamptz
            ) as date
        ) = ?
"""


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
        `deftunes.records.to_table` adds.

    Raises:
        DownloadError: the users cannot be had.

    """
    return to_table(download(f"{url}/users", split, patience=patience), USERS)


def sessions(
    url: str,
    day: date,
    connection: DuckDBPyConnection,
    patience: Patience | None = None,
) -> pa.Table:
    """Fetch the sessions of one day.

    Whether the API counts `end_date` in is not documented. So sessions that start on
    the day after are left to that day's request; all others are kept, whatever they
    say.

    Args:
        url: the base URL of the API, without a trailing slash.
        day: the day (UTC).
        connection: an open DuckDB connection, which will be in UTC.
        patience: how long to insist.

    Returns:
        One row per record of the answer: the columns of `SESSIONS` and those that
        `deftunes.records.to_table` adds.

    Raises:
        DownloadError: the sessions cannot be had.

    """
    records = download(f"{url}/sessions", split, query=_window(day), patience=patience)
    table = to_table(records, SESSIONS)
    # Nearly always all of them say plainly that they start on the day.
    plain = pc.match_substring_regex(table["session_start_time"], f"^{day}T{_TIME}$")
    if pc.all(plain, skip_nulls=False).as_py():
        return table
    connection.execute("set timezone = 'UTC'")
    columns = ["session_start_time", "_payload", "_position"]
    connection.register("sessions", table.select(columns))
    later = connection.execute(_START_ON, [day + timedelta(days=1)]).to_arrow_table()
    is_later = pc.is_in(table["_position"], later["_position"])
    return table.filter(pc.invert(is_later))


def _window(day: date) -> dict[str, str]:
    """Return the query that asks for a day."""
    return {
        "start_date": day.isoformat(),
        "end_date": (day + timedelta(days=1)).isoformat(),
    }
