"""What dbt needs that SQL cannot do: hold a lock and put a file in place at once.

`profiles.yml` names this module as a plugin of dbt-duckdb; the macros
`check_before_run`, `upkeep` and `publish` call the functions that it registers.
"""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError
from duckdb import DuckDBPyConnection

from deftunes.landing import ForeignError, refuse_foreign_files
from deftunes.lock import LockedError, home_lock
from deftunes.settings import Settings

LOCK_WAIT_SECONDS = 600.0

_WRITING_COMMANDS = {"build", "retry", "run", "seed", "snapshot", "test"}

# Holds the lock until the process ends: dbt has no hook after the last query.
_held = ExitStack()
_held_homes: set[Path] = set()


class Plugin(BasePlugin):
    """Registers SQL functions for the lock and for publishing."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Make the folder of the catalogue; keep other writers out of it.

        A command that writes waits here, before it has looked at the lake: what dbt
        knows of the tables would be out of date after the wait.

        Raises:
            DbtRuntimeError: the home cannot be written, another process holds it, or
                the landing zone holds files that the loader did not make.

        """
        self.settings = Settings.from_environment()
        try:
            (self.settings.home / "lake").mkdir(parents=True, exist_ok=True)
            if get_flags().WHICH in _WRITING_COMMANDS:  # type: ignore[no-untyped-call]
                self.hold_lock()
                refuse_foreign_files(self.settings.landing)
        except (ForeignError, LockedError, OSError) as error:
            raise DbtRuntimeError(str(error)) from None

    def configure_connection(self, conn: DuckDBPyConnection) -> None:
        """Register the functions with the connection that dbt uses."""
        for function in (self.hold_lock, self.start_publishing, self.finish_publishing):
            conn.create_function(function.__name__, function, side_effects=True)

    def hold_lock(self) -> str:
        """Keep other writers of this lakehouse out until the process ends."""
        home = self.settings.home
        if home not in _held_homes:
            _held.enter_context(home_lock(home, LOCK_WAIT_SECONDS))
            _held_homes.add(home)
        return str(home)

    def start_publishing(self) -> str:
        """Return the path to build the database at; what a killed run left is gone."""
        self.settings.serving.mkdir(parents=True, exist_ok=True)
        building = self._building
        for leftover in (building, Path(f"{building}.wal")):
            leftover.unlink(missing_ok=True)
        return str(building)

    def finish_publishing(self) -> str:
        """Put the built database in the place of the published one, in one step."""
        published = self.settings.serving / "deftunes.duckdb"
        with self._building.open("rb") as file:
            os.fsync(file.fileno())
        self._building.replace(published)
        return str(published)

    @property
    def _building(self) -> Path:
        return self.settings.serving / "deftunes.duckdb.building"
