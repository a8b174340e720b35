"""What has landed, by size and checksum, so that damage shows without reading it all.

`landing/.manifest` has a line per batch: a state, the file, its size in bytes, when it
was changed (ns) and its SHA-256. A file is `expected` before it appears in its place
and `landed` once it has been seen there, so that a kill in between heals; one that
nobody has any more is `struck`. A checksum is computed again only when the size or the
time differs.
"""

import hashlib
import os
import threading
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

NAME = ".manifest"

_PIECE = 1 << 20  # bytes


class ManifestError(Exception):
    """The manifest cannot be read; the message names it and the remedy."""


@dataclass(frozen=True)
class _Entry:
    """A file as it was made."""

    size: int
    changed: int
    checksum: str

    @classmethod
    def of(cls, file: Path) -> "_Entry":
        held = file.stat()
        return cls(held.st_size, held.st_mtime_ns, _checksum(file))

    def seems_to_be(self, file: Path) -> bool:
        """Tell by size and time whether a file is this one."""
        try:
            held = file.stat()
        except OSError:
            return False
        return (held.st_size, held.st_mtime_ns) == (self.size, self.changed)


class Manifest:
    """The manifest of a landing zone; threads may share it."""

    def __init__(self, landing: Path) -> None:
        """Name it; nothing is read yet.

        Args:
            landing: the landing zone.

        """
        self.landing = landing
        self.path = landing / NAME
        self._lock = threading.Lock()

    def expect(self, file: Path, made: Path) -> None:
        """Write down, before it happens, that a file will be in place.

        Args:
            file: its place.
            made: where it was made.

        """
        self._append(self._line("expected", file, _Entry.of(made)))

    def strike(self, file: Path) -> None:
        """Write down that a file is gone for good."""
        self._append(self._line("struck", file, _Entry(0, 0, "")))

    def settle(self) -> None:
        """Keep what was expected and is there; what is not there never appeared.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        landed, expected = self._read()
        if expected:
            landed |= {
                file: entry for file, entry in expected if entry.seems_to_be(file)
            }
            self._write(landed)

    def adopt(self, files: Iterable[Path]) -> int:
        """Write down what landed before there was a manifest.

        Args:
            files: the files of batches that are as they were landed.

        Returns:
            How many they are.

        """
        landed = {file: _Entry.of(file) for file in files}
        self._write(landed)
        return len(landed)

    def faults(self) -> dict[Path, str]:
        """Return what is wrong with each landed file, or an empty text.

        Raises:
            ManifestError: the manifest cannot be read.

        """
        landed, _ = self._read()
        odd = {file for file, entry in landed.items() if not entry.seems_to_be(file)}
        found = dict.fromkeys(landed, "") | {
            file: _fault(file, landed[file]) for file in odd
        }
        touched = {
            file: replace(landed[file], changed=file.stat().st_mtime_ns)
            for file in odd
            if not found[file]
        }
        if touched:
            self._write(landed | touched)
        return found

    def _read(self) -> tuple[dict[Path, _Entry], list[tuple[Path, _Entry]]]:
        """Return what has landed and what is expected."""
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
                    continue  # a kill left it unfinished, before anything was done
                raise ManifestError(
                    f"{self.path} is damaged. Remove it, then run the same again: what "
                    "is in the landing zone then counts as landed."
                ) from None
            if state == "landed":
                landed[self.landing / name] = entry
            elif state == "expected":
                expected.append((self.landing / name, entry))
            else:
                landed.pop(self.landing / name, None)
        return landed, expected

    def _append(self, line: str) -> None:
        """Add a line that stays, after one that a kill may have left unfinished."""
        with self._lock, self.path.open("a", encoding="utf-8") as manifest:
            manifest.write(f"\n{line}\n")
            manifest.flush()
            os.fsync(manifest.fileno())

    def _write(self, landed: dict[Path, _Entry]) -> None:
        """Put a manifest of landed files in place, in one step."""
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
        while piece := content.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
