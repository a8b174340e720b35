"""The lake that a target attaches: whether a command may act on it, and opening it."""

from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.credentials import Attachment
from duckdb import DuckDBPyConnection

from deftunes.dbt_plugin.data_path import claim_data_path

_NO_LAKE = "`dbt build` makes it. DBT_TARGET names the target, local unless it is set."
_WRITING_COMMANDS = {"build", "retry", "run", "seed", "snapshot", "test"}
# Upkeep, rollback and the like: they act on a lake that is there.
_VERBS = {"run-operation"}
_SQLITE = "ducklake:sqlite:"
_POSTGRES = "ducklake:postgres:"


class LakeError(Exception):
    """There is no lake to act on, or it cannot be opened."""


@dataclass(frozen=True)
class TargetLake:
    """What a target attaches.

    Attributes:
        attachment: how dbt would attach it.
        command: the command of dbt, such as `build`.

    """

    attachment: Attachment
    command: str

    @property
    def is_written(self) -> bool:
        """Whether the command writes, and makes the lake where there is none."""
        return self.command in _WRITING_COMMANDS

    @property
    def is_sqlite(self) -> bool:
        """Whether its catalogue is a file."""
        return self.attachment.path.startswith(_SQLITE)

    @property
    def is_postgres(self) -> bool:
        """Whether its catalogue is a database of Postgres."""
        return self.attachment.path.startswith(_POSTGRES)

    def check(self) -> None:
        """Make sure that there is a lake to act on, before anything is made.

        Raises:
            LakeError: the target has no lake to write to, or none yet.

        """
        path = self.attachment.path
        if path == _POSTGRES:
            raise LakeError(
                "DBT_ENV_SECRET_CATALOG_DSN is empty: target lake_pg needs the database"
                " of its catalogue. .env.example shows what it holds."
            )
        is_verb = self.command in _VERBS
        if (self.is_written or is_verb) and not path.startswith("ducklake:"):
            raise LakeError(
                "This target is there to be read. Name the lake's in DBT_TARGET or with"
                " --target: local or lake_pg."
            )
        catalogue = path.removeprefix(_SQLITE)
        if is_verb and self.is_sqlite and not Path(catalogue).exists():
            raise LakeError(f"There is no lake in {catalogue}. {_NO_LAKE}")

    def open(self, conn: DuckDBPyConnection, home: Path) -> None:
        """Attach the lake; before a write, claim its files.

        Args:
            conn: the connection to attach it to.
            home: the folder of the lakehouse.

        Raises:
            LakeError: it cannot be opened, or a verb is for a lake that is not there.
            DataPathError: its data path is not its own.

        """
        lake = self.attachment
        if not lake.path.startswith("ducklake:"):
            return
        is_verb = self.command in _VERBS
        if is_verb:
            options = {**(lake.options or {}), "create_if_not_exists": "false"}
            lake = replace(lake, options=options)
        catalogue = lake.path.removeprefix(_SQLITE) if self.is_sqlite else ""
        try:
            conn.execute(lake.to_sql())
            if self.is_written or is_verb:
                claim_data_path(conn, lake.alias or "", catalogue, home)
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
