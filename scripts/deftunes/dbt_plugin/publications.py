"""Publications: the files that readers open, one folder each, replaced in one step.

`serving/current` is a link to the publication that readers open. Each publication has a
record of its files, so that the next build can detect whether somebody changed them.
The macros `publish_lake` and `rollback` call the functions of `Publications`. With a
lakehouse in a bucket, what is published here is copied there: `PublishedObjects`.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb

from deftunes.dbt_plugin.published_objects import PublishedObjects
from deftunes.files import remove, sync

COPY = "deftunes.duckdb"
CATALOGUE = "deftunes.ducklake"
ROLES = "roles"
RECORD = ".files.json"
"""The file of a publication with size and modification time of its other files."""

_TIME = "%Y%m%dT%H%M%S%fZ"
_COPY_BYTES = 1 << 30
# Role files contain only what the role may see; the two others contain everything.
_MODES = {COPY: 0o600, CATALOGUE: 0o600, RECORD: 0o600}
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class Publications:
    """The publications of a lakehouse; only the process with the lock changes them."""

    def __init__(self, serving: Path, objects: PublishedObjects | None = None) -> None:
        """Set the paths; nothing is read yet.

        Args:
            serving: the folder of the published files; created when first needed.
            objects: the bucket to copy them to; None if readers open the folder.

        """
        self.serving = serving
        self._objects = objects
        self._folder = serving / "publications"
        self._building = self._folder / ".building"
        self._journal = self._folder / ".begun"

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The functions to register with DuckDB under their names."""
        return [
            *(self.kept_publications, self.unfinished_publications),
            *(self.next_publication, self.publication_damage),
            *(self.start_publishing, self.reusable_publication, self.start_database),
            *(self.finish_publishing, self.settle_publishing),
        ]

    def kept_publications(self) -> list[str]:
        """Return the ids of the existing publications, first the current one.

        The first is empty if nothing has been published yet.
        """
        others = {path.name for path in self._folder.glob("[!.]*") if path.is_dir()}
        return [self._current, *sorted(others - {self._current})]

    def unfinished_publications(self) -> list[str]:
        """Return the ids of the publications that were begun but not finished."""
        return list(self._begun)

    def next_publication(self, last: str) -> str:
        """Return an id for a new publication: the current time (UTC).

        It sorts after all other ids, even if the clock was set back.

        Args:
            last: the last id in the lake; empty if there is none.

        """
        moment = datetime.now(timezone.utc)
        for existing in (last, *self.kept_publications(), *self._begun):
            with suppress(ValueError):  # a folder that is not a publication
                before = datetime.strptime(existing, _TIME).replace(tzinfo=timezone.utc)
                moment = max(moment, before + timedelta(microseconds=1))
        return moment.strftime(_TIME)

    def publication_damage(self, publication: str, name: str) -> str:
        """Return what has changed in a publication since it was published.

        Compares the size and modification time of each file, and lets DuckDB open it;
        no rows are read.

        Args:
            publication: its id.
            name: the only file to check; empty to check all files and the links in
                `serving/` through which readers open them.

        Returns:
            The first damage found; empty if there is none.

        """
        folder = self._folder / publication
        record = _record(folder)
        if not folder.is_dir():
            return f"{folder} is missing"
        if not (record or name):
            return f"{folder / RECORD}, the record of what was published, is unreadable"
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
        return self._objects.damage() if self._objects and not name else ""

    def start_publishing(self, publication: str, previous: str) -> str:
        """Create the folder to build a publication in, without access for others.

        Removes what an interrupted run left there.

        Args:
            publication: the id that it will have.
            previous: the id of the publication to copy the catalogue from; empty for
                none.

        Returns:
            The path of the folder.

        """
        self._start_building()
        if previous:
            shutil.copyfile(
                self._folder / previous / CATALOGUE, self._building / CATALOGUE
            )
        begun = self._begun | {publication: self._current}
        lines = "".join(f"{new} {before}\n" for new, before in begun.items())
        if self._objects:
            self._objects.begin(lines)
        self._write_journal(lines)
        return str(self._building)

    def reusable_publication(self) -> str:
        """Return the id of a publication whose databases may be changed and reused.

        Adding a day to an existing database costs as much as the day; a copy of the
        database costs as much as all days. The previous publication can be changed:
        readers no longer open it by its name, and a rollback needs only its catalogue.

        Returns:
            The id. Empty if no publication has the same databases as the current one,
            if somebody reads one of them or has written to it, or if one is mostly free
            space, which DuckDB does not give back.

        """
        wanted = self._databases(self._current)
        for publication in self.kept_publications()[1:]:
            databases = self._databases(publication)
            if databases and databases == wanted:
                folder = self._folder / publication
                if all(_is_free(folder, name) for name in databases):
                    return publication
        return ""

    def start_database(self, name: str, publication: str) -> bool:
        """Begin a database of the new publication with that of an existing one.

        Args:
            name: the database.
            publication: the id of the current publication, whose database is copied, or
                the result of `reusable_publication`, whose database is moved.

        Returns:
            False if there is no database of this name, or it cannot be used.

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
        """Make the new publication the current one, in one step.

        Returns:
            The path that readers open.

        """
        self._write_record()
        before = self._folder / self._current
        # Without a record, an older version of this project made the files: nobody
        # chose their modes, so they are not kept.
        has_record = bool(_record(before))
        for path in (*self._building.rglob("*"), self._building):
            previous = before / path.relative_to(self._building)
            sync(path)
            _set_access(path, previous if has_record else None)
        self._building.replace(self._folder / publication)
        sync(self._folder)
        if self._objects:
            names = list(_record(self._folder / publication))
            self._objects.publish(self._folder / publication, names, self._current)
        _link(self.serving / "current", self._folder / publication)
        return self.settle_publishing()

    def settle_publishing(self) -> str:
        """Update the links and remove old publications; also after a kill.

        The previous publication is kept for a rollback; older ones are removed.

        Returns:
            The path that readers open; empty if there was nothing to do.

        """
        serving, current, begun = self.serving, self._current, self._begun
        if current not in begun:
            return ""
        self._update_links({current, begun[current]})
        if self._objects:
            self._objects.settle()
        self._journal.unlink()
        return str(serving / (COPY if (serving / COPY).exists() else CATALOGUE))

    def pull(self, wanted: Iterable[str] | None = None) -> str:
        """Bring the folder up to date with the bucket, if there is one.

        It is behind after another machine has published, on a new machine, and after a
        kill between the two steps of `finish_publishing`.

        Args:
            wanted: the only files to download; None for all, and the catalogue of the
                previous publication.

        Returns:
            The id of the publication; empty if nothing has been published.

        Raises:
            ObjectStoreError: the store refuses something, or there is no such file.
            PublishedObjectsError: the object `current` is damaged.

        """
        if self._objects is None:
            return self._current
        current = self._objects.current()
        if not current.publication:
            return self._current
        names = {current.publication: list(wanted or current.files)}
        if wanted is None and current.previous:
            names[current.previous] = [CATALOGUE]
        missing = {
            publication: files
            for publication, files in names.items()
            if not all((self._folder / publication / file).exists() for file in files)
        }
        for publication, files in missing.items():
            self._download(self._objects, publication, files)
        if missing or current.publication != self._current:
            self._write_journal(self._objects.begun() if wanted is None else "")
            _link(self.serving / "current", self._folder / current.publication)
            self._update_links({*names})
        return current.publication

    def _update_links(self, kept: set[str]) -> None:
        """Update the links to the current publication, and remove all but some."""
        for name in (CATALOGUE, COPY, ROLES):
            _link(self.serving / name, self.serving / "current" / name)
        for path in self._folder.glob("[!.]*"):
            if path.name not in kept:
                remove(path)

    def _download(
        self, objects: PublishedObjects, publication: str, names: list[str]
    ) -> None:
        """Download files of a publication; its folder appears when it is complete."""
        self._start_building()
        objects.download(publication, names, self._building)
        self._write_record()
        for path in (*self._building.rglob("*"), self._building):
            sync(path)
            _set_access(path, None)
        remove(self._folder / publication)
        self._building.replace(self._folder / publication)

    def _start_building(self) -> None:
        """Create an empty folder to build a publication in, without access for others.

        Removes what an interrupted run left there.
        """
        remove(self._building)
        for folder in (self.serving, self._folder, self._building):
            folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        self._building.chmod(0o700)
        (self._building / ROLES).mkdir()

    def _write_record(self) -> None:
        """Record the files of the folder that is being built."""
        files = [path for path in self._building.rglob("*") if path.is_file()]
        (self._building / RECORD).write_text(
            json.dumps(
                {
                    path.relative_to(self._building).as_posix(): _size_and_time(path)
                    for path in files
                }
            )
        )

    def _write_journal(self, lines: str) -> None:
        """Replace the journal of unfinished publications."""
        new_journal = self._journal.with_suffix(".new")
        new_journal.write_text(lines)
        new_journal.replace(self._journal)

    def _databases(self, publication: str) -> set[str]:
        """Return the databases of a publication, as paths relative to its folder."""
        folder = self._folder / publication
        paths = folder.rglob("*.duckdb")
        return {path.relative_to(folder).as_posix() for path in paths}

    @property
    def _begun(self) -> dict[str, str]:
        """The unfinished publications, each with the one that was current before it."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return {new: before for new, _, before in (x.partition(" ") for x in lines)}

    @property
    def _current(self) -> str:
        link = self.serving / "current"
        return link.readlink().name if link.is_symlink() else ""


def _record(publication: Path) -> dict[str, list[int]]:
    """Return size and time of each file of a publication; empty without a record."""
    try:
        record: dict[str, list[int]] = json.loads((publication / RECORD).read_text())
    except (OSError, ValueError):
        return {}
    return record


def _size_and_time(path: Path) -> list[int]:
    """Return the size and modification time of a file, or of a link itself."""
    status = path.lstat()
    return [status.st_size, status.st_mtime_ns]


def _is_as_published(publication: Path, name: str) -> bool:
    """Return whether a file is unchanged since it was published."""
    return _record(publication).get(name) == _size_and_time(publication / name)


def _opens(database: Path) -> bool:
    """Return whether a database is readable for DuckDB, as far as can be checked.

    Also true if another process has locked it or we may not read it.
    """
    if database.with_name(f"{database.name}.wal").exists():
        return False  # somebody has written to it, and readers would see the changes
    try:
        with duckdb.connect(database, read_only=True):
            return True
    except duckdb.Error as error:
        return "lock on file" in str(error) or not os.access(database, os.R_OK)


def _is_free(publication: Path, name: str) -> bool:
    """Return whether a database is unchanged, not open, and has no other hard link."""
    database = publication / name
    if not _is_as_published(publication, name) or database.stat().st_nlink > 1:
        return False
    try:
        # Fails if another DuckDB has it open, since that holds a lock on the file.
        with duckdb.connect(database):
            pass
    except duckdb.Error:
        return False
    return not _is_mostly_free(database)


def _is_mostly_free(database: Path) -> bool:
    """Return whether a database has more free than used blocks, or cannot be opened."""
    sizes = "select free_blocks > used_blocks from pragma_database_size()"
    try:
        with duckdb.connect(database, read_only=True) as connection:
            ((is_free,),) = connection.execute(sizes).fetchall()
    except duckdb.Error:
        return True
    return bool(is_free)


def _set_access(path: Path, previous: Path | None) -> None:
    """Give a file or folder the owner, group and mode of its previous version.

    Args:
        path: the file or folder.
        previous: the one in the previous publication, whose access an administrator may
            have changed; None to set the default mode.

    """
    status = path.stat()
    is_folder = stat.S_ISDIR(status.st_mode)
    path.chmod(_FOLDER_MODE if is_folder else _MODES.get(path.name, _FILE_MODE))
    if previous is None or previous.is_symlink() or not previous.exists():
        return
    old = previous.stat()
    if stat.S_ISDIR(old.st_mode) != is_folder:
        return
    for owner, group in ((-1, old.st_gid), (old.st_uid, -1)):
        with suppress(PermissionError):
            os.chown(path, owner, group)
    # The mode and the extended attributes, such as access control lists.
    shutil.copystat(previous, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    # If the group could not be set, its permissions must not go to another group.
    if path.stat().st_gid != old.st_gid:
        path.chmod(stat.S_IMODE(old.st_mode) & ~stat.S_IRWXG)


def _copy(source: Path, target: Path) -> None:
    """Copy a file; the copies share their blocks if the file system supports it."""
    try:
        with source.open("rb") as old, target.open("wb") as new:
            while os.copy_file_range(old.fileno(), new.fileno(), _COPY_BYTES):
                pass
    except (AttributeError, OSError):  # not supported by this system or file system
        shutil.copyfile(source, target)


def _link(link: Path, target: Path) -> None:
    """Point a link to a target in one step; remove the link if there is no target."""
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a folder, if serving/ was copied with links resolved
    if not target.exists():
        link.unlink(missing_ok=True)
        return
    new = link.with_name(f".{link.name}")
    remove(new)
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    sync(link.parent)
