"""A plugin of dbt for target spark: takes the lock and removes temporary files.

It also says what to do if a REST catalogue does not answer: Spark's message is long.

dbt loads every module on its path whose name begins with `dbt_`. set_up.py puts this
folder on the path of .venv-spark, so it does not matter how a person starts dbt there.
"""

import atexit
import re
import shutil
from contextlib import ExitStack
from typing import Any

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager_client import add_callback_to_manager
from dbt_common.events.functions import fire_event
from dbt_common.events.types import Note
from dbt_common.exceptions import DbtRuntimeError
from deftunes.lock import LockedError, home_lock
from deftunes.settings import HomeError, Settings, SettingsError
from deftunes.spark_lake import SparkLake

LOCK_WAIT_SECONDS = 600.0

_WRITING_COMMANDS = {
    *("build", "retry", "run", "run-operation", "seed", "snapshot", "test"),
}
_NO_ANSWER = re.compile(
    r"iceberg\.exceptions\.RESTException: Error occurred while processing"
    r"(?:.*?Caused by: [^ ]+ (?P<reason>[^\n]+))?",
    re.DOTALL,
)
_logged_hints: list[str] = []
# Holds the lock until the process ends.
_lock = ExitStack()
atexit.register(_lock.close)


def _log_hint(event: Any) -> None:  # noqa: ANN401 - dbt has no type
    """Log what to do about the first error of a REST catalogue that does not answer."""
    found = _NO_ANSWER.search(event.info.msg) if event.info.level == "error" else None
    if found and not _logged_hints:
        hint = (
            "The catalogue of DBT_ENV_SECRET_ICEBERG_URI does not answer "
            f"({found['reason'] or 'see above'}). Start it or correct the variable, "
            "then run the same command again."
        )
        _logged_hints.append(hint)
        fire_event(Note(msg=hint), level=EventLevel.ERROR)


class LockPlugin(dbtPlugin):
    """Holds the lock of the lakehouse, and keeps the folder for temporary files."""

    def initialize(self) -> None:
        """Take the lock, and remove what a killed command has left.

        Raises:
            DbtRuntimeError: another process holds the lock, the home cannot be used, or
                nothing has been landed.

        """
        if get_flags().WHICH not in _WRITING_COMMANDS:  # type: ignore[no-untyped-call]
            return
        _lock.close()  # of an earlier run in this process
        _logged_hints.clear()
        add_callback_to_manager(_log_hint)
        try:
            settings = Settings.from_environment()
            if settings.spark_catalogue == "rest":
                settings.require("iceberg_uri")
            settings.make_home()
            _lock.enter_context(home_lock(settings.home, LOCK_WAIT_SECONDS))
        except (HomeError, LockedError, SettingsError) as error:
            raise DbtRuntimeError(str(error)) from None
        if not any(settings.landing.glob("*/*/*.parquet")):
            raise DbtRuntimeError(
                f"Nothing has been landed in {settings.landing}. Land it first: "
                "python scripts/land.py --start ... --end ..."
            )
        # Without access for others, since it contains all data.
        lake = SparkLake(settings.home)
        lake.folder.mkdir(0o750, exist_ok=True)
        if settings.iceberg_uri or settings.spark_data:
            # `make forget` cannot see there, and the variables may be unset then.
            lake.elsewhere.touch()
        # Temporary files may contain personal data.
        session = lake.folder / "session"
        shutil.rmtree(session, ignore_errors=True)
        _lock.callback(shutil.rmtree, session, ignore_errors=True)


plugins = [LockPlugin]
