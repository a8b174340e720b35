"""The manifest: size and checksum of each landed file, to detect damage cheaply.

`landing/.manifest` has one line per batch: a state, the file, its size in bytes, its
modification time (ns) and its SHA-256. The states are:

- `expected`: written before the file is moved to its place, so that a kill at any
  moment leaves a consistent state;
- `landed`: the file has been seen in its place;
- `struck`: the file is gone for good.

A checksum is computed again only if the size or the modification time differs.
"""

import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

NAME = ".manifest"

_CHUNK = 1 << 20  # bytes


class ManifestError(Exception):
    """The manifest cannot be read; the message names it and says what to do."""


@dataclass(frozen=True)
class _Entry:
    """The properties of a file when it was written."""

    size: int
    changed: int
    checksum: str

    @classmethod
    def of(cls, file: Path) -> "_Entry":
        status = file.stat()
        return cls(status.st_size, status.st_mtime_ns, _checksum(file))

    def matches(self, file: Path) -> bool:
        """Return whether a file has this size and modification time."""
        try:
            status = file.stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size, self.changed)


class Manifest:
    """The manifest of a landing zone; threads may share it."""

    def __init__(self, landing: Path) -> None:
        """Set the paths; nothing is read yet.

        Args:
            landing: the landing zone.

        """
        self.landing = landing
        self.path = landing / NAME
        self._lock = threading.Lock()

    def expect(self, file: Path, made: Path) -> None:
        """Record that a file is about to be moved to its place.

        Args:
            file: its final path.
            made: its temporary path.

        """
        self._append(self._line("expected", file, _Entry.of(made)))

    def strike(self, file: Path) -> None:
        """Record that a file is gone for good."""
        self._append(self._line("struck", file, _Entry(0, 0, "")))

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
            file: replace(landed[file], changed=file.stat().st_mtime_ns)
            for file in suspects
            if not found[file]
        }
        if touched:
            self._write(landed | touched)
        return found

    def _read(self) -> tuple[dict[Path, _Entry], list[tuple[Path, _Entry]]]:
        """Return the landed files and the expected files."""
        landed: dict[Path, _Entry] = {}
        expected: list[tuple[Path, _Entry]] = []
        lines = self.path.read_text("utf-8", "replace") if self.path.exists() else ""
        for line in filter(None, lines.split("\n")):
            state, *fields = line.split("\t")
            try:
                name, size, changed, checksum = fields
                entry = _Entry(int(size), int(changed), checksum)
            except ValueError:
                if any(whole.startswith(state) for whole in ("expected", "struck")):
                    continue  # a kill cut the line off; the file was not moved yet
                raise ManifestError(
                    f"{self.path} is damaged. Remove it, then run the same command "
                    "again: the files in the landing zone then count as landed."
                ) from None
            if state == "landed":
                landed[self.landing / name] = entry
            elif state == "expected":
                expected.append((self.landing / name, entry))
            else:
                landed.pop(self.landing / name, None)
        return landed, expected

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
        name = file.relative_to(self.landing).as_posix()
        return "\t".join(map(str, (state, name, *astuple(entry))))


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
