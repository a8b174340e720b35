"""The manifest: size and checksum of each landed file, to detect damage cheaply.

`landing/.manifest` has one line per batch: a state, the file, its size in bytes, its
modification time (ns) and its SHA-256. The states are:

- `expected`: written before the file is moved to its place, so that a kill at any
  moment leaves a consistent state;
- `landed`: the file has been seen in its place;
- `struck`: the file is gone for good.

A checksum is computed again only if the size or the modification time differs.

In a bucket, the manifest has the object's ETag in place of a modification time, and
lines in the first state only.
"""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import TypeVar

from deftunes.object_store import ObjectStore, Stamp

NAME = ".manifest"

_CHUNK = 1 << 20  # bytes
_File = TypeVar("_File", bound=PurePath)


class ManifestError(Exception):
    """The manifest cannot be read; the message names it and says what to do."""


@dataclass(frozen=True)
class _Entry:
    """The properties of a file when it was written."""

    size: int
    changed: str
    checksum: str

    @classmethod
    def of(cls, file: Path) -> "_Entry":
        status = file.stat()
        return cls(status.st_size, str(status.st_mtime_ns), _checksum(file))

    def matches(self, file: Path) -> bool:
        """Return whether a file has this size and modification time."""
        try:
            status = file.stat()
        except OSError:
            return False
        return (status.st_size, str(status.st_mtime_ns)) == (self.size, self.changed)


class Manifest:
    """The manifest of a landing zone in a folder; threads may share it."""

    def __init__(self, landing: Path) -> None:
        """Set the paths; nothing is read yet.

        Args:
            landing: the landing zone.

        """
        self.landing = landing
        self.path = landing / NAME
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether anything has been recorded."""
        return self.path.exists()

    def expect(self, file: Path, made: Path) -> None:
        """Record that a file is about to be moved to its place.

        Args:
            file: its final path.
            made: its temporary path.

        """
        self._append(self._line("expected", file, _Entry.of(made)))

    def strike(self, file: Path) -> None:
        """Record that a file is gone for good."""
        self._append(self._line("struck", file, _Entry(0, "0", "")))

    def reconcile(self) -> None:
        """Mark the expected files that exist as landed, and drop the other ones.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        landed, expected = self._read()
        if expected:
            landed |= {file: entry for file, entry in expected if entry.matches(file)}
            self._write(landed)

    def adopt(self, files: Iterable[Path]) -> int:
        """Record files that landed before there was a manifest.

        Args:
            files: the files of batches.

        Returns:
            The number of files.

        """
        landed = {file: _Entry.of(file) for file in files}
        self._write(landed)
        return len(landed)

    def faults(self) -> dict[Path, str]:
        """Return each landed file with what is wrong with it: an empty text if nothing.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        landed, _ = self._read()
        suspects = {file for file, entry in landed.items() if not entry.matches(file)}
        found = dict.fromkeys(landed, "") | {
            file: _fault(file, landed[file]) for file in suspects
        }
        # Files with a new modification time and the same content.
        touched = {
            file: replace(landed[file], changed=str(file.stat().st_mtime_ns))
            for file in suspects
            if not found[file]
        }
        if touched:
            self._write(landed | touched)
        return found

    def _read(self) -> tuple[dict[Path, _Entry], list[tuple[Path, _Entry]]]:
        """Return the landed files and the expected files."""
        text = self.path.read_text("utf-8", "replace") if self.path.exists() else ""
        return _parsed(text, str(self.path), lambda name: self.landing / name)

    def _append(self, line: str) -> None:
        """Append a line and flush it to disk; an earlier line may be cut off."""
        with self._lock, self.path.open("a", encoding="utf-8") as manifest:
            manifest.write(f"\n{line}\n")
            manifest.flush()
            os.fsync(manifest.fileno())

    def _write(self, landed: dict[Path, _Entry]) -> None:
        """Replace the manifest by one of these landed files, in one step."""
        new = self.path.with_name(f"{NAME}.new")
        with new.open("w", encoding="utf-8") as manifest:
            for file, entry in sorted(landed.items()):
                manifest.write(f"{self._line('landed', file, entry)}\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        new.replace(self.path)

    def _line(self, state: str, file: Path, entry: _Entry) -> str:
        return _line(state, file.relative_to(self.landing), entry)


class BucketManifest:
    """The manifest of a landing zone in a bucket, which is one object.

    It is written once per run. Objects that it does not list have been written by a run
    that was killed, if what is noted on them says that they belong in their place.
    """

    def __init__(self, store: ObjectStore, folder: str) -> None:
        """Set the names; nothing is read yet.

        Args:
            store: the store.
            folder: the landing zone, relative to it.

        """
        self.path = PurePosixPath(folder, NAME)
        self._store = store
        self._folder = folder
        self._added: dict[PurePosixPath, _Entry] = {}
        self._struck: set[PurePosixPath] = set()
        self._stamps: dict[PurePosixPath, Stamp] | None = None

    def stamps(self) -> dict[PurePosixPath, Stamp]:
        """Return the Parquet files that a build reads; listed once."""
        if self._stamps is None:
            listed = self._store.objects(self._folder).items()
            paths = {
                PurePosixPath(name).relative_to(self._folder): stamp
                for name, stamp in listed
            }
            self._stamps = {
                path: stamp
                for path, stamp in paths.items()
                if len(path.parts) == 3
                and path.suffix == ".parquet"
                and not path.parts[0].startswith(".")
            }
        return self._stamps

    def note(self, file: PurePath, made: Path) -> dict[str, str]:
        """Return what to note on the object of a batch: its place and checksum."""
        return {"place": self._url(file), "sha256": _checksum(made)}

    def add(self, file: PurePath, stamp: Stamp, noted: Mapping[str, str]) -> None:
        """Record that an object has been stored; `reconcile` writes it."""
        path = PurePosixPath(file)
        self.stamps()[path] = stamp
        self._struck.discard(path)
        self._added[path] = _Entry(stamp.size, stamp.tag, noted["sha256"])

    def strike(self, file: PurePath) -> None:
        """Record that an object is gone for good; `reconcile` writes it."""
        self._struck.add(PurePosixPath(file))

    def reconcile(self) -> None:
        """Write what was recorded, and what a killed run has stored.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        before = self._read()
        landed = before | self._added
        for path in self.stamps().keys() - landed.keys():
            noted = self._store.metadata(f"{self._folder}/{path}") or {}
            if noted.get("place") == self._url(path):
                self.add(path, self.stamps()[path], noted)
        landed |= self._added
        landed = {path: landed[path] for path in landed.keys() - self._struck}
        if landed != before:
            self._write(landed)

    def faults(self) -> dict[PurePosixPath, str]:
        """Return each landed file with what is wrong with it: an empty text if nothing.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        landed = self._read()
        found = dict.fromkeys(landed, "")
        touched = {}
        for path, entry in landed.items():
            stamp = self.stamps().get(path)
            if stamp is None:
                found[path] = "is gone"
            elif stamp.size != entry.size:
                found[path] = f"has {stamp.size:,} bytes, not {entry.size:,}"
            elif stamp.tag != entry.changed:
                if self._store.checksum(f"{self._folder}/{path}") == entry.checksum:
                    touched[path] = replace(entry, changed=stamp.tag)
                else:
                    found[path] = "has other content"
        if touched:
            self._write(landed | touched)
        return found

    def _read(self) -> dict[PurePosixPath, _Entry]:
        text = (self._store.read(str(self.path)) or b"").decode("utf-8", "replace")
        landed, _ = _parsed(text, self._store.url(str(self.path)), PurePosixPath)
        return landed

    def _write(self, landed: Mapping[PurePosixPath, _Entry]) -> None:
        lines = (_line("landed", *each) for each in sorted(landed.items()))
        text = "".join(f"{line}\n" for line in lines)
        self._store.write(str(self.path), text.encode())

    def _url(self, file: PurePath) -> str:
        return self._store.url(f"{self._folder}/{file}")


def _line(state: str, name: PurePath, entry: _Entry) -> str:
    return "\t".join(map(str, (state, name.as_posix(), *astuple(entry))))


def _parsed(
    text: str, location: str, file_of: Callable[[str], _File]
) -> tuple[dict[_File, _Entry], list[tuple[_File, _Entry]]]:
    """Return the landed files and the expected files of a manifest.

    Args:
        text: the manifest.
        location: where it is.
        file_of: returns the file of a name.

    Raises:
        ManifestError: it cannot be read.

    """
    landed: dict[_File, _Entry] = {}
    expected: list[tuple[_File, _Entry]] = []
    for line in filter(None, text.split("\n")):
        state, *fields = line.split("\t")
        try:
            name, size, changed, checksum = fields
            entry = _Entry(int(size), changed, checksum)
        except ValueError:
            if any(whole.startswith(state) for whole in ("expected", "struck")):
                continue  # a kill cut the line off; the file was not moved yet
            raise ManifestError(
                f"{location} is damaged. Remove it, then run the same command "
                "again: the files in the landing zone then count as landed."
            ) from None
        if state == "landed":
            landed[file_of(name)] = entry
        elif state == "expected":
            expected.append((file_of(name), entry))
        else:
            landed.pop(file_of(name), None)
    return landed, expected


def _fault(file: Path, entry: _Entry) -> str:
    """Return what is wrong with the content of a file, or an empty text."""
    if not file.is_file():
        return "is gone"
    size = file.stat().st_size
    if size != entry.size:
        return f"has {size:,} bytes, not {entry.size:,}"
    return "" if _checksum(file) == entry.checksum else "has other content"


def _checksum(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
