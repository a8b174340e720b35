"""The dbt-duckdb plugin, for what SQL cannot do.

It holds the lock, moves published files to their place in one step, and analyses the
queries of materialized views. `profiles.yml` names this module. The macros call the
functions that it registers with DuckDB; those for publishing are in `publications.py`.
"""

import atexit
import gc
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.credentials import Attachment, DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.events.logging import AdapterLogger
from dbt.flags import get_flags
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager_client import add_callback_to_manager
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from deftunes.dbt_plugin.data_path import DataPathError
from deftunes.dbt_plugin.lake import LakeError, TargetLake
from deftunes.dbt_plugin.publications import Publications
from deftunes.dbt_plugin.published_objects import (
    PublishedObjects,
    PublishedObjectsError,
)
from deftunes.dbt_plugin.remedies import (
    LostCatalogueError,
    refuse_lost_catalogue,
    remedy,
)
from deftunes.dbt_plugin.view_maintenance import delta_queries, inline_view, read_query
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import LandingZoneError, check_landing_zone
from deftunes.lock import CatalogueLock, LockedError, catalogue_lock, home_lock
from deftunes.object_store import ObjectStore, ObjectStoreError
from deftunes.privacy.erasure_registry import Person
from deftunes.settings import HomeError, Settings, SettingsError
from deftunes.spark_lake import SparkLake

LOCK_WAIT_SECONDS = 600.0

_REFUSALS = (
    *(HomeError, LakeError, LandingZoneError, LockedError, LostCatalogueError),
    *(ManifestError, ObjectStoreError, PublishedObjectsError, SettingsError),
)
_logger = AdapterLogger("DuckDB")

# Holds the lock until the process ends: dbt has no hook after the last query.
_locks = ExitStack()
_held_locks: dict[Path, CatalogueLock | None] = {}
# The hint that this run has already logged.
_logged_hints: list[str] = []


def _exit_if_interrupted(event: Any) -> None:  # noqa: ANN401 - dbt has no type
    """End the process after Ctrl-C, before dbt prints its traceback."""
    # dbt also says so if publishing raises an error.
    is_error = isinstance(sys.exception(), DbtRuntimeError)
    is_end = event.info.name == "EndOfRunSummary" and event.data.keyboard_interrupt
    if is_end and not is_error:
        os.write(2, b"\nInterrupted: nothing was published. Run it again.\n")
        # Without this, Python warns that dbt's semaphores were leaked.
        atexit._run_exitfuncs()
        os._exit(130)


class Plugin(BasePlugin):
    """Sets DuckDB's limits and registers functions for the macros."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Check the settings and the landing zone, and take the lock.

        A command that writes waits for the lock here, before dbt reads the list of
        tables: that list would be out of date after the wait.

        Raises:
            DbtRuntimeError: the target has no lake to write to, the home cannot be
                written, another process holds the lock, the landing zone was changed,
                or the lake has lost its catalogue.

        """
        # The parsed project stays in memory until the run ends. Scanning it for garbage
        # again and again would be a twelfth of the time of a build with nothing new.
        if gc.get_freeze_count():  # frozen by an earlier run in this process
            gc.unfreeze()
            gc.collect()
        gc.freeze()
        _logged_hints.clear()
        add_callback_to_manager(self.log_hint)
        add_callback_to_manager(_exit_if_interrupted)
        try:
            self._lake.check()
            self.settings = Settings.from_environment()
            if self._lake.is_written:
                self.settings.make_home()
            # Without access for others, since it contains all data.
            (self.settings.home / "lake").mkdir(0o750, parents=True, exist_ok=True)
            if self._lake.is_sqlite:
                refuse_lost_catalogue(self._lake.folder)
                self._lake.folder.mkdir(0o750, parents=True, exist_ok=True)
            if self._lake.is_written:
                if self._lake.dsn is not None:
                    # Marks that there is such a lake, even if its files are elsewhere.
                    name = "lake_s3" if self._lake.store else "lake_pg"
                    (self.settings.home / name).mkdir(0o750, exist_ok=True)
                self.hold_lock()
                # Left by a killed build; these files may contain personal data.
                self.clear_spool()
                shutil.rmtree(self.settings.home / "lake" / ".tmp", ignore_errors=True)
                message = check_landing_zone(self.settings.landing, self.settings.store)
                if message:
                    _logger.info(message)
        except _REFUSALS as error:
            raise DbtRuntimeError(str(error)) from None
        except OSError as error:
            raise DbtRuntimeError(f"DEFTUNES_HOME cannot be used: {error}") from None

    @property
    def _lake(self) -> TargetLake:
        """The lake of the target, and the command that is running."""
        attached = self.creds.attach if self.creds else None
        command = get_flags().WHICH  # type: ignore[no-untyped-call]
        lake = (attached or [Attachment(path=":memory:")])[0]
        return TargetLake(lake, command, Settings.from_environment().store)

    @property
    def _reads_iceberg(self) -> bool:
        """Whether the target publishes what Spark has built."""
        return "iceberg" in ((self.creds and self.creds.extensions) or [])

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Set DuckDB's memory limit and number of threads."""
        for variable, name, value in (
            ("DEFTUNES_MEMORY_LIMIT", "memory_limit", self.settings.memory_limit),
            ("DEFTUNES_THREADS", "threads", self.settings.threads),
        ):
            if value:
                try:
                    duckdb.connect(config={name: value}).close()
                except duckdb.Error as error:
                    message = f"{variable}={value} cannot be used: {error}"
                    raise DbtRuntimeError(message) from None
                config[name] = value

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions with the connection that dbt uses."""
        functions: list[Callable[..., Any]] = [
            *(self.hold_lock, self.absolute_path, self.spool, self.clear_spool),
            *(self.is_person, self.mentions_person),
            *(self.abort_uploads, self.old_versions),
            *self._publications.functions,
        ]
        for function in functions:
            conn.create_function(function.__name__, function, side_effects=True)
        for reader in (read_query, inline_view, delta_queries):
            conn.create_function(reader.__name__, reader)
        # dbt would attach the lake next; here its errors get a better message.
        try:
            self._lake.open(conn, self.settings.home)
            if self._lake.is_written and self._reads_iceberg:
                spark = SparkLake(self.settings.home)
                spark.open_bucket(conn, spark.passed_build)
        except (DataPathError, LakeError, ObjectStoreError) as error:
            raise DbtRuntimeError(str(error)) from None

    def log_hint(self, event: Any) -> None:  # noqa: ANN401 - dbt has no type
        """Log what to do about the first error of the disk or the lake.

        Only the first: most later errors of a run are its consequences.
        """
        if event.info.level == "error" and not _logged_hints:
            line = remedy(event.info.msg, self.settings.home)
            if line:
                _logged_hints.append(line)
                fire_event(Note(msg=line), level=EventLevel.ERROR)

    def hold_lock(self) -> str:
        """Take the lock of the lakehouse, and keep it until the process ends.

        If the process has it, check that it has not been lost.
        """
        home, dsn = self.settings.home, self._lake.dsn
        if home not in _held_locks:
            _locks.enter_context(home_lock(home, LOCK_WAIT_SECONDS))
            _held_locks[home] = (
                _locks.enter_context(catalogue_lock(dsn, LOCK_WAIT_SECONDS))
                if dsn is not None
                else None
            )
            self._publications.pull()
        lock = _held_locks[home]
        if lock:
            lock.check()
        return str(home)

    def absolute_path(self, path: str) -> str:
        """Return the absolute path of a folder; a URL unchanged."""
        return path if "://" in path else f"{Path(path).absolute()}/"

    def is_person(self, user_id: str) -> bool:
        """Return whether an id is that of the person whom `make forget` erases."""
        return self._person is not None and self._person.has_id(user_id)

    def mentions_person(self, text: str) -> bool:
        """Return whether a text names the person whom `make forget` erases."""
        return self._person is not None and self._person.is_named_in(text)

    @cached_property
    def _person(self) -> Person | None:
        return Person.from_environment()

    def abort_uploads(self) -> int:
        """Remove the parts of killed uploads from the lake's bucket; 0 without one."""
        return self._store.abort_uploads() if self._store else 0

    def old_versions(self) -> int:
        """Count the old versions of files in the lake's bucket; 0 without one."""
        return self._store.old_versions() if self._store else 0

    @property
    def _store(self) -> ObjectStore | None:
        return self.settings.store

    @cached_property
    def _publications(self) -> Publications:
        objects = PublishedObjects(self._store) if self._store else None
        return Publications(self.settings.serving, objects)

    def spool(self) -> str:
        """Return the folder for intermediate files; create it if it is missing.

        The files are deleted when the build ends.
        """
        self._spool.mkdir(exist_ok=True)
        return str(self._spool)

    def clear_spool(self) -> str:
        """Delete the folder for intermediate files, and return its path."""
        shutil.rmtree(self._spool, ignore_errors=True)
        return str(self._spool)

    @property
    def _spool(self) -> Path:
        return self.settings.home / "lake" / ".spool"
