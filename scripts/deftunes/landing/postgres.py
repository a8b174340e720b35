"""Reads the song catalogue from Postgres, with DuckDB's Postgres extension."""

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

# libpq's timeouts: for a server that does not accept the connection, and for one that
# sends nothing for two minutes. In seconds; `tcp_user_timeout` in milliseconds.
TIMEOUTS = {
    "connect_timeout": 10,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 6,
    "tcp_user_timeout": 120_000,
}

# The parts of an error message that are safe to show. The rest may contain the DSN.
_SAFE_REASONS = re.compile(
    r"FATAL: .*|Connection refused|timeout expired|could not translate host name"
    r"|server closed the connection unexpectedly|permission denied for \w+(?: \w+)?"
    r"|canceling statement due to .*|No route to host|SSL error(?:: [a-z ]+)?"
    r"|server does not support SSL|no password supplied"
    r'|root certificate file "[^"]*" does not exist'
    r'|server certificate for "[^"]*" .*does not match host name'
    r"|Connection reset by peer|Connection timed out|No space left on device"
)
# What to do, by a part of the reason; the first that matches.
_CURES = {
    "permission denied": "Grant the user connect on the database, usage on schema "
    "deftunes and select on deftunes.songs",
    "no such table": "Check the database in DEFTUNES_POSTGRES_DSN",
    "not shown": "Check DEFTUNES_POSTGRES_DSN, for example with psql",
    "certificate|SSL": "Check sslmode and sslrootcert in DEFTUNES_POSTGRES_DSN",
    "password|role": "Check the user and the password in DEFTUNES_POSTGRES_DSN, or in "
    "~/.pgpass",
    "does not exist": "Check the database in DEFTUNES_POSTGRES_DSN",
    "No space": "Free some space",
    "host name": "Check the host in DEFTUNES_POSTGRES_DSN",
    "": "Check DEFTUNES_POSTGRES_DSN and whether the server runs",
}


class PostgresError(Exception):
    """The songs cannot be read; the message says why and contains no secret."""


def read_songs(
    connection: duckdb.DuckDBPyConnection, dsn: str
) -> duckdb.DuckDBPyRelation:
    """Read `deftunes.songs` as of one snapshot into a temporary table.

    A column with another type than expected is cast. If a value cannot be cast, the
    whole row is kept as JSON in `_payload`, and its other columns are null. Unexpected
    columns are kept in `_rescued`, as one JSON object per row.

    Args:
        connection: an open DuckDB connection.
        dsn: a libpq connection string.

    Returns:
        The temporary table: the columns of `SONGS`, `_rescued` and `_payload`.

    Raises:
        PostgresError: there is no connection or no such table, or a column is missing.

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
                f"deftunes.songs lacks the columns {', '.join(missing)}, which the "
                "loader needs. Add them, then run the same command again."
            )
        # A temporary table, because it is not compressed: compressing takes longer than
        # everything else here.
        found.query(
            "found", f"create temp table songs as from found select {_columns(types)}"
        )
        return connection.table("songs")
    except duckdb.Error as error:
        reason = _reason(str(error))
        cure = next(each for part, each in _CURES.items() if re.search(part, reason))
        raise PostgresError(
            f"deftunes.songs cannot be read: {reason}. {cure}, then run the same "
            "command again."
        ) from None  # DuckDB's message contains the DSN


def _columns(types: dict[str, str]) -> str:
    """Return the select list that casts columns of these types to those of `SONGS`."""
    to_cast = [name for name, kind in SONGS.items() if types[name] != kind.upper()]
    fits = " and ".join(
        [f"({_fits(name, types[name])})" for name in to_cast] or ["true"]
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
    """Return the SQL condition that a cast does not change a column's value."""
    cast = f'try_cast("{name}" as {SONGS[name]})'
    is_lossless = f"{cast} is not null"
    if SONGS[name] == "integer" and found != "VARCHAR":
        is_lossless += f' and {cast} = "{name}"'  # a cast to integer rounds
    return f'"{name}" is null or ({is_lossless})'


def _json(names: list[str]) -> str:
    """Return the SQL expression that makes one JSON object of columns."""
    quoted = [name.replace('"', '""') for name in names]
    return "to_json(struct_pack({}))".format(
        ", ".join(f'"{name}" := "{name}"' for name in quoted)
    )


def _with_timeouts(dsn: str) -> str:
    """Add the timeouts that the DSN does not set."""
    added = [f"{name}={value}" for name, value in TIMEOUTS.items() if name not in dsn]
    if "://" not in dsn:
        return " ".join([dsn, *added])
    return dsn + ("&" if "?" in dsn else "?") + "&".join(added)


def _reason(message: str) -> str:
    """Return the part of a message that gives the reason, without the DSN."""
    if "could not find table" in message or "does not contain any columns" in message:
        return "there is no such table, or its reader may not see it"
    match = _SAFE_REASONS.search(message)
    if match is None:
        return "the reason is not shown, because it may contain the password"
    # A server quotes what it was given, which may be a secret in the wrong place.
    return re.sub('".*"', '"***"', match.group())
