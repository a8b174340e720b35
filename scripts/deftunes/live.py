"""The live view: what is published, and beside it what the API has had since.

`serving/live/analyst.duckdb` is a copy of the published file for analysts, with the
views `marts.fact_order_items_live`, `marts.fact_orders_live` and `reports.*_live`. They
show the published rows and, marked as provisional, the purchases of the days that are
not published whole. Those come from the API to this file without being landed, by the
SQL of the project's own models, which dbt compiles once. So the live view writes
neither to the landing zone nor to the lake, needs no lock, and nothing has to be mended
after a kill: the next build lands the same days.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa  # type: ignore[import-untyped]
from dbt.adapters.duckdb.credentials import Attachment
from dbt.adapters.factory import get_adapter_by_type
from dbt.cli.main import dbtRunner
from duckdb import DuckDBPyConnection
from filelock import FileLock, Timeout

from deftunes.dashboard import ANALYST, LIVE
from deftunes.dbt_plugin.lake import LakeError, TargetLake
from deftunes.devices import devices
from deftunes.landing import api
from deftunes.landing.download import RetryPolicy
from deftunes.landing.zone import Batch, content_of, landed_files
from deftunes.object_store import ObjectStoreError
from deftunes.privacy.erasure_registry import ErasureRegistry
from deftunes.settings import Settings
from deftunes.sql import literal

# The models that the provisional rows go through, in this order.
_CHAIN = (
    *("stg_api__sessions", "stg_api__session_items", "int_session_items_priced"),
    *("int_sessions_latest", "dim_users", "fact_order_items"),
)
_FACTS = ("fact_order_items", "fact_orders")
_DEVICES = '"lake"."intermediate"."int_session_devices"'
# No answer is waited for longer: the next poll comes soon.
_RETRY_POLICY = RetryPolicy(attempts=1, read_timeout=30.0)
# Older days are in a build, or nobody looks at them live.
_MOST_DAYS = 7
_SOURCE = re.compile(
    r"read_parquet\('[^']*/sessions/\*/\*\.parquet'[^)]*\)", re.IGNORECASE
)
_RELATION = re.compile(r'"lake"\."(\w+)"\."(\w+)"')

_PREPARE = """
    create schema live;
    create table live.changed_sessions (session_id varchar);
    create table live.order_items as from marts.fact_order_items limit 0;
    create table live.orders as from marts.fact_orders limit 0;
    create table live.status (
        as_of timestamp, publication_id varchar, first_live_date date
    );
    create view marts.fact_order_items_live as
    select
        *,
        false as is_provisional
    from marts.fact_order_items
    where session_id not in (from live.changed_sessions)
    union all by name
    select
        *,
        true as is_provisional
    from live.order_items;
    create view marts.fact_orders_live as
    select
        *,
        false as is_provisional
    from marts.fact_orders
    where
        order_id not in (from live.changed_sessions)
        and order_id not in (select order_id from live.orders)
    union all by name
    select
        *,
        order_id in (from live.changed_sessions) as is_provisional
    from live.orders;
"""
# Sessions whose items differ from what is published, in either direction. What depends
# on the delivery alone is not compared.
_CHANGED = """
    insert into readers.live.changed_sessions
    with
    compared as (
        select {columns} from fetched.fact_order_items
    ),
    published as (
        select {columns}
        from readers.marts.fact_order_items
        where session_id in (select session_id from fetched.int_sessions_latest)
    )
    select distinct session_id from (from compared except from published)
    union
    select distinct session_id from (from published except from compared)
"""
# Each accepted item of the last delivery of a session is in the fact once.
_CHECK = """
    with
    accepted as (
        select count(*) as items, coalesce(sum(items.price_usd), 0) as revenue
        from fetched.int_session_items_priced as items
        inner join fetched.int_sessions_latest as sessions
            using (_batch_id, _position)
        where items.rejection_reason is null
    ),
    facts as (
        select
            count(*) as items,
            count(distinct fact_key) as keys,
            count(user_key) as users,
            coalesce(sum(price_usd), 0) as revenue
        from fetched.fact_order_items
    )
    select
        (accepted.items, accepted.revenue) = (facts.items, facts.revenue)
        and facts.items = facts.keys and facts.items = facts.users,
        accepted.items
    from accepted
    cross join facts
"""
_COMPARED = (
    *("session_id", "item_number", "track_id", "artist_key", "currency", "price"),
    *("liked", "liked_since", "session_start_time"),
)

logger = logging.getLogger(__name__)


class LiveError(Exception):
    """There can be no live view; the message says why and what to do."""


@dataclass(frozen=True)
class Refreshed:
    """What a refresh has found.

    Attributes:
        as_of: when the API was asked (UTC).
        days: the days that it was asked for.
        is_new: whether it has answered otherwise than before.
        is_changed: whether the file was written.
        items: how many provisional items it shows.

    """

    as_of: datetime
    days: tuple[date, ...]
    is_new: bool
    is_changed: bool
    items: int


class LiveView:
    """Keeps the live view; one process does."""

    def __init__(self, settings: Settings) -> None:
        """Compile the project's models, and connect to the lake.

        Args:
            settings: where the lakehouse and the API are.

        Raises:
            LiveError: there is another such process, nothing is published, dbt cannot
                compile the models, or the target has no lake that DuckDB builds.
            SettingsError: a setting of the API is missing.

        """
        if settings.target in ("published", "spark", "spark_serving"):
            raise LiveError(
                f"Target {settings.target} has no live view, which is computed from a "
                "lake that DuckDB builds. Set DBT_TARGET to local, lake_pg or lake_s3."
            )
        self._settings = settings
        self._access = settings.api_access()
        # Released when the process ends.
        self._lock = FileLock(settings.home / ".live.lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise LiveError(
                f"Another process keeps the live view of {settings.home}."
            ) from None
        self._published()
        self._folder = settings.serving / LIVE.parent
        self._sql, self._reports = _compiled()
        limits = {"memory_limit": settings.memory_limit, "threads": settings.threads}
        self._connection = duckdb.connect(
            config={name: limit for name, limit in limits.items() if limit}
        )
        self._connection.execute("set timezone = 'UTC'")
        _attach_lake(self._connection, settings.home)
        self._connection.execute("create schema fetched; create schema copied")
        self._next = self._folder / ".next.duckdb"
        self._prepared = self._shown = ""
        self._digests: Mapping[date, str] = {}
        self._items = 0

    @property
    def file(self) -> Path:
        """The file that readers open."""
        return self._settings.serving / LIVE

    def get_ready(self, now: datetime | None = None) -> None:
        """Copy what is published now, as the next file, before there is something new.

        Beside a build that writes, the copy of a large file takes seconds. A refresh
        that finds none has to wait for it.

        Args:
            now: the time (UTC) by which a day is today; the current time if None.

        Raises:
            LiveError: nothing is published.

        """
        published = self._published()
        publication = published.parent.parent.name
        if publication == self._prepared and self._next.exists():
            return
        self._folder.mkdir(0o750, exist_ok=True)
        for each in self._folder.glob(".*.duckdb*"):
            each.unlink()
        copy = self._next.with_name(".copy.duckdb")
        shutil.copy(published, copy)
        with duckdb.connect(str(copy)) as connection:
            connection.execute(_PREPARE)
            self._create_reports(connection)
            ((last_day,),) = connection.execute(
                "select max(date) from quality.landed_days"
            ).fetchall()
        if publication != self._prepared:
            for schema, name in self._inputs():
                self._connection.execute(
                    f"create or replace table copied.{name}"
                    f" as from lake.{schema}.{name}"
                )
            today = (now or datetime.now(timezone.utc)).date()
            oldest = today - timedelta(days=_MOST_DAYS - 1)
            after = last_day + timedelta(days=1) if last_day else oldest
            self._first_day = min(max(after, oldest), today)
            self._prepared = publication
        copy.rename(self._next)

    def refresh(self, now: datetime | None = None) -> Refreshed:
        """Ask the API for the days that are not published whole; show what is new.

        If nothing is new, nothing is written; only the file's modification time says
        when the API was asked last.

        Args:
            now: the time (UTC) by which a day is today; the current time if None.

        Raises:
            DownloadError: the API does not answer.
            LiveError: nothing is published, or provisional rows are not right.

        """
        now = now or datetime.now(timezone.utc)
        if not self._prepared or not self._next.exists():
            self.get_ready(now)
        count = (now.date() - self._first_day).days + 1
        days = tuple(now.date() - timedelta(days=each) for each in range(count)[::-1])
        tables = {day: api.sessions(self._access, day, _RETRY_POLICY) for day in days}
        digests = {
            day: content_of(self._connection.from_arrow(table), "false")[2]
            for day, table in tables.items()
        }
        is_new = digests != self._digests
        is_shown = self._prepared == self._shown and self.file.exists()
        if is_new or not is_shown:
            batches = {
                Batch(
                    now + timedelta(microseconds=number), str(day), digests[day]
                ): rows
                for number, (day, rows) in enumerate(tables.items())
            }
            self._items = self._write(batches, now)
            self._shown, self._digests = self._prepared, digests
        os.utime(self.file)
        return Refreshed(now, days, is_new, is_new or not is_shown, self._items)

    def _published(self) -> Path:
        """Return the path of the published file in its publication's folder.

        Raises:
            LiveError: nothing is published.

        """
        link = self._settings.serving / ANALYST
        if not link.exists():
            raise LiveError(f"{link} does not exist. `dbt build` publishes it.")
        return link.resolve()

    def _inputs(self) -> set[tuple[str, str]]:
        """Return the tables of the lake that the models read besides each other."""
        read = {
            found
            for name in _CHAIN
            for found in _RELATION.findall(_without_comments(self._sql[name]))
        }
        made = {*_CHAIN, "int_session_devices"}
        return {(schema, name) for schema, name in read if name not in made}

    def _create_reports(self, connection: DuckDBPyConnection) -> None:
        """Create the live variant of each report that is computed from the facts."""
        live = {*_FACTS}
        for name, sql in self._reports.items():

            def place(match: re.Match[str]) -> str:
                suffix = "_live" if match[2] in live else ""
                return f"{match[1]}.{match[2]}{suffix}"

            if not live & {found for _, found in _RELATION.findall(sql)}:
                continue
            try:
                connection.execute(
                    f"create view reports.{name}_live as {_RELATION.sub(place, sql)}"
                )
            except duckdb.Error as error:
                # It needs columns or tables that analysts do not see.
                logger.debug("No live variant of %s: %s", name, error)
            else:
                live.add(name)

    def _write(self, batches: Mapping[Batch, pa.Table], now: datetime) -> int:
        """Write the file with these deliveries; return the number of items."""
        self._make_rows(batches)
        try:
            with _attached(self._connection, self._next):
                items = self._fill(now)
        except BaseException:
            # It may be filled in part.
            self._next.unlink(missing_ok=True)
            raise
        self._next.replace(self.file)
        return items

    def _make_rows(self, batches: Mapping[Batch, pa.Table]) -> None:
        """Put the fetched sessions through the models, into the schema `fetched`."""
        connection = self._connection
        registry = ErasureRegistry.load(
            landed_files(self._settings.landing, self._settings.store)
        )
        parts = []
        for batch, table in batches.items():
            rows = registry.erase("sessions", connection.from_arrow(table))
            parts.append(
                rows.project(
                    f"*, timestamptz '{batch.ingested_at}' as _ingested_at,"
                    f" 'api:/sessions' as _source, {literal(batch.id)} as _batch_id"
                )
            )
        landed = parts[0]
        for part in parts[1:]:
            landed = landed.union(part)
        connection.execute("drop table if exists fetched.sessions")
        landed.create("fetched.sessions")
        for name in _CHAIN:
            connection.execute(
                f"create or replace table fetched.{name} as {self._replaced(name)}"
            )
            if name == "int_sessions_latest":
                found = devices(connection, connection.table(f"fetched.{name}"))
                connection.execute("drop table if exists fetched.int_session_devices")
                found.create("fetched.int_session_devices")
        ((is_right, items),) = connection.execute(_CHECK).fetchall()
        if not is_right:
            raise LiveError(
                f"Of {items} accepted items, not all are in the fact once, with their "
                "revenue: the live view stays as it was. Run `dbt build`, which tests."
            )

    def _replaced(self, name: str) -> str:
        """Return the SQL of a model over what was fetched and copied."""

        def place(match: re.Match[str]) -> str:
            made = {*_CHAIN, "int_session_devices"}
            relation = f"{'fetched' if match[2] in made else 'copied'}.{match[2]}"
            if match[2] != "int_user_versions":
                return relation
            users = "select user_id from fetched.int_sessions_latest"
            return f"(select * from {relation} where user_id in ({users}))"  # noqa: S608

        sql = _SOURCE.sub("fetched.sessions", _without_comments(self._sql[name]))
        return _RELATION.sub(place, sql)

    def _fill(self, now: datetime) -> int:
        """Fill the attached file's provisional tables; return the number of items."""
        connection = self._connection
        connection.execute(_CHANGED.format(columns=", ".join(_COMPARED)))
        for table, source in (
            (
                "order_items",
                "select * from fetched.fact_order_items"
                " where session_id in (from readers.live.changed_sessions)",
            ),
            ("orders", self._orders()),
        ):
            columns = ", ".join(connection.table(f"readers.live.{table}").columns)
            connection.execute(
                f"insert into readers.live.{table} select {columns}"  # noqa: S608
                f" from ({source})"
            )
        connection.execute(
            "insert into readers.live.status values (?, ?, ?)",
            [now.replace(tzinfo=None), self._prepared, self._first_day],
        )
        ((items,),) = connection.execute(
            "select count(*) from readers.live.order_items"
        ).fetchall()
        return int(items)

    def _orders(self) -> str:
        """Return the query of all orders of those who have a changed session."""
        buyers = (
            "(select * from readers.marts.fact_order_items_live where person_key in"
            " (select person_key from readers.live.order_items union select person_key"
            " from readers.marts.fact_order_items where session_id in"
            " (from readers.live.changed_sessions)))"
        )
        return _RELATION.sub(buyers, _without_comments(self._sql["fact_orders"]))


def _compiled() -> tuple[dict[str, str], dict[str, str]]:
    """Return the SQL of the models for the live view, and of the reports, by name.

    Raises:
        LiveError: dbt cannot compile them.

    """
    models = " ".join((*_CHAIN, "fact_orders", "path:models/reports"))
    done = dbtRunner().invoke(
        [
            *("--quiet", "--no-write-json", "--log-level-file", "none"),
            "--log-level=none",
            *("compile", "--full-refresh", "--indirect-selection=empty", "-s", models),
        ]
    )
    results: Any = done.result
    if not done.success:
        failed = [str(each.message) for each in getattr(results, "results", [])]
        reason = done.exception or " ".join(failed)
        raise LiveError(f"dbt cannot compile the models: {reason}")
    nodes = {each.node.name: each.node for each in results.results}
    sql = {name: str(node.compiled_code) for name, node in nodes.items()}
    reports = {
        name: sql[name] for name, node in nodes.items() if node.schema == "reports"
    }
    return {name: sql[name] for name in (*_CHAIN, "fact_orders")}, reports


def _attach_lake(connection: DuckDBPyConnection, home: Path) -> None:
    """Attach the lake of dbt's target, read-only.

    Raises:
        LiveError: it cannot be read.

    """
    adapter: Any = get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]
    credentials = adapter.config.credentials
    for extension in credentials.extensions or []:
        connection.load_extension(str(extension))
    attachment: Attachment = credentials.attach[0]
    store = Settings.from_environment().store
    options = {**(attachment.options or {})}
    lake = Attachment(
        path=attachment.path, alias="lake", options=options, read_only=True
    )
    try:
        TargetLake(lake, "show", store).open(connection, home)
        connection.execute("from ducklake_current_snapshot('lake')")
    except (LakeError, ObjectStoreError, duckdb.Error) as error:
        raise LiveError(f"The lake of dbt's target cannot be read: {error}") from None


@contextmanager
def _attached(connection: DuckDBPyConnection, file: Path) -> Iterator[None]:
    """Attach a file as `readers` while the block runs."""
    connection.execute(f"attach {literal(file)} as readers")
    try:
        yield
    finally:
        connection.execute("detach readers")


def _without_comments(sql: str) -> str:
    """Return SQL without its comments, which may name further relations."""
    return re.sub(r"--[^\n]*", "", sql)
