"""The landing zone: raw, immutable Parquet, one folder per batch.

A batch is `<entity>/_batch_id=<id>/<entity>.parquet`. Its id is the UTC time of the
fetch, the window and a digest of the content as it was delivered, so that ids sort by
time and the same content is recognised. A batch is made in `.incoming` and appears by
one rename. Forgetting a person is all that ever changes one.
"""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet  # type: ignore[import-untyped]
from duckdb import ConstantExpression, DuckDBPyRelation, StarExpression

from deftunes.forgotten import Forgotten

WHOLE = "all"
"""The window of an extract of everything."""

DEMO_MARKER = ".demo"
"""The file that a landing zone carries when what it holds is made up."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_PREFIX = "_batch_id="
_FOLDER = re.compile(
    rf"{_PREFIX}(\d{{8}}T\d{{12}}Z)_({WHOLE}|\d{{4}}-\d\d-\d\d)_([0-9a-f]{{16}})"
)


class ShrinkError(Exception):
    """An extract is much smaller than the last one; the message names both sizes."""


class ForeignError(Exception):
    """The landing zone holds files of others; the message names one and the remedy."""


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
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, str], Batch] = {}
        batches = sorted(
            (batch, path.parent.name)
            for path in folder.glob(f"[!.]*/{_PREFIX}*")
            if (batch := Batch.of_folder(path)) is not None
        )
        for batch, entity in batches:
            self._newest[entity, batch.window] = batch
        self._last = batches[-1][0].ingested_at if batches else None

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

        What they tell of forgotten people does not land.

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
        if newest is not None and newest.digest == digest:
            return Landed(records, misfits, changed=False)
        if newest is not None and max_shrink is not None:
            before = self._count(entity, newest)
            if records < before * (1 - max_shrink):
                raise ShrinkError(
                    f"{records:,} records came, but {before:,} the last time: that is "
                    f"more than {max_shrink:.0%} fewer. If it is right, allow it with "
                    "--max-shrink."
                )
        batch = Batch(ingested_at, window, digest)
        self._publish(entity, batch, rows, source)
        self._newest[entity, window] = batch
        left_out = records - self._count(entity, batch)
        return Landed(records, misfits, changed=True, left_out=left_out)

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Yield a folder on the same file system that goes at the end of the block."""
        self.incoming.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self.incoming) as folder:
            yield Path(folder)

    def sweep(self) -> None:
        """Remove the folders that killed runs left in `.incoming`."""
        for folder in self.incoming.glob("*/"):
            shutil.rmtree(folder)

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
            _sync(building)
            building.replace(file)
        _sync(file.parent)

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
            target.parent.parent.mkdir(parents=True, exist_ok=True)
            _sync(file)
            _sync(file.parent)
            file.parent.rename(target.parent)
        _sync(target.parent.parent)


def refuse_foreign_files(folder: Path) -> None:
    """Make sure that what a build would read is the loader's.

    Files and folders that a build does not read may lie about.

    Args:
        folder: the landing zone.

    Raises:
        ForeignError: there is another Parquet file among the batches, or two batches
            of an entity have the same time.

    """
    fetched: dict[tuple[str, datetime], Path] = {}
    for file in sorted(folder.glob("[!.]*/[!.]*/[!.]*.parquet")):
        entity, batch = file.parent.parent.name, Batch.of_folder(file.parent)
        if file.stem != entity or batch is None:
            raise ForeignError(
                f"{file} was not landed by scripts/land.py. Move it out of {folder}, "
                "then run the same again."
            )
        other = fetched.setdefault((entity, batch.ingested_at), file)
        if other != file:
            raise ForeignError(
                f"{file} and {other} were fetched at the same time, which tells "
                f"batches apart: one is another landing zone's. Move it out of {folder}"
                ", let scripts/land.py land its window, then run the same again."
            )


def _content(rows: DuckDBPyRelation, misfit: str) -> tuple[int, int, str]:
    """Return the number of rows, of misfits among them, and the digest."""
    fields = []
    for name, kind in zip(rows.columns, rows.types, strict=True):
        if name != "_position":
            fields.append(f'"{name}"')
        if kind.id == "list":
            fields.append(f'"{name}" is null')  # DuckDB hashes an empty one alike
    counts = rows.aggregate(
        f"count(*), count(*) filter ({misfit}),"
        f" hash(count(*), sum(hash({', '.join(fields)})))"
    ).fetchone()
    assert counts is not None  # noqa: S101 - an aggregate has one row
    records, misfits, digest = counts
    return records, misfits, f"{digest:016x}"


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


def _sync(path: Path) -> None:
    """Wait until a file or folder is on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
