"""The landing zone: raw, immutable Parquet, one folder per batch.

A batch is `<entity>/_batch_id=<id>/<entity>.parquet`. Its id consists of the UTC time
of the fetch, the window, and a digest of the delivered content. So ids sort by time,
and content that was delivered before is recognised. The first batch of a day has all of
its sessions, and so has the first one after the day is over; in between, a batch has
those that are new or have changed. A batch is written in `.incoming` and moved to its
place by one rename, or stored in a bucket by one request. Only erasing a person changes
a batch later; the manifest detects any other change.
"""

import logging
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from duckdb import (
    ConstantExpression,
    DuckDBPyConnection,
    DuckDBPyRelation,
    StarExpression,
)

from deftunes.landing.landed_files import BucketFiles, FolderFiles, LandedFiles
from deftunes.object_store import ObjectStore
from deftunes.privacy.erasure_registry import ErasureRegistry
from deftunes.sql import literal

WHOLE = "all"
"""The window of a full extract."""

DEMO_MARKER = ".demo"
"""The file that marks a landing zone with the demo's generated data."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_PREFIX = "_batch_id="
_FOLDER = re.compile(
    rf"{_PREFIX}(\d{{8}}T\d{{12}}Z)_({WHOLE}|\d{{4}}-\d\d-\d\d)_([0-9a-f]{{16}})"
)

# The entity that lands by the day.
_SESSIONS = "sessions"

# The columns that the loader adds to each record.
_METADATA = ("_ingested_at", "_source", "_batch_id")

# The ids of batches that contain a session of an earlier batch in `delivered`.
_DELIVERED_LATER = """
    select distinct later._batch_id
    from later
    inner join delivered using (session_id)
    where later._batch_id > delivered._batch_id
"""
# `fetched` lists the batches whose windows were delivered again unchanged, with two
# ids: `_batch_id`, the id they have, and `new_id`, the id they would get now. The query
# returns the new ids of those that contain the last delivery of a session whose last
# landed version differs. Ids sort by time.
_SUPERSEDED = """
    with

    landed as (

        select
            session_id,
            _batch_id,
            sum(hash({fields})) as content
        from deliveries
        where session_id in (select session_id from delivered)
        group by session_id, _batch_id

    ),

    last_landed as (

        select
            session_id,
            max(_batch_id) as _batch_id,
            max_by(content, _batch_id) as content
        from landed
        group by session_id

    ),

    last_fetched as (

        select
            session_id,
            max(new_id) as new_id,
            max_by(content, new_id) as content
        from landed
        inner join fetched using (_batch_id)
        group by session_id

    )

    select distinct last_fetched.new_id
    from last_fetched
    inner join last_landed using (session_id)
    where
        last_fetched.new_id > last_landed._batch_id
        and last_fetched.content <> last_landed.content
"""

# The rows of the sessions that were landed with other content before, or not at all.
# Rows without an id count as one session.
_CHANGES = """
    with

    landed as (

        select
            session_id,
            _batch_id,
            sum(hash({fields})) as content
        from read_parquet({files}, hive_partitioning = false)
        group by session_id, _batch_id

    ),

    last_landed as (

        select
            session_id,
            max_by(content, _batch_id) as content
        from landed
        group by session_id

    ),

    changed as (

        select
            session_id,
            sum(hash({fields})) as content
        from delivered
        group by session_id
        except
        select *
        from last_landed

    )

    select delivered.*
    from delivered
    inner join changed
        on delivered.session_id is not distinct from changed.session_id
"""

logger = logging.getLogger(__name__)


class ShrinkError(Exception):
    """An extract is much smaller than the last one; the message names both sizes."""


class LandingZoneError(Exception):
    """A landed file is missing or was changed, or the landing zone has a foreign file.

    The message names the file and says what to do.
    """


@dataclass(frozen=True, order=True)
class Batch:
    """The identity of a batch.

    Attributes:
        ingested_at: when it was fetched (UTC); unique in a landing zone.
        window: the day it covers, or `WHOLE`.
        digest: 16 hexadecimal digits that depend on its rows but not on their order.

    """

    ingested_at: datetime
    window: str
    digest: str

    @property
    def id(self) -> str:
        """The batch's id, as in the name of its folder."""
        return f"{self.ingested_at.strftime(_TIME)}_{self.window}_{self.digest}"

    @classmethod
    def of_folder(cls, folder: PurePath) -> "Batch | None":
        """Return the batch of a folder; None if the loader did not make the folder."""
        match = _FOLDER.fullmatch(folder.name)
        if match is None:
            return None
        time, window, digest = match.groups()
        moment = datetime.strptime(time, _TIME).replace(tzinfo=timezone.utc)
        return cls(moment, window, digest)


_NEVER = Batch(datetime.min.replace(tzinfo=timezone.utc), "", "")


@dataclass(frozen=True)
class Landed:
    """The result of landing one window.

    Attributes:
        records: how many records were delivered; if a batch has only changes, how many
            those are.
        malformed: how many of them have a `_payload`, at any level.
        changed: False if the window's newest batch already has the same content.
        left_out: how many did not land because they are about erased people.

    """

    records: int
    malformed: int
    changed: bool
    left_out: int = 0


class LandingZone:
    """A landing zone; one process writes to it, and its threads may share it."""

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        """List the batches that have landed.

        Args:
            folder: the landing zone; created when first needed.
            store: the bucket in which the batches are, so that the folder has only
                temporary files; None if they are in the folder.

        Raises:
            ObjectStoreError: the bucket cannot be used.

        """
        self.folder = folder
        self.incoming = folder / ".incoming"
        self._files = landed_files(folder, store)
        self.manifest = self._files.manifest
        self.erasure_registry = ErasureRegistry.load(self._files)
        self._lock = threading.Lock()
        self._batches: dict[str, set[Batch]] = defaultdict(set)
        self._newest: dict[tuple[str, str], Batch] = {}
        self._lost: dict[tuple[str, str], list[Batch]] = defaultdict(list)
        self._unchanged: dict[Batch, Batch] = {}
        self._last: datetime | None = None
        for path in self._files.folders():
            batch, entity = Batch.of_folder(path), path.parent.name
            if batch is not None:
                self._note_time(batch)
                if self._files.exists(self._file(entity, batch)):
                    self._add(entity, batch)

    def __str__(self) -> str:
        """Return the path or URL of the landing zone."""
        return str(self._files)

    def connect(self, connection: DuckDBPyConnection) -> None:
        """Let DuckDB read the batches.

        Raises:
            ObjectStoreError: the bucket cannot be used.

        """
        self._files.connect(connection)

    def location(self, file: PurePath) -> str:
        """Return how DuckDB and people name a file."""
        return self._files.location(file)

    def save_erasures(self, registry: ErasureRegistry) -> None:
        """Write the registry of erased people, in one step."""
        registry.save(self._files)

    def next_time(self) -> datetime:
        """Return the current time (UTC), always later than that of any batch."""
        with self._lock:
            now = datetime.now(timezone.utc)
            if self._last is not None and now <= self._last:
                now = self._last + timedelta(microseconds=1)
            self._last = now
            return now

    def land(
        self,
        entity: str,
        window: str,
        rows: DuckDBPyRelation,
        *,
        is_malformed: str,
        source: str,
        ingested_at: datetime,
        max_shrink: float | None = None,
    ) -> Landed:
        """Land a window's rows, unless the window's newest batch has the same content.

        Of a day that is not over, only the sessions land that are new or have changed,
        so that it can be fetched often. When it is over, all of them land once.

        Records about erased people do not land. A lost batch is restored under its old
        id if the same content is delivered again.

        Args:
            entity: the entity.
            window: the day, or `WHOLE`.
            rows: the rows; the content is all columns except `_position`.
            is_malformed: the SQL condition for a row that does not match its types.
            source: where the rows come from, without secrets.
            ingested_at: when they were fetched, from `next_time`.
            max_shrink: the share by which there may be fewer rows than in the window's
                newest batch; None for no limit.

        Returns:
            The result.

        Raises:
            ShrinkError: there are too few rows.

        """
        newest = self._newest.get((entity, window))
        lost = self._lost.pop((entity, window), [])
        records, malformed, digest = content_of(rows, is_malformed)
        if newest is not None and not lost and not _is_over(window, ingested_at):
            rows = self._changes(window, rows)
            changed, malformed, digest = content_of(rows, is_malformed)
            if not changed:
                return Landed(records, malformed, changed=False)
            records = changed
        batch = Batch(ingested_at, window, digest)
        restored = [each for each in lost if each.digest == digest]
        if restored:
            batch = max(restored)
        elif (
            newest is not None
            and newest.digest == digest
            and newest > max(lost, default=_NEVER)
            and _is_over(window, newest.ingested_at) == _is_over(window, ingested_at)
        ):
            self._strike(entity, lost)
            if window != WHOLE:
                self._unchanged[newest] = batch
            return Landed(records, malformed, changed=False)
        elif newest is not None and max_shrink is not None:
            before = self._files.row_count(self._file(entity, newest))
            if records < before * (1 - max_shrink):
                raise ShrinkError(
                    f"{records:,} records were delivered, but {before:,} the last time:"
                    f" that is more than {max_shrink:.0%} fewer. If this is correct, "
                    "allow it with --max-shrink."
                )
        self._write_batch(entity, batch, rows, source, replace=bool(restored))
        self._strike(entity, [each for each in lost if each != batch])
        left_out = records - self._files.row_count(self._file(entity, batch))
        return Landed(records, malformed, changed=True, left_out=left_out)

    def make_folders(self) -> None:
        """Create the folders, without access for others: they contain personal data."""
        self.folder.mkdir(0o750, parents=True, exist_ok=True)
        self.incoming.mkdir(exist_ok=True)

    def reland_superseded(self, connection: DuckDBPyConnection) -> set[str]:
        """Land unchanged days again if another batch has changed their sessions since.

        The last delivery of a session counts. Suppose that a day is delivered with the
        content of its newest batch, and another day's batch has changed one of its
        sessions since. Then this delivery is the last one, so the day lands again with
        the time of this fetch. Only two things are read: the session ids that landed
        after the unchanged batches, and the batches with the same ids.

        Args:
            connection: a connection from `engine`.

        Returns:
            The windows that landed again.

        """
        landed: set[str] = set()
        unchanged, self._unchanged = self._unchanged, {}
        while superseded := self._superseded(connection, unchanged):
            for batch in superseded:
                rows = self._read(connection, [batch])
                ((source,),) = rows.select("_source").limit(1).fetchall()
                rows = rows.select(StarExpression(exclude=_METADATA))
                self._write_batch(_SESSIONS, unchanged.pop(batch), rows, source)
                landed.add(batch.window)
        return landed

    def _superseded(
        self, connection: DuckDBPyConnection, unchanged: dict[Batch, Batch]
    ) -> list[Batch]:
        """Return the unchanged batches with sessions that another batch changed."""
        first = min(unchanged, default=_NEVER)
        later = {batch for batch in self._batches[_SESSIONS] if batch > first}
        if not unchanged or not later:
            return []
        ids = "session_id, _batch_id"
        for name, batches in (("delivered", unchanged), ("later", later)):
            self._read(connection, batches).select(ids).create_view(name)
        shared = {id for (id,) in connection.sql(_DELIVERED_LATER).fetchall()}
        if not shared:
            return []
        deliveries = self._read(
            connection, {*unchanged, *(each for each in later if each.id in shared)}
        )
        deliveries.create_view("deliveries")
        by_new_id = {again.id: batch for batch, again in unchanged.items()}
        fetched = pa.table(
            {
                "new_id": [*by_new_id],
                "_batch_id": [batch.id for batch in by_new_id.values()],
            }
        )
        connection.register("fetched", fetched)
        query = _SUPERSEDED.format(fields=", ".join(_content_fields(deliveries)))
        return [by_new_id[id] for (id,) in connection.sql(query).fetchall()]

    @contextmanager
    def temporary_folder(self) -> Iterator[Path]:
        """Yield a temporary folder on the same file system as the landing zone."""
        self.make_folders()
        with TemporaryDirectory(dir=self.incoming) as folder:
            yield Path(folder)

    def mark_fetched(self, entity: str, moment: datetime) -> None:
        """Record when an entity was last fetched, whether or not it had changed.

        The record is the name of an empty file, so that nothing has to be read.

        Args:
            entity: what was fetched.
            moment: when, from `next_time`.

        """
        self._files.mark(f".fetched/{entity}", moment.strftime(_TIME))

    def sweep(self) -> None:
        """Remove what killed runs left in `.incoming`, and find lost batches."""
        for folder in self.incoming.glob("*/"):
            shutil.rmtree(folder)
        message = reconcile(self._files)
        if message:
            logger.info("%s", message)
        for file, fault in self.manifest.faults().items():
            batch, entity = _batch(file), file.stem
            self._note_time(batch)
            if fault:
                self._lost[entity, batch.window].append(batch)
                self._batches[entity].discard(batch)
                self._newest.pop((entity, batch.window), None)
        for entity, window in self._lost:
            for batch in self._batches[entity]:
                if batch.window == window:
                    self._add(entity, batch)

    def files(self, entity: str) -> list[PurePath]:
        """Return the files of an entity's batches."""
        return [
            file
            for file in self._files.batches()
            if file.stem == file.parent.parent.name == entity
            and file.parent.name.startswith(_PREFIX)
        ]

    def rewrite(self, file: PurePath, rows: DuckDBPyRelation) -> None:
        """Replace the rows of a batch, in one step.

        Args:
            file: the batch's file.
            rows: the new rows, with all columns.

        """
        with self.temporary_folder() as folder:
            new_file = folder / file.name
            _write(rows, new_file)
            self._files.rewrite(new_file, file)

    def _note_time(self, batch: Batch) -> None:
        """Make sure that `next_time` is later than the time of this batch."""
        if self._last is None or self._last < batch.ingested_at:
            self._last = batch.ingested_at

    def _add(self, entity: str, batch: Batch) -> None:
        """Add a batch that has landed."""
        with self._lock:
            self._batches[entity].add(batch)
            newest = self._newest.get((entity, batch.window))
            if newest is None or newest < batch:
                self._newest[entity, batch.window] = batch

    def _strike(self, entity: str, lost: Iterable[Batch]) -> None:
        """Remove lost batches from the manifest, once their window has landed again."""
        for batch in lost:
            file = self._file(entity, batch)
            if not self._files.exists(file):
                self.manifest.strike(file)  # type: ignore[arg-type]
                logger.warning(
                    "%s is lost: its window was delivered with other content. Run `dbt "
                    "build --full-refresh`.",
                    self.location(file),
                )

    def _read(
        self, connection: DuckDBPyConnection, batches: Iterable[Batch]
    ) -> DuckDBPyRelation:
        """Return the rows of batches of sessions."""
        files = [self.location(self._file(_SESSIONS, batch)) for batch in batches]
        return connection.read_parquet(files, hive_partitioning=False)

    def _changes(self, window: str, rows: DuckDBPyRelation) -> DuckDBPyRelation:
        """Return the rows of the sessions that differ from what was landed last.

        They are compared with the batches of all days since the window's first one.
        """
        with self._lock:
            batches = [*self._batches[_SESSIONS]]
        first = min(batch for batch in batches if batch.window == window)
        files = [
            literal(self.location(self._file(_SESSIONS, batch)))
            for batch in batches
            if batch >= first
        ]
        rows = self.erasure_registry.erase(_SESSIONS, rows)
        return rows.query(
            "delivered",
            _CHANGES.format(
                fields=", ".join(_content_fields(rows)),
                files=f"[{', '.join(files)}]",
            ),
        )

    def _file(self, entity: str, batch: Batch) -> PurePath:
        return self._files.path(entity, f"{_PREFIX}{batch.id}", f"{entity}.parquet")

    def _write_batch(
        self,
        entity: str,
        batch: Batch,
        rows: DuckDBPyRelation,
        source: str,
        *,
        replace: bool = False,
    ) -> None:
        """Write a batch to a temporary folder, then move it to its place."""
        target = self._file(entity, batch)
        with self.temporary_folder() as folder:
            # A subfolder, because the temporary folder itself has mode 0700.
            file = folder / target.parent.name / target.name
            file.parent.mkdir()
            labelled = self.erasure_registry.erase(entity, rows).select(
                StarExpression(),
                ConstantExpression(batch.ingested_at).alias("_ingested_at"),
                ConstantExpression(source).alias("_source"),
                ConstantExpression(batch.id).alias("_batch_id"),
            )
            _write(labelled, file)
            self._files.place(file, target, batch.ingested_at, replace=replace)
        self._add(entity, batch)


def check_landing_zone(landing: Path, store: ObjectStore | None = None) -> str:
    """Check that a build will read exactly what has landed.

    Files and folders that a build does not read are allowed. A file is read only if its
    size or its modification time differs from the manifest.

    Args:
        landing: the landing zone.
        store: the bucket in which it is; None if it is in the folder.

    Returns:
        A message to log; empty in most cases.

    Raises:
        LandingZoneError: a batch is missing or damaged, there is another Parquet file
            among the batches, or two batches of an entity have the same time.
        ManifestError: the manifest cannot be read.
        ObjectStoreError: the bucket cannot be used.

    """
    landed = landed_files(landing, store)
    files = landed.batches()
    fetched: dict[tuple[str, datetime], PurePath] = {}
    for file in files:
        entity, batch = file.parent.parent.name, Batch.of_folder(file.parent)
        if file.stem != entity or batch is None:
            raise LandingZoneError(
                f"{landed.location(file)} was not landed by scripts/land.py. Move it "
                f"out of {landed}, then run the same command again."
            )
        other = fetched.setdefault((entity, batch.ingested_at), file)
        if other != file:
            raise LandingZoneError(
                f"{landed.location(file)} and {landed.location(other)} have the same "
                "time, but each batch of an entity has its own: one comes from another "
                f"landing zone. Move that one out of {landed}, land its window with "
                "scripts/land.py, then run the same command again."
            )
    message = reconcile(landed)
    faults: Mapping[Any, str] = landed.manifest.faults()
    bad = [file for file, fault in faults.items() if fault]
    for file in bad:
        way = "remove its folder and land" if landed.exists(file) else "land"
        more = f". There are {len(bad) - 1:,} more such files" if len(bad) > 1 else ""
        raise LandingZoneError(
            f"{landed.location(file)} {faults[file]}. Restore it from a backup, or "
            f"{way} its window again: {_command(file)}{more}"
        )
    for file in files:
        if file not in faults:
            raise LandingZoneError(
                f"{landed.location(file)} is not in the manifest: it is damaged, or "
                f"the copy of a batch under another name. Move its folder out of "
                f"{landed} and land its window again: {_command(file)}"
            )
    return message


def reconcile(files: LandedFiles) -> str:
    """Bring the manifest up to date; create it if an older version landed without one.

    Args:
        files: the files of the landing zone.

    Returns:
        A message to log; empty in most cases.

    Raises:
        ManifestError: the manifest cannot be read.

    """
    files.manifest.reconcile()
    if isinstance(files, BucketFiles) or files.manifest.exists:
        return ""
    matching = [Path(file) for file in files.batches() if _matches_its_folder(file)]
    if not matching:
        return ""
    files.manifest.adopt(matching)
    return (
        f"{files.manifest.path} did not exist: the {len(matching):,} batches that are "
        "there now count as landed."
    )


def landed_files(landing: Path, store: ObjectStore | None) -> LandedFiles:
    """Return the files of a landing zone: those in the bucket, if there is one."""
    return FolderFiles(landing) if store is None else BucketFiles(store)


def _batch(file: PurePath) -> Batch:
    """Return the batch of a file in the manifest."""
    batch = Batch.of_folder(file.parent)
    assert batch is not None  # noqa: S101 - the manifest has no others
    return batch


def _matches_its_folder(file: PurePath) -> bool:
    """Return whether the `_batch_id` in a file is the one in its folder's name."""
    batch = Batch.of_folder(file.parent)
    if batch is None or file.name != f"{file.parent.parent.name}.parquet":
        return False
    try:
        footer = pyarrow.parquet.read_metadata(Path(file))
    except (OSError, pa.ArrowInvalid):
        return False
    column = footer.schema.names.index("_batch_id")
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    bounds = [group.column(column).statistics for group in groups]
    return all(
        {each.min, each.max} == {batch.id} for each in bounds if each is not None
    )


def _command(file: PurePath) -> str:
    """Return the command that lands a batch's window again."""
    window = _batch(file).window
    command = f"python scripts/land.py {file.stem}"
    if window == WHOLE:
        return command
    end = date.fromisoformat(window) + timedelta(days=1)
    return f"{command} --start {window} --end {end}"


def _is_over(window: str, moment: datetime) -> bool:
    """Return whether what is fetched at this moment (UTC) is all of a window."""
    return window == WHOLE or moment.date() > date.fromisoformat(window)


def content_of(rows: DuckDBPyRelation, is_malformed: str) -> tuple[int, int, str]:
    """Return the number of rows, the number of malformed rows, and the digest.

    Args:
        rows: the rows; the content is all columns except `_position` and metadata.
        is_malformed: the SQL condition for a row that does not match its types.

    """
    fields = ", ".join(_content_fields(rows))
    ((records, malformed, digest),) = rows.aggregate(
        f"count(*), count(*) filter ({is_malformed}),"
        f" hash(count(*), sum(hash({fields})))"
    ).fetchall()
    return records, malformed, f"{digest:016x}"


def _content_fields(rows: DuckDBPyRelation) -> list[str]:
    """Return the SQL expressions that the digest of the content is made from."""
    fields = []
    for name, kind in zip(rows.columns, rows.types, strict=True):
        if name in _METADATA:
            continue
        if name != "_position":
            fields.append(f'"{name}"')
        if kind.id == "list":
            # DuckDB hashes null and an empty list to the same value.
            fields.append(f'"{name}" is null')
    return fields


def _write(rows: DuckDBPyRelation, file: Path) -> None:
    """Write rows as Parquet."""
    # A higher compression level takes half as long again, and files are hardly smaller.
    # Parquet version 2 would be faster, but Spark cannot read it.
    rows.query(
        "rows",
        f"copy rows to {literal(file)} (format parquet, compression zstd,"
        " compression_level 1, dictionary_size_limit 1000)",
    )
