"""A plugin of dbt for target spark: takes the lock and removes temporary files.

dbt loads every module on its path whose name begins with `dbt_`. set_up.py puts this
folder on the path of .venv-spark, so it does not matter how a person starts dbt there.
"""

import atexit
import shutil
from contextlib import ExitStack

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.exceptions import DbtRuntimeError
from deftunes.lock import LockedError, home_lock
from deftunes.settings import HomeError, Settings, SettingsError
from deftunes.spark_lake import SparkLake

LOCK_WAIT_SECONDS = 600.0

_WRITING_COMMANDS = {
    *("build", "retry", "run", "run-operation", "seed", "snapshot", "test"),
}
# Holds the lock until the process ends.
_lock = ExitStack()
atexit.register(_lock.close)


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
        if settings.iceberg_uri:
            # Marks that there is such a lake, even if nothing else of it is here.
            lake.passed_build.mkdir(exist_ok=True)
        # Temporary files may contain personal data.
        session = lake.folder / "session"
        shutil.rmtree(session, ignore_errors=True)
        _lock.callback(shutil.rmtree, session, ignore_errors=True)


plugins = [LockPlugin]
