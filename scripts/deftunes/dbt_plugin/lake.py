"""The lake of a dbt target: checks whether a command may use it, and attaches it."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.credentials import Attachment
from duckdb import DuckDBPyConnection

from deftunes.dbt_plugin.data_path import claim_data_path
from deftunes.object_store import SCHEME, ObjectStore

_NO_LAKE = "`dbt build` creates it. DBT_TARGET sets the target; the default is local."
_WRITING_COMMANDS = {"build", "retry", "run", "seed", "snapshot", "test"}
# Operations such as upkeep and rollback need a lake that exists.
_OPERATIONS = {"run-operation"}
_SQLITE = "ducklake:sqlite:"
_POSTGRES = "ducklake:postgres:"


class LakeError(Exception):
    """There is no lake, or it cannot be opened; the message says what to do."""


@dataclass(frozen=True)
class TargetLake:
    """The lake of a target, and the dbt command that is running.

    Attributes:
        attachment: the entry of `attach` in profiles.yml.
        command: the dbt command, such as `build`.
        store: the bucket of the lakehouse; None if it is in the home.

    """

    attachment: Attachment
    command: str
    store: ObjectStore | None = None

    @property
    def is_written(self) -> bool:
        """Whether the command writes; such a command creates a missing lake."""
        return self.command in _WRITING_COMMANDS

    @property
    def is_sqlite(self) -> bool:
        """Whether the catalogue is a SQLite file."""
        return self.attachment.path.startswith(_SQLITE)

    @property
    def folder(self) -> Path:
        """The folder of a catalogue that is a SQLite file."""
        return Path(self.attachment.path.removeprefix(_SQLITE)).parent

    @property
    def dsn(self) -> str | None:
        """The database of the catalogue; None if it is a SQLite file."""
        path = self.attachment.path
        is_postgres = path.startswith(_POSTGRES)
        return path.removeprefix(_POSTGRES) if is_postgres else None

    @property
    def _data_path(self) -> str | None:
        return (self.attachment.options or {}).get("data_path")

    def check(self) -> None:
        """Check that the command can use this lake, before anything is created.

        Raises:
            LakeError: the target is read-only, or its lake does not exist yet.

        """
        path = self.attachment.path
        if path == _POSTGRES:
            raise LakeError(
                "DBT_ENV_SECRET_CATALOG_DSN is empty: this target needs the database "
                "of its catalogue. .env.example describes the variable."
            )
        if self._data_path == "/lake":
            raise LakeError(
                "DEFTUNES_STORE must be s3://bucket/folder: this target keeps the "
                "lakehouse there. .env.example describes the variable."
            )
        is_in_store = (self._data_path or "").startswith(SCHEME)
        if self.store and path.startswith("ducklake:") and not is_in_store:
            raise LakeError(
                f"DEFTUNES_STORE is set, so the landing zone is in {self.store}, but "
                "the lake of this target is not. Set DBT_TARGET or --target to "
                "lake_s3, or unset DEFTUNES_STORE."
            )
        is_operation = self.command in _OPERATIONS
        if (self.is_written or is_operation) and not path.startswith("ducklake:"):
            raise LakeError(
                "This target is read-only. Set DBT_TARGET or --target to local, "
                "lake_pg or lake_s3."
            )
        catalogue = path.removeprefix(_SQLITE)
        if is_operation and self.is_sqlite and not Path(catalogue).exists():
            raise LakeError(f"There is no lake in {catalogue}. {_NO_LAKE}")

    def open(self, conn: DuckDBPyConnection, home: Path) -> None:
        """Attach the lake; if the command changes it, claim its data path first.

        Args:
            conn: the connection to attach it to.
            home: the folder of the lakehouse.

        Raises:
            LakeError: the lake cannot be opened, or an operation needs one that does
                not exist.
            DataPathError: another catalogue uses the data path.
            ObjectStoreError: the bucket with the files cannot be used.

        """
        lake = self.attachment
        if not lake.path.startswith("ducklake:"):
            return
        if self.store is not None:
            conn.load_extension("httpfs")
            self.store.open(conn)
        is_operation = self.command in _OPERATIONS
        if is_operation:
            options = {**(lake.options or {}), "create_if_not_exists": "false"}
            lake = replace(lake, options=options)
        catalogue = lake.path.removeprefix(_SQLITE) if self.is_sqlite else ""
        try:
            conn.execute(lake.to_sql())
            if self.is_written or is_operation:
                owner = str(self.store or home)
                claim_data_path(conn, lake.alias or "", catalogue, owner)
        except duckdb.HTTPException as error:
            raise LakeError(
                f"{self._data_path} cannot be used: {' '.join(str(error).split())}. "
                "The key must be allowed to list, read, write and delete objects."
            ) from None
        except duckdb.Error as error:
            name = catalogue or "the catalogue that DBT_ENV_SECRET_CATALOG_DSN names"
            address = lake.path.partition(":")[2].partition(":")[2]
            reason = " ".join(str(error).replace(address, "it").split())
            is_absent = "creating a new DuckLake is explicitly disabled" in reason
            raise LakeError(
                f"There is no lake in {name}. {_NO_LAKE}"
                if is_absent
                else f"{name} cannot be opened: {reason}"
            ) from None
