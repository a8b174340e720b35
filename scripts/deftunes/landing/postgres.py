"""The catalogue's songs, read from Postgres by DuckDB from end to end."""

import re

import duckdb

SONGS = {
    "track_id": "varchar",
    "title": "varchar",
    "song_id": "varchar",
    "release": "varchar",
    "artist_id": "varchar",
    "artist_mbid": "varchar",
    "artist_name": "varchar",
    "duration": "float",
    "artist_familiarity": "float",
    "artist_hotttnesss": "float",
    "year": "integer",
    "track_7digitalid": "integer",
    "shs_perf": "integer",
    "shs_work": "integer",
}
"""The columns of `deftunes.songs` and their types in DuckDB."""

# A server that does not answer, and one that falls silent for two minutes. In seconds,
# the last one in milliseconds, as libpq has them.
TIMEOUTS = {
    "connect_timeout": 10,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,
}

# What the server and libpq say; all else may hold parts of the DSN.
_REASONS = re.compile(
    r"FATAL: .*|Connection refused|timeout expired|could not translate host name"
    r"|server closed the connection unexpectedly|permission denied for \w+"
    r"|canceling statement due to .*|No route to host|SSL error"
    r"|Connection reset by peer|Connection timed out|No space left on device"
)


class PostgresError(Exception):
    """The songs cannot be read; the message says why and holds no secret."""


def read_songs(
    connection: duckdb.DuckDBPyConnection, dsn: str
) -> duckdb.DuckDBPyRelation:
    """Read `deftunes.songs` as of one snapshot into a temporary table.

    A column of another type than expected is cast. A row of which a value cannot be
    cast has itself as JSON in `_payload` and null elsewhere. Columns that are not
    expected go to `_rescued` as a JSON object per row.

    Args:
        connection: an open DuckDB connection, to a file if the songs are many.
        dsn: a libpq connection string.

    Returns:
        The table: the columns of `SONGS`, `_rescued` and `_payload`.

    Raises:
        PostgresError: no connection, no such table, or a column is missing.

    """
    try:
        connection.load_extension("postgres_scanner")
    except duckdb.Error:
        raise PostgresError(
            "DuckDB's Postgres extension is missing. Run make setup."
        ) from None
    try:
        found = connection.table_function(
            "postgres_scan", [_with_timeouts(dsn), "deftunes", "songs"]
        )
        types = dict(zip(found.columns, map(str, found.types), strict=True))
        missing = [name for name in SONGS if name not in types]
        if missing:
            raise PostgresError(
                f"deftunes.songs lacks the columns {', '.join(missing)}. The loader "
                "needs them all."
            )
        # An ordinary table would be compressed, which takes longer than all the rest.
        found.query(
            "found", f"create temp table songs as from found select {_columns(types)}"
        )
        return connection.table("songs")
    except duckdb.Error as error:
        raise PostgresError(
            f"deftunes.songs cannot be read: {_reason(str(error))}. Check "
            "DEFTUNES_POSTGRES_DSN and the server, then run the same again."
        ) from None  # DuckDB's message holds the DSN


def _columns(types: dict[str, str]) -> str:
    """Return the select list that brings columns of these types into shape."""
    changed = [name for name, kind in SONGS.items() if types[name] != kind.upper()]
    fits = " and ".join(
        [f"({_fits(name, types[name])})" for name in changed] or ["true"]
    )
    extra = [name for name in types if name not in SONGS]
    return ", ".join(
        [
            f'case when {fits} then try_cast("{name}" as {kind}) end as "{name}"'
            for name, kind in SONGS.items()
        ]
        + [
            f"{_json(extra) if extra else 'null'}::varchar as _rescued",
            f"case when not ({fits}) then {_json(list(types))} end::varchar"
            " as _payload",
        ]
    )


def _fits(name: str, found: str) -> str:
    """Return the condition that a column's value survives its cast."""
    cast = f'try_cast("{name}" as {SONGS[name]})'
    kept = f"{cast} is not null"
    if SONGS[name] == "integer" and found != "VARCHAR":
        kept += f' and {cast} = "{name}"'  # casting rounds
    return f'"{name}" is null or ({kept})'


def _json(names: list[str]) -> str:
    """Return the expression of a JSON object of columns."""
    quoted = [name.replace('"', '""') for name in names]
    return "to_json(struct_pack({}))".format(
        ", ".join(f'"{name}" := "{name}"' for name in quoted)
    )


def _with_timeouts(dsn: str) -> str:
    """Add the time-outs that the DSN does not set."""
    added = [f"{name}={value}" for name, value in TIMEOUTS.items() if name not in dsn]
    if "://" not in dsn:
        return " ".join([dsn, *added])
    return dsn + ("&" if "?" in dsn else "?") + "&".join(added)


def _reason(message: str) -> str:
    """Return the part of a message that says why, and nothing of the DSN."""
    if "could not find table" in message or "does not contain any columns" in message:
        return "there is no such table, or its reader may not see it"
    match = _REASONS.search(message)
    if match is None:
        return "the connection string is no use"
    # A server repeats what it was given in quotes, and that may be a misplaced secret.
    return re.sub('".*"', '"***"', match.group())
