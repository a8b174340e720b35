"""What dbt needs that SQL cannot do: a lock, files put in place at once, queries read.

`profiles.yml` names this module as a plugin of dbt-duckdb; the macros
`check_before_run`, `upkeep`, `publish` and `rollback`, and those of materialized views,
call the functions that it registers.
"""

import gc
import hashlib
import json
import os
import shutil
from contextlib import ExitStack
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from deftunes.landing import LandingZoneError, check_landing_zone
from deftunes.lock import LockedError, home_lock
from deftunes.manifest import ManifestError
from deftunes.queries import delta_terms, inline_view, read_query
from deftunes.settings import Settings, SettingsError

LOCK_WAIT_SECONDS = 600.0
COPY = "deftunes.duckdb"
CATALOGUE = "deftunes.ducklake"
_COPY_BYTES = 1 << 30

_WRITING_COMMANDS = {"build", "retry", "run", "seed", "snapshot", "test"}

_REFUSALS = (LandingZoneError, LockedError, ManifestError, SettingsError)
_logger = AdapterLogger("DuckDB")

# Holds the lock until the process ends: dbt has no hook after the last query.
_held = ExitStack()
_held_homes: set[Path] = set()


class Plugin(BasePlugin):
    """Gives DuckDB its memory, and functions to lock, publish and read queries."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Make the folder of the catalogue; keep other writers out of it.

        A command that writes waits here, before it has looked at the lake: what dbt
        knows of the tables would be out of date after the wait.

        Raises:
            DbtRuntimeError: the home cannot be written, another process holds it, or
                the landing zone is not as the loader left it.

        """
        # What dbt has parsed stays until the run ends. Looking through it for garbage,
        # again and again, is a twelfth of a build with nothing new.
        if gc.get_freeze_count():  # of an earlier run in this process
            gc.unfreeze()
            gc.collect()
        gc.freeze()
        try:
            self.settings = Settings.from_environment()
            if get_flags().WHICH in _WRITING_COMMANDS:  # type: ignore[no-untyped-call]
                self.settings.make_home()
            (self.settings.home / "lake").mkdir(parents=True, exist_ok=True)
            if get_flags().WHICH in _WRITING_COMMANDS:  # type: ignore[no-untyped-call]
                self.hold_lock()
                # What a killed build left: such files may name people.
                self.clear_spool()
                shutil.rmtree(self.settings.home / "lake" / ".tmp", ignore_errors=True)
                said = check_landing_zone(self.settings.landing)
                if said:
                    _logger.info(said)
        except OSError as error:
            raise DbtRuntimeError(f"DEFTUNES_HOME cannot be used: {error}") from None
        except _REFUSALS as error:
            raise DbtRuntimeError(str(error)) from None

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Keep DuckDB within the memory that it may have."""
        if self.settings.memory_limit:
            config["memory_limit"] = self.settings.memory_limit

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions with the connection that dbt uses."""
        for function in (
            *(self.hold_lock, self.absolute_path, self.spool, self.clear_spool),
            *(self.kept_publications, self.unfinished_publications),
            *(self.start_publishing, self.reusable_publication, self.start_database),
            *(self.finish_publishing, self.settle_publishing),
            *(self.passed_tests, self.remember_passed),
        ):
            conn.create_function(function.__name__, function, side_effects=True)
        for reader in (read_query, inline_view, delta_terms):
            conn.create_function(reader.__name__, reader)

    def hold_lock(self) -> str:
        """Keep other writers of this lakehouse out until the process ends."""
        home = self.settings.home
        if home not in _held_homes:
            _held.enter_context(home_lock(home, LOCK_WAIT_SECONDS))
            _held_homes.add(home)
        return str(home)

    def absolute_path(self, path: str) -> str:
        """Return the path of a folder as it holds anywhere; a URL holds as it is."""
        return path if "://" in path else f"{Path(path).absolute()}/"

    def spool(self) -> str:
        """Return the path of the folder whose files last as long as the build."""
        self._spool.mkdir(exist_ok=True)
        return str(self._spool)

    def clear_spool(self) -> str:
        """Remove the files that last as long as a build; return where they were."""
        shutil.rmtree(self._spool, ignore_errors=True)
        return str(self._spool)

    def kept_publications(self) -> list[str]:
        """Return the ids of the publications in place, first what readers open.

        The first is empty where nothing has been published yet.
        """
        others = {folder.name for folder in self._publications.glob("[!.]*")}
        return [self._current, *sorted(others - {self._current})]

    def unfinished_publications(self) -> list[str]:
        """Return the ids of the publications that were begun and did not end."""
        return list(self._begun)

    def start_publishing(self, publication_id: str, previous: str) -> str:
        """Make the folder to build a publication in, closed to anybody else.

        Args:
            publication_id: what it will be called.
            previous: the id of the publication whose catalogue it takes; empty for
                none.

        Returns:
            Its path; what an interrupted run left there is gone.

        """
        shutil.rmtree(self._building, ignore_errors=True)
        (self._building / "roles").mkdir(parents=True)
        self._building.chmod(0o700)
        if previous:
            shutil.copy(self._publications / previous / CATALOGUE, self._building)
        with self._journal.open("a") as journal:
            journal.write(f"{publication_id} {self._current}\n")
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
            folder = self._publications / publication
            held = self._databases(publication)
            is_whole = held and held.keys() == wanted.keys()
            if is_whole and all(_is_free(path, folder) for path in held.values()):
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
        folder = self._publications / publication
        source, target = folder / name, self._building / name
        if not source.is_file():
            return False
        if publication != self._current:
            source.rename(target)
            return True
        _copy(source, target)
        if not _is_as_published(source, folder) or _is_mostly_free(target):
            target.unlink()
            return False
        return True

    def finish_publishing(self, publication_id: str) -> str:
        """Put what was built in the place of what is published, in one step.

        Returns:
            The path of what readers open.

        """
        for name in {COPY, CATALOGUE} & set(os.listdir(self._building)):
            (self._building / name).chmod(0o600)
        os.utime(self._building / CATALOGUE)
        for path in (*self._building.rglob("*"), self._building):
            _sync(path)
        self._building.chmod(0o755)
        self._building.replace(self._publications / publication_id)
        _link(self.settings.serving / "current", self._publications / publication_id)
        return self.settle_publishing()

    def settle_publishing(self) -> str:
        """Do what is left once a publication is in place, also if a kill came between.

        What was published until then stays for a rollback; what was before that goes.

        Returns:
            The path of what readers open; empty where nothing was left to do.

        """
        serving, current, begun = self.settings.serving, self._current, self._begun
        if current not in begun:
            return ""
        for name in (CATALOGUE, COPY, "roles"):
            _link(serving / name, serving / "current" / name)
        for folder in self._publications.glob("[!.]*"):
            if folder.name not in (current, begun[current]):
                shutil.rmtree(folder)
        self._journal.unlink()
        return str(serving / (COPY if (serving / COPY).exists() else CATALOGUE))

    def passed_tests(self, lake: str) -> list[str]:
        """Return the digests of the tests that have passed on what is landed, today.

        Args:
            lake: which snapshot of which lake this is.

        """
        return self._passed.get(self._data(lake), [])

    def remember_passed(self, tests: list[str], lake: str) -> bool:
        """Remember that tests have passed; what is known of any other data goes.

        Returns:
            Whether that was new.

        """
        data = self._data(lake)
        known = set(self._passed.get(data, ()))
        if known.issuperset(tests):
            return False
        new = self._passed_file.with_suffix(".new")
        new.write_text(json.dumps({data: sorted(known.union(tests))}))
        new.replace(self._passed_file)
        return True

    def _data(self, lake: str) -> str:
        today = datetime.now(timezone.utc).date()
        return f"{today} {lake} {self._landed}"

    @cached_property
    def _landed(self) -> str:
        """A digest of the names, sizes and ages of all landed files.

        Nobody lands while dbt holds the lock.
        """
        digest = hashlib.sha256()
        for path in sorted(self.settings.landing.rglob("*.parquet")):
            held = path.stat()
            digest.update(f"{path} {held.st_size} {held.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    @cached_property
    def _passed(self) -> dict[str, list[str]]:
        try:
            passed: dict[str, list[str]] = json.loads(self._passed_file.read_text())
        except (OSError, ValueError):
            return {}
        return passed

    @property
    def _passed_file(self) -> Path:
        return self.settings.home / "lake" / ".passed.json"

    @property
    def _spool(self) -> Path:
        return self.settings.home / "lake" / ".spool"

    @property
    def _publications(self) -> Path:
        return self.settings.serving / "publications"

    @property
    def _building(self) -> Path:
        return self._publications / ".building"

    def _databases(self, publication: str) -> dict[Path, Path]:
        """Return the databases of a publication by their paths in it."""
        folder = self._publications / publication
        return {path.relative_to(folder): path for path in folder.rglob("*.duckdb")}

    @property
    def _journal(self) -> Path:
        return self._publications / ".begun"

    @property
    def _begun(self) -> dict[str, str]:
        """What was begun and did not end, and what was published then."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        return dict(line.split(" ", 1) for line in lines)

    @property
    def _current(self) -> str:
        link = self.settings.serving / "current"
        return link.readlink().name if link.is_symlink() else ""


def _copy(source: Path, target: Path) -> None:
    """Copy a file; where the file system can, the copies share what they have alike."""
    try:
        with source.open("rb") as old, target.open("wb") as new:
            while os.copy_file_range(old.fileno(), new.fileno(), _COPY_BYTES):
                pass
    except (AttributeError, OSError):  # not everywhere, nor between all file systems
        shutil.copyfile(source, target)


def _is_as_published(database: Path, publication: Path) -> bool:
    """Tell whether nobody has written to a database since it was published.

    The catalogue is the last file of a publication that is touched.
    """
    catalogue = publication / CATALOGUE
    return (
        catalogue.is_file()
        and database.stat().st_mtime_ns <= catalogue.stat().st_mtime_ns
    )


def _is_free(database: Path, publication: Path) -> bool:
    """Tell whether a database is as published, and nobody has it open or linked."""
    if database.stat().st_nlink > 1:
        return False
    try:
        # DuckDB locks what it has open, and writes to nothing that is locked.
        with duckdb.connect(database):
            pass
    except duckdb.Error:
        return False
    return _is_as_published(database, publication) and not _is_mostly_free(database)


def _is_mostly_free(database: Path) -> bool:
    """Tell whether a database has more free blocks than used ones."""
    with duckdb.connect(database, read_only=True) as connection:
        sizes = "from pragma_database_size()"
        return bool(
            connection.sql(sizes).filter("free_blocks > used_blocks").fetchone()
        )


def _sync(path: Path) -> None:
    """Have the operating system write a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _link(link: Path, target: Path) -> None:
    """Make a link lead elsewhere in one step, or remove it if nothing is there."""
    if not target.exists():
        link.unlink(missing_ok=True)
        return
    if link.is_dir() and not link.is_symlink():
        shutil.rmtree(link)  # a copy of serving/ that followed the links
    new = link.with_name(f".{link.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(target.relative_to(link.parent))
    new.replace(link)
    _sync(link.parent)
