"""What readers open: one folder per publication, put in place in one step.

`serving/current` leads to the publication that readers open. Each publication keeps a
record of its files, so that the next build sees whether they are what was published.
The macros `publish_lake` and `rollback` call the functions of `Publications`.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb

COPY = "deftunes.duckdb"
CATALOGUE = "deftunes.ducklake"
ROLES = "roles"
RECORD = ".files.json"
"""The file of a publication that holds the size and the time of each other file."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_COPY_BYTES = 1 << 30
# Role files hold what their role may see; the two others hold everything.
_MODES = {COPY: 0o600, CATALOGUE: 0o600, RECORD: 0o600}
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class Publications:
    """The publications of a lakehouse; there is one writer, who holds the lock."""

    def __init__(self, serving: Path) -> None:
        """Look at nothing yet.

        Args:
            serving: the folder of what is published; made when first needed.

        """
        self.serving = serving
        self._folder = serving / "publications"
        self._building = self._folder / ".building"
        self._journal = self._folder / ".begun"

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions that SQL calls by their names."""
        return [
            *(self.kept_publications, self.unfinished_publications),
            *(self.next_publication, self.publication_damage),
            *(self.start_publishing, self.reusable_publication, self.start_database),
            *(self.finish_publishing, self.settle_publishing),
        ]

    def kept_publications(self) -> list[str]:
        """Return the ids of the publications in place, first what readers open.

        The first is empty where nothing has been published yet.
        """
        others = {path.name for path in self._folder.glob("[!.]*") if path.is_dir()}
        return [self._current, *sorted(others - {self._current})]

    def unfinished_publications(self) -> list[str]:
        """Return the ids of the publications that were begun and did not end."""
        return list(self._begun)

    def next_publication(self, last: str) -> str:
        """Return an id for a new publication, the present time (UTC).

        It sorts after all others, also when the clock was set back.

        Args:
            last: the last id that the lake knows; empty for none.

        """
        moment = datetime.now(timezone.utc)
        for known in (last, *self.kept_publications(), *self._begun):
            with suppress(ValueError):  # another folder than a publication's
                before = datetime.strptime(known, _TIME).replace(tzinfo=timezone.utc)
                moment = max(moment, before + timedelta(microseconds=1))
        return moment.strftime(_TIME)

    def publication_damage(self, publication: str, name: str) -> str:
        """Say what of a publication is not what was published.

        A file is known by its size and its time, and DuckDB has to be able to open it;
        no rows are read.

        Args:
            publication: its id.
            name: the one file to look at; empty for all files and, as readers open
                them by these, the links in `serving/`.

        Returns:
            The first damage found; empty for none.

        """
        folder = self._folder / publication
        record = _record(folder)
        if not folder.is_dir():
            return f"{folder} is missing"
        if not (record or name):
            return f"{folder / RECORD}, which says what was published, cannot be read"
        for file in [name] if name else record:
            path = folder / file
            if not os.path.lexists(path):
                return f"{path} is missing"
            if record and record.get(file) != _size_and_time(path):
                return f"{path} was changed"
            if not _opens(path):
                return f"{path} cannot be opened"
        for form in () if name else (COPY, CATALOGUE, ROLES):
            link, target = self.serving / form, folder / form
            if target.exists() and not (link.is_symlink() and link.exists()):
                return f"{link} does not lead to {target}"
        return ""

    def start_publishing(self, publication: str, previous: str) -> str:
        """Make the folder to build a publication in, closed to anybody else.

        Args:
            publication: the id that it will have.
            previous: the id of the publication whose catalogue it takes; empty for
                none.

        Returns:
            Its path; what an interrupted run left there is gone.

        """
        _remove(self._building)
        for folder in (self.serving, self._folder, self._building):
            folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        self._building.chmod(0o700)
        (self._building / ROLES).mkdir()
        if previous:
            shutil.copyfile(
                self._folder / previous / CATALOGUE, self._building / CATALOGUE
            )
        begun = self._begun | {publication: self._current}
        lines = "".join(f"{new} {before}\n" for new, before in begun.items())
        new_journal = self._journal.with_suffix(".new")
        new_journal.write_text(lines)
        new_journal.replace(self._journal)
        return str(self._building)

    def reusable_publication(self) -> str:
        """Return the id of a publication whose databases may be written to.

        A day that is added to a large database costs what the day weighs, a copy of it
        what all days weigh. Nobody opens the one before the last by its name any more,
        and to roll back to it its catalogue is enough.

        Returns:
            The id; empty where there is none with the databases of the current one,
            somebody still reads one of them or has written to it, or one is mostly
            free space, which DuckDB does not give back.

        """
        wanted = self._databases(self._current)
        for publication in self.kept_publications()[1:]:
            held = self._databases(publication)
            if held and held == wanted:
                folder = self._folder / publication
                if all(_is_free(folder, name) for name in held):
                    return publication
        return ""

    def start_database(self, name: str, publication: str) -> bool:
        """Have a database of the publication that is built start as another one's.

        Args:
            name: the database.
            publication: the id of the current publication, which keeps its own, or of
                what `reusable_publication` has named, which does not.

        Returns:
            Whether it does; not where there is none of this name, or it is no use.

        """
        folder = self._folder / publication
        source, target = folder / name, self._building / name
        if not (source.is_file() and os.access(source, os.R_OK)):
            return False
        if publication != self._current:
            source.rename(target)
            return True
        _copy(source, target)
        if not _is_as_published(folder, name) or _is_mostly_free(target):
            target.unlink()
            return False
        return True

    def finish_publishing(self, publication: str) -> str:
        """Put what was built in the place of what is published, in one step.

        Returns:
            The path of what readers open.

        """
        files = [path for path in self._building.rglob("*") if path.is_file()]
        record = self._building / RECORD
        record.write_text(
            json.dumps(
                {
                    path.relative_to(self._building).as_posix(): _size_and_time(path)
                    for path in files
                }
            )
        )
        before = self._folder / self._current
        # Those of another version of this project were not chosen by anybody.
        is_known = bool(_record(before))
        for path in (*self._building.rglob("*"), self._building):
            like = before / path.relative_to(self._building)
            _sync(path)
            _give_access(path, like if is_known else None)
        self._building.replace(self._folder / publication)
        _sync(self._folder)
        _link(self.serving / "current", self._folder / publication)
        return self.settle_publishing()

    def settle_publishing(self) -> str:
        """Do what is left once a publication is in place, also if a kill came between.

        What was published until then stays for a rollback; what was before that goes.

        Returns:
            The path of what readers open; empty where nothing was left to do.

        """
        serving, current, begun = self.serving, self._current, self._begun
        if current not in begun:
            return ""
        for name in (CATALOGUE, COPY, ROLES):
            _link(serving / name, serving / "current" / name)
        for path in self._folder.glob("[!.]*"):
            if path.name not in (current, begun[current]):
                _remove(path)
        self._journal.unlink()
        return str(serving / (COPY if (serving / COPY).exists() else CATALOGUE))

    def _databases(self, publication: str) -> set[str]:
        """Return the databases of a publication by their paths in it."""
        folder = self._folder / publication
        paths = folder.rglob("*.duckdb")
        return {path.relative_to(folder).as_posix() for path in paths}

    @property
    def _begun(self) -> dict[str, str]:
        """What was begun and did not end, and what was published then."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return {new: before for new, _, before in (x.partition(" ") for x in lines)}

    @property
    def _current(self) -> str:
        link = self.serving / "current"
        return link.readlink().name if link.is_symlink() else ""


def _record(publication: Path) -> dict[str, list[int]]:
    """Return size and time of the files of a publication; nothing if it is unknown."""
    try:
        record: dict[str, list[int]] = json.loads((publication / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record


def _size_and_time(path: Path) -> list[int]:
    """Return what tells whether a file was written to; no link has its target's."""
    held = path.lstat()
    return [held.st_size, held.st_mtime_ns]


def _is_as_published(publication: Path, name: str) -> bool:
    """Tell whether nobody has written to a file since it was published."""
    return _record(publication).get(name) == _size_and_time(publication / name)


def _opens(database: Path) -> bool:
    """Tell whether DuckDB opens a database, or may not for now.

    Somebody may write to it, or its administrator has closed it.
    """
    if database.with_name(f"{database.name}.wal").exists():
        return False  # somebody has written to it, and readers see what they wrote
    try:
        with duckdb.connect(database, read_only=True):
            return True
    except duckdb.Error as error:
        return "lock on file" in str(error) or not os.access(database, os.R_OK)


def _is_free(publication: Path, name: str) -> bool:
    """Tell whether a database is as published, and nobody has it open or linked."""
    database = publication / name
    if not _is_as_published(publication, name) or database.stat().st_nlink > 1:
        return False
    try:
        # DuckDB locks what it has open, and writes to nothing that is locked.
        with duckdb.connect(database):
            pass
    except duckdb.Error:
        return False
    return not _is_mostly_free(database)


def _is_mostly_free(database: Path) -> bool:
    """Tell whether a database has more free blocks than used ones, or is none."""
    sizes = "select free_blocks > used_blocks from pragma_database_size()"
    try:
        with duckdb.connect(database, read_only=True) as connection:
            ((is_free,),) = connection.execute(sizes).fetchall()
    except duckdb.Error:
        return True
    return bool(is_free)


def _give_access(path: Path, like: Path | None) -> None:
    """Let those open a file or folder who may open the one before it.

    Args:
        path: the file or folder.
        like: the one before it, which its administrator may have opened to others;
            None for none.

    """
    held = path.stat()
    is_folder = stat.S_ISDIR(held.st_mode)
    path.chmod(_FOLDER_MODE if is_folder else _MODES.get(path.name, _FILE_MODE))
    if like is None or like.is_symlink() or not like.exists():
        return
    old = like.stat()
    if stat.S_ISDIR(old.st_mode) != is_folder:
        return
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(PermissionError):
            os.chown(path, owner, group)
    # The mode, and what else the file system knows of who may open it.
    shutil.copystat(like, path)
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))
    if path.stat().st_gid != old.st_gid:
        path.chmod(stat.S_IMODE(old.st_mode) & ~stat.S_IRWXG)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; where the file system can, the copies share what they have alike."""
    try:
        with source.open("rb") as old, target.open("wb") as new:
            while os.copy_file_range(old.fileno(), new.fileno(), _COPY_BYTES):
                pass
    except (AttributeError, OSError):  # not everywhere, nor between all file systems
        shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    """Have the operating system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(link: Path, target: Path) -> None:
    """Make a link lead elsewhere in one step, or remove it if nothing is there."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a copy of serving/ that followed the links
    if not target.exists():
        link.unlink(missing_ok=True)
        return
    new = link.with_name(f".{link.name}")
    _remove(new)
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    _sync(link.parent)


def _remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
