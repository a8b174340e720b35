"""What dbt needs that SQL cannot do: a lock, files put in place at once, queries read.

`profiles.yml` names this module as a plugin of dbt-duckdb; the macros
`check_before_run`, `upkeep`, `publish` and `rollback`, and those of materialized views,
call the functions that it registers. Those of publishing are in `publications.py`.
"""

import gc
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

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
from deftunes.dbt_plugin.queries import delta_terms, inline_view, read_query
from deftunes.dbt_plugin.remedies import (
    LostCatalogueError,
    refuse_lost_catalogue,
    remedy,
)
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import LandingZoneError, check_landing_zone
from deftunes.lock import LockedError, home_lock
from deftunes.privacy.forgotten import Person
from deftunes.settings import HomeError, Settings, SettingsError

LOCK_WAIT_SECONDS = 600.0

_REFUSALS = (
    *(HomeError, LakeError, LandingZoneError, LockedError, LostCatalogueError),
    *(ManifestError, SettingsError),
)
_logger = AdapterLogger("DuckDB")

# Holds the lock until the process ends: dbt has no hook after the last query.
_held = ExitStack()
_held_homes: set[Path] = set()
# The remedy that this run has told already.
_told: list[str] = []


class Plugin(BasePlugin):
    """Gives DuckDB its memory, and functions to lock, publish and read queries."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Make the folder of the catalogue; keep other writers out of it.

        A command that writes waits here, before it has looked at the lake: what dbt
        knows of the tables would be out of date after the wait.

        Raises:
            DbtRuntimeError: the target has no lake to write to, the home cannot be
                written, another process holds it, the landing zone is not as the loader
                left it, or the lake has lost its catalogue.

        """
        # What dbt has parsed stays until the run ends. Looking through it for garbage,
        # again and again, is a twelfth of a build with nothing new.
        if gc.get_freeze_count():  # of an earlier run in this process
            gc.unfreeze()
            gc.collect()
        gc.freeze()
        _told.clear()
        add_callback_to_manager(self.tell_remedy)
        try:
            self._lake.check()
            self.settings = Settings.from_environment()
            if self._lake.is_written:
                self.settings.make_home()
            if self._lake.is_sqlite:
                refuse_lost_catalogue(self.settings.home / "lake")
            # Closed to others: it holds everything.
            (self.settings.home / "lake").mkdir(0o750, parents=True, exist_ok=True)
            if self._lake.is_written:
                if self._lake.is_postgres:
                    # Says that there is a lake, also where its files are elsewhere.
                    (self.settings.home / "lake_pg").mkdir(0o750, exist_ok=True)
                self.hold_lock()
                # What a killed build left: such files may name people.
                self.clear_spool()
                shutil.rmtree(self.settings.home / "lake" / ".tmp", ignore_errors=True)
                said = check_landing_zone(self.settings.landing)
                if said:
                    _logger.info(said)
        except _REFUSALS as error:
            raise DbtRuntimeError(str(error)) from None
        except OSError as error:
            raise DbtRuntimeError(f"DEFTUNES_HOME cannot be used: {error}") from None

    @property
    def _lake(self) -> TargetLake:
        """What the target attaches, and what the command does with it."""
        attached = self.creds.attach if self.creds else None
        command = get_flags().WHICH  # type: ignore[no-untyped-call]
        return TargetLake((attached or [Attachment(path=":memory:")])[0], command)

    def update_connection_config(
        self, creds: DuckDBCredentials, config: dict[str, Any]
    ) -> None:
        """Keep DuckDB within the memory and the threads that it may have."""
        if self.settings.memory_limit:
            config["memory_limit"] = self.settings.memory_limit
        if self.settings.threads:
            config["threads"] = self.settings.threads

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions with the connection that dbt uses."""
        functions: list[Callable[..., Any]] = [
            *(self.hold_lock, self.absolute_path, self.spool, self.clear_spool),
            *(self.is_person, self.tells_of_person),
            *Publications(self.settings.serving).functions,
        ]
        for function in functions:
            conn.create_function(function.__name__, function, side_effects=True)
        for reader in (read_query, inline_view, delta_terms):
            conn.create_function(reader.__name__, reader)
        # dbt would do it next.
        try:
            self._lake.open(conn, self.settings.home)
        except (DataPathError, LakeError) as error:
            raise DbtRuntimeError(str(error)) from None

    def tell_remedy(self, event: Any) -> None:  # noqa: ANN401 - dbt has no type
        """Say what to do about the first error of the disk or the lake.

        Most others of the same run follow from it.
        """
        if event.info.level == "error" and not _told:
            line = remedy(event.info.msg, self.settings.home)
            if line:
                _told.append(line)
                fire_event(Note(msg=line), level=EventLevel.ERROR)

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

    def is_person(self, user_id: str) -> bool:
        """Tell whether an id is that of the person whom `make forget` erases."""
        return self._person is not None and self._person.has_id(user_id)

    def tells_of_person(self, text: str) -> bool:
        """Tell whether a text names the person whom `make forget` erases."""
        return self._person is not None and self._person.is_told(text)

    @cached_property
    def _person(self) -> Person | None:
        return Person.of_environment()

    def spool(self) -> str:
        """Return the path of the folder whose files last as long as the build."""
        self._spool.mkdir(exist_ok=True)
        return str(self._spool)

    def clear_spool(self) -> str:
        """Remove the files that last as long as a build; return where they were."""
        shutil.rmtree(self._spool, ignore_errors=True)
        return str(self._spool)

    @property
    def _spool(self) -> Path:
        return self.settings.home / "lake" / ".spool"
