"""The files of a landing zone: in a folder of this machine, or in a bucket.

Both classes have the same methods, so nothing else has to know where the files are. A
file is named by its path: in a bucket, that is relative to the landing zone.
"""

import os
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path, PurePath, PurePosixPath

import pyarrow.parquet  # type: ignore[import-untyped]
from duckdb import DuckDBPyConnection

from deftunes.files import sync
from deftunes.landing.manifest import BucketManifest, Manifest
from deftunes.object_store import ObjectStore

_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_LANDING = "landing"


class FolderFiles:
    """Files in a folder.

    A batch is moved to its place by one rename, which is recorded in the manifest
    before.
    """

    def __init__(self, folder: Path) -> None:
        """Set the paths; nothing is read yet."""
        self.folder = folder
        self.manifest = Manifest(folder)

    def __str__(self) -> str:
        """Return the path of the folder."""
        return str(self.folder)

    def connect(self, connection: DuckDBPyConnection) -> None:
        """Let DuckDB read the files."""

    def path(self, *parts: str) -> Path:
        """Return the path of a file of the landing zone."""
        return self.folder.joinpath(*parts)

    def location(self, file: PurePath) -> str:
        """Return how DuckDB and people name a file."""
        return str(file)

    def batches(self) -> list[PurePath]:
        """Return the Parquet files that a build reads.

        Its pattern matches hidden files, too.
        """
        return sorted(self.folder.glob("[!.]*/*/*.parquet"))

    def folders(self) -> list[PurePath]:
        """Return the folders of batches, also of batches whose file is lost."""
        return [*self.folder.glob("[!.]*/*/")]

    def is_empty(self) -> bool:
        """Return whether nothing has landed."""
        return not any(self.folder.glob("[!.]*/*"))

    def exists(self, file: PurePath) -> bool:
        """Return whether there is a file at this path."""
        return Path(file).is_file()

    def row_count(self, file: PurePath) -> int:
        """Return the number of rows of a batch."""
        return int(pyarrow.parquet.read_metadata(Path(file)).num_rows)

    def place(
        self, made: Path, file: PurePath, time: datetime, *, replace: bool
    ) -> None:
        """Move the file of a new batch to its place, in one step.

        Args:
            made: the file, alone in a folder on the same file system.
            file: its place.
            time: the time of its batch. No other batch has it, so the manifest detects
                a file in another's place.
            replace: whether it replaces a damaged file.

        """
        target = Path(file)
        microseconds = (time - _EPOCH) // timedelta(microseconds=1)
        _set_modification_time(made, microseconds * 1000)
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        sync(made)
        sync(made.parent)
        self.manifest.expect(target, made)
        if target.parent.exists():  # the file was lost, its folder was not
            made.replace(target)
            sync(target.parent)
        else:
            made.parent.rename(target.parent)
        sync(target.parent.parent)

    def rewrite(self, made: Path, file: PurePath) -> None:
        """Replace the file of a batch, in one step."""
        target = Path(file)
        # Unique among batches, and different from the time of the old file.
        _set_modification_time(made, target.stat().st_mtime_ns + 1)
        sync(made)
        self.manifest.expect(target, made)
        made.replace(target)
        sync(target.parent)

    def read_text(self, name: str) -> str | None:
        """Return the content of a small file; None if there is none."""
        file = self.folder / name
        return file.read_text() if file.exists() else None

    def write_text(self, name: str, text: str) -> None:
        """Write a small file that only we may read, in one step."""
        building = self.folder / f"{name}.building"
        building.unlink(missing_ok=True)
        with os.fdopen(os.open(building, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        building.replace(self.folder / name)

    def mark(self, folder: str, name: str) -> None:
        """Leave an empty file in a folder, and remove those with lower names."""
        marks = self.folder / folder
        marks.mkdir(parents=True, exist_ok=True)
        (marks / name).touch()
        for older in marks.iterdir():
            if older.name < name:
                older.unlink(missing_ok=True)


class BucketFiles:
    """Files in a bucket.

    A batch is one object, stored by one request, which is refused if the object exists.
    What it is, is noted on the object itself: so the manifest is written only at the
    end of a run, and a run that was killed leaves nothing unknown.
    """

    def __init__(self, store: ObjectStore) -> None:
        """Set the store; nothing is read yet."""
        self.store = store
        self.manifest = BucketManifest(store, _LANDING)
        self._lock = threading.Lock()

    def __str__(self) -> str:
        """Return the URL of the folder."""
        return self.store.url(_LANDING)

    def connect(self, connection: DuckDBPyConnection) -> None:
        """Let DuckDB read the files."""
        connection.load_extension("httpfs")
        self.store.open(connection)

    def path(self, *parts: str) -> PurePosixPath:
        """Return the path of a file, relative to the landing zone."""
        return PurePosixPath(*parts)

    def location(self, file: PurePath) -> str:
        """Return how DuckDB and people name a file."""
        return self.store.url(f"{_LANDING}/{file}")

    def batches(self) -> list[PurePath]:
        """Return the Parquet files that a build reads."""
        return sorted(self.manifest.stamps())

    def folders(self) -> list[PurePath]:
        """Return the folders of batches."""
        return [file.parent for file in self.manifest.stamps()]

    def is_empty(self) -> bool:
        """Return whether nothing has landed."""
        return not self.batches()

    def exists(self, file: PurePath) -> bool:
        """Return whether there is an object at this path."""
        return file in self.manifest.stamps()

    def row_count(self, file: PurePath) -> int:
        """Return the number of rows of a batch."""
        return int((self.store.metadata(self._name(file)) or {}).get("rows", 0))

    def place(
        self, made: Path, file: PurePath, time: datetime, *, replace: bool
    ) -> None:
        """Store the file of a new batch, in one step.

        Args:
            made: the file.
            file: its place.
            time: the time of its batch.
            replace: whether it replaces a damaged file.

        Raises:
            ObjectExistsError: another process has landed the batch.

        """
        noted = self.manifest.note(file, made) | {"rows": str(_row_count(made))}
        stamp = self.store.put(self._name(file), made, noted, replace=replace)
        with self._lock:
            self.manifest.add(file, stamp, noted)

    def rewrite(self, made: Path, file: PurePath) -> None:
        """Replace the file of a batch, in one step."""
        self.place(made, file, _EPOCH, replace=True)

    def read_text(self, name: str) -> str | None:
        """Return the content of a small object; None if there is none."""
        content = self.store.read(f"{_LANDING}/{name}")
        return None if content is None else content.decode()

    def write_text(self, name: str, text: str) -> None:
        """Write a small object, in one step."""
        self.store.write(f"{_LANDING}/{name}", text.encode())

    def mark(self, folder: str, name: str) -> None:
        """Leave an empty object in a folder, and remove those with lower names."""
        marks = f"{_LANDING}/{folder}"
        self.store.write(f"{marks}/{name}", b"")
        older = [mark for mark in self.store.objects(marks) if mark < f"{marks}/{name}"]
        self.store.delete(older)

    def _name(self, file: PurePath) -> str:
        return f"{_LANDING}/{file}"


LandedFiles = FolderFiles | BucketFiles


def _row_count(file: Path) -> int:
    return int(pyarrow.parquet.read_metadata(file).num_rows)


def _set_modification_time(file: Path, time_ns: int) -> None:
    """Set the modification time of a file, in ns since 1970 (UTC)."""
    os.utime(file, ns=(time_ns, time_ns))
