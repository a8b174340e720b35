"""The landing zone: raw, immutable Parquet, one folder per batch.

A batch is `<entity>/_batch_id=<id>/<entity>.parquet`. Its id is the UTC time of the
fetch, the window and a digest of the content as it was delivered, so that ids sort by
time and the same content is recognised. A batch is made in `.incoming` and appears by
one rename. Forgetting a person is all that ever changes one; a manifest notices if
something else does.
"""

import logging
import os
import re
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
from duckdb import (
    ConstantExpression,
    DuckDBPyConnection,
    DuckDBPyRelation,
    StarExpression,
)

from deftunes.landing.manifest import Manifest
from deftunes.privacy.forgotten import Forgotten

WHOLE = "all"
"""The window of an extract of everything."""

DEMO_MARKER = ".demo"
"""The file that a landing zone carries when what it holds is made up."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_PREFIX = "_batch_id="
_FOLDER = re.compile(
    rf"{_PREFIX}(\d{{8}}T\d{{12}}Z)_({WHOLE}|\d{{4}}-\d\d-\d\d)_([0-9a-f]{{16}})"
)

# What lands by the day.
_SESSIONS = "sessions"

# What a batch has besides what was delivered.
_LABELS = ("_ingested_at", "_source", "_batch_id")

# The batches that deliver sessions which some batches before them deliver too.
_DELIVERED_LATER = """
    select distinct later._batch_id
    from later
    inner join delivered using (session_id)
    where later._batch_id > delivered._batch_id
"""
# `fetched` has the batches whose windows came again as they were: the ids that they
# have, and those that they would have if they had landed again. Ids sort by time.
_OVERTAKEN = """
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

logger = logging.getLogger(__name__)


class ShrinkError(Exception):
    """An extract is much smaller than the last one; the message names both sizes."""


class LandingZoneError(Exception):
    """The landing zone holds a file that is not as it landed, or lacks one.

    The message names the file and the remedy.
    """


@dataclass(frozen=True, order=True)
class Batch:
    """A batch's identity.

    Attributes:
        ingested_at: when it was fetched (UTC); no other batch has the same time.
        window: the day it covers, or `WHOLE`.
        digest: 16 hexadecimal digits that depend on its rows but not on their order.

    """

    ingested_at: datetime
    window: str
    digest: str

    @property
    def id(self) -> str:
        """Its name."""
        return f"{self.ingested_at.strftime(_TIME)}_{self.window}_{self.digest}"

    @classmethod
    def of_folder(cls, folder: Path) -> "Batch | None":
        """Return the batch that a folder holds; None if it is not the loader's."""
        match = _FOLDER.fullmatch(folder.name)
        if match is None:
            return None
        time, window, digest = match.groups()
        moment = datetime.strptime(time, _TIME).replace(tzinfo=timezone.utc)
        return cls(moment, window, digest)


_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_NEVER = Batch(datetime.min.replace(tzinfo=timezone.utc), "", "")


@dataclass(frozen=True)
class Landed:
    """What came of landing one window.

    Attributes:
        records: how many were delivered.
        misfits: how many of them hold a `_payload`, at any level.
        changed: False if the window's newest batch has the same content already.
        left_out: how many did not land because they tell of forgotten people.

    """

    records: int
    misfits: int
    changed: bool
    left_out: int = 0


class LandingZone:
    """A landing zone with one writer, whose threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Look at what has landed.

        Args:
            folder: the landing zone; made when first needed.

        """
        self.folder = folder
        self.incoming = folder / ".incoming"
        self.forgotten = Forgotten.of(folder)
        self.manifest = Manifest(folder)
        self._lock = threading.Lock()
        self._batches: dict[str, set[Batch]] = defaultdict(set)
        self._newest: dict[tuple[str, str], Batch] = {}
        self._lost: dict[tuple[str, str], list[Batch]] = defaultdict(list)
        self._unchanged: dict[Batch, Batch] = {}
        self._last: datetime | None = None
        for path in folder.glob(f"[!.]*/{_PREFIX}*"):
            batch, entity = Batch.of_folder(path), path.parent.name
            if batch is not None:
                self._saw(batch)
                if self._file(entity, batch).is_file():
                    self._add(entity, batch)

    def next_time(self) -> datetime:
        """Return the present time (UTC), always later than at any batch before."""
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
        misfit: str,
        source: str,
        ingested_at: datetime,
        max_shrink: float | None = None,
    ) -> Landed:
        """Land a window's rows, unless its newest batch was delivered the same.

        What they tell of forgotten people does not land. A batch that was lost lands
        again as it was if the same is delivered again.

        Args:
            entity: what they are.
            window: the day, or `WHOLE`.
            rows: the rows; `_position` is no content.
            misfit: the SQL condition of a row that does not fit its types.
            source: where they come from, without secrets.
            ingested_at: when they were fetched, from `next_time`.
            max_shrink: the share by which there may be fewer than in the window's
                newest batch; None for any.

        Returns:
            What came of it.

        Raises:
            ShrinkError: there are too few rows.

        """
        records, misfits, digest = _content(rows, misfit)
        newest = self._newest.get((entity, window))
        batch = Batch(ingested_at, window, digest)
        lost = self._lost.pop((entity, window), [])
        restored = [each for each in lost if each.digest == digest]
        if restored:
            batch = max(restored)
        elif (
            newest is not None
            and newest.digest == digest
            and newest > max(lost, default=_NEVER)
        ):
            self._give_up(entity, lost)
            if window != WHOLE:
                self._unchanged[newest] = batch
            return Landed(records, misfits, changed=False)
        elif newest is not None and max_shrink is not None:
            before = self._count(entity, newest)
            if records < before * (1 - max_shrink):
                raise ShrinkError(
                    f"{records:,} records came, but {before:,} the last time: that is "
                    f"more than {max_shrink:.0%} fewer. If it is right, allow it with "
                    "--max-shrink."
                )
        self._publish(entity, batch, rows, source)
        self._give_up(entity, [each for each in lost if each != batch])
        left_out = records - self._count(entity, batch)
        return Landed(records, misfits, changed=True, left_out=left_out)

    def make(self) -> None:
        """Make the folders, closed to others: they hold everything."""
        self.folder.mkdir(0o750, parents=True, exist_ok=True)
        self.incoming.mkdir(exist_ok=True)

    def land_overtaken(self, connection: DuckDBPyConnection) -> set[str]:
        """Land the days again whose unchanged sessions are the last delivery again.

        The last delivery of a session counts. If a day came as its newest batch, but
        another day's batch has changed one of its sessions since, then the day lands
        again, with the time of its fetch. Nothing is read but the ids of the sessions
        that landed after the unchanged batches, and the batches that share some.

        Args:
            connection: a connection of `engine`.

        Returns:
            The windows that landed again.

        """
        landed: set[str] = set()
        unchanged, self._unchanged = self._unchanged, {}
        while overtaken := self._overtaken(connection, unchanged):
            for batch in overtaken:
                rows = self._read(connection, [batch])
                ((source,),) = rows.select("_source").limit(1).fetchall()
                rows = rows.select(StarExpression(exclude=_LABELS))
                self._publish(_SESSIONS, unchanged.pop(batch), rows, source)
                landed.add(batch.window)
        return landed

    def _overtaken(
        self, connection: DuckDBPyConnection, unchanged: dict[Batch, Batch]
    ) -> list[Batch]:
        """Return the unchanged batches that hold the last delivery of a session."""
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
        query = _OVERTAKEN.format(fields=", ".join(_content_fields(deliveries)))
        return [by_new_id[id] for (id,) in connection.sql(query).fetchall()]

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Yield a folder on the same file system that goes at the end of the block."""
        self.make()
        with TemporaryDirectory(dir=self.incoming) as folder:
            yield Path(folder)

    def mark_fetched(self, entity: str, moment: datetime) -> None:
        """Remember when an entity was last fetched, whether or not it had changed.

        The name of an empty file says it, so that nothing is read to know it.

        Args:
            entity: what was fetched.
            moment: when, from `next_time`.

        """
        folder = self.folder / ".fetched" / entity
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / moment.strftime(_TIME)
        mark.touch()
        for older in folder.iterdir():
            if older.name < mark.name:
                older.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed runs left in `.incoming`, and look for what was lost."""
        for folder in self.incoming.glob("*/"):
            shutil.rmtree(folder)
        adopted = settle(self.manifest)
        if adopted:
            logger.info("%s", adopted)
        for file, fault in self.manifest.faults().items():
            batch, entity = _batch(file), file.stem
            self._saw(batch)
            if fault:
                self._lost[entity, batch.window].append(batch)
                self._batches[entity].discard(batch)
                self._newest.pop((entity, batch.window), None)
        for entity, window in self._lost:
            for batch in self._batches[entity]:
                if batch.window == window:
                    self._add(entity, batch)

    def files(self, entity: str) -> list[Path]:
        """Return the files of an entity's batches."""
        return sorted(self.folder.glob(f"{entity}/{_PREFIX}*/{entity}.parquet"))

    def rewrite(self, file: Path, rows: DuckDBPyRelation) -> None:
        """Put other rows in the place of a batch's, in one step.

        Args:
            file: the batch's file.
            rows: all of its columns.

        """
        with self.workplace() as place:
            building = place / file.name
            _write(rows, building)
            # Still no other batch's time, and not that of the rows before.
            _date(building, file.stat().st_mtime_ns + 1)
            _sync(building)
            self.manifest.expect(file, building)
            building.replace(file)
        _sync(file.parent)

    def _saw(self, batch: Batch) -> None:
        """Let all times to come be later than a batch's."""
        if self._last is None or self._last < batch.ingested_at:
            self._last = batch.ingested_at

    def _add(self, entity: str, batch: Batch) -> None:
        """Note a batch that has landed."""
        self._batches[entity].add(batch)
        newest = self._newest.get((entity, batch.window))
        if newest is None or newest < batch:
            self._newest[entity, batch.window] = batch

    def _give_up(self, entity: str, lost: Iterable[Batch]) -> None:
        """Do without lost batches whose window has landed again."""
        for batch in lost:
            file = self._file(entity, batch)
            if not file.exists():
                self.manifest.strike(file)
                logger.warning(
                    "%s is gone for good: its window came with other content. Run dbt "
                    "build --full-refresh.",
                    file,
                )

    def _read(
        self, connection: DuckDBPyConnection, batches: Iterable[Batch]
    ) -> DuckDBPyRelation:
        """Return the rows of some batches of sessions."""
        files = [str(self._file(_SESSIONS, batch)) for batch in batches]
        return connection.read_parquet(files, hive_partitioning=False)

    def _file(self, entity: str, batch: Batch) -> Path:
        return self.folder / entity / f"{_PREFIX}{batch.id}" / f"{entity}.parquet"

    def _count(self, entity: str, batch: Batch) -> int:
        metadata = pyarrow.parquet.read_metadata(self._file(entity, batch))
        return int(metadata.num_rows)

    def _publish(
        self, entity: str, batch: Batch, rows: DuckDBPyRelation, source: str
    ) -> None:
        """Write a batch and let it appear."""
        target = self._file(entity, batch)
        with self.workplace() as place:
            # The workplace is for its owner's eyes; what is made in it is not.
            file = place / target.parent.name / target.name
            file.parent.mkdir()
            labelled = self.forgotten.erase(entity, rows).select(
                StarExpression(),
                ConstantExpression(batch.ingested_at).alias("_ingested_at"),
                ConstantExpression(source).alias("_source"),
                ConstantExpression(batch.id).alias("_batch_id"),
            )
            _write(labelled, file)
            # No other batch has its time, so that a file in another's place shows.
            _date(
                file, (batch.ingested_at - _EPOCH) // timedelta(microseconds=1) * 1000
            )
            target.parent.parent.mkdir(parents=True, exist_ok=True)
            _sync(file)
            _sync(file.parent)
            self.manifest.expect(target, file)
            if target.parent.exists():  # of a batch that was lost
                file.replace(target)
                _sync(target.parent)
            else:
                file.parent.rename(target.parent)
        _sync(target.parent.parent)
        self._add(entity, batch)


def check_landing_zone(landing: Path) -> str:
    """Make sure that a build reads what has landed, all of it, and nothing else.

    Files and folders that a build does not read may lie about. No file is read unless
    its size or its time is not the one that it landed with.

    Args:
        landing: the landing zone.

    Returns:
        What is worth saying; mostly nothing.

    Raises:
        LandingZoneError: a batch is gone or damaged, there is another Parquet file
            among the batches, or two batches of an entity have the same time.
        ManifestError: the manifest cannot be read.

    """
    files = _files(landing)
    fetched: dict[tuple[str, datetime], Path] = {}
    for file in files:
        entity, batch = file.parent.parent.name, Batch.of_folder(file.parent)
        if file.stem != entity or batch is None:
            raise LandingZoneError(
                f"{file} was not landed by scripts/land.py. Move it out of {landing}, "
                "then run the same again."
            )
        other = fetched.setdefault((entity, batch.ingested_at), file)
        if other != file:
            raise LandingZoneError(
                f"{file} and {other} were fetched at the same time, which tells "
                "batches apart: one is another landing zone's. Move it out of "
                f"{landing}, let scripts/land.py land its window, then run the same "
                "again."
            )
    manifest = Manifest(landing)
    said = settle(manifest)
    faults = manifest.faults()
    bad = [file for file, fault in faults.items() if fault]
    for file in bad:
        way = "remove its folder and land" if file.exists() else "land"
        more = f". There are {len(bad) - 1:,} more such files" if len(bad) > 1 else ""
        raise LandingZoneError(
            f"{file} {faults[file]} as it landed. Put it back from a backup, or {way} "
            f"its window again: {_command(file)}{more}"
        )
    for file in files:
        if file not in faults:
            raise LandingZoneError(
                f"{file} is damaged, or the copy of a batch under another name: it did "
                f"not land as it is. Move its folder out of {landing} and land its "
                f"window again: {_command(file)}"
            )
    return said


def settle(manifest: Manifest) -> str:
    """Bring a manifest up to date; begin it where an earlier version has landed.

    Args:
        manifest: the manifest.

    Returns:
        What is worth saying; mostly nothing.

    Raises:
        ManifestError: the manifest cannot be read.

    """
    manifest.settle()
    if manifest.path.exists():
        return ""
    files = [file for file in _files(manifest.landing) if _is_as_named(file)]
    if not files:
        return ""
    manifest.adopt(files)
    return (
        f"{manifest.path} did not exist: the {len(files):,} batches that are there now "
        "count as landed."
    )


def _files(landing: Path) -> list[Path]:
    """Return what a build would read: DuckDB's pattern takes hidden files too."""
    return sorted(landing.glob("[!.]*/*/*.parquet"))


def _batch(file: Path) -> Batch:
    """Return the batch of one of the loader's files."""
    batch = Batch.of_folder(file.parent)
    assert batch is not None  # noqa: S101 - the manifest has no others
    return batch


def _is_as_named(file: Path) -> bool:
    """Tell whether a file says that it is the batch that its folder's name says."""
    batch = Batch.of_folder(file.parent)
    if batch is None or file.name != f"{file.parent.parent.name}.parquet":
        return False
    try:
        footer = pyarrow.parquet.read_metadata(file)
    except (OSError, pa.ArrowInvalid):
        return False
    column = footer.schema.names.index("_batch_id")
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    held = [group.column(column).statistics for group in groups]
    return all({each.min, each.max} == {batch.id} for each in held if each is not None)


def _command(file: Path) -> str:
    """Return the command that lands a batch's window again."""
    window = _batch(file).window
    command = f"python scripts/land.py {file.stem}"
    if window == WHOLE:
        return command
    end = date.fromisoformat(window) + timedelta(days=1)
    return f"{command} --start {window} --end {end}"


def _content(rows: DuckDBPyRelation, misfit: str) -> tuple[int, int, str]:
    """Return the number of rows, of misfits among them, and the digest."""
    fields = ", ".join(_content_fields(rows))
    ((records, misfits, digest),) = rows.aggregate(
        f"count(*), count(*) filter ({misfit}), hash(count(*), sum(hash({fields})))"
    ).fetchall()
    return records, misfits, f"{digest:016x}"


def _content_fields(rows: DuckDBPyRelation) -> list[str]:
    """Return the SQL expressions of what is content in rows."""
    fields = []
    for name, kind in zip(rows.columns, rows.types, strict=True):
        if name in _LABELS:
            continue
        if name != "_position":
            fields.append(f'"{name}"')
        if kind.id == "list":
            fields.append(f'"{name}" is null')  # DuckDB hashes an empty one alike
    return fields


def _write(rows: DuckDBPyRelation, file: Path) -> None:
    """Write rows as Parquet."""
    target = str(file).replace("'", "''")  # COPY takes no parameters
    # More effort takes half as long again and makes it hardly smaller. The second
    # version of Parquet would be quicker, but Spark cannot read it.
    rows.query(
        "rows",
        f"copy rows to '{target}' (format parquet, compression zstd,"
        " compression_level 1, dictionary_size_limit 1000)",
    )


def _date(file: Path, time_ns: int) -> None:
    """Say that a file was changed at a time, in ns since 1970 (UTC)."""
    os.utime(file, ns=(time_ns, time_ns))


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
