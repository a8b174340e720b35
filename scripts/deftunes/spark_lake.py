"""The lake that target spark builds: Iceberg tables with their catalogue in SQLite."""

import gzip
import json
import os
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from deftunes.files import remove
from deftunes.object_store import SCHEME, ObjectStore
from deftunes.privacy.erasure_registry import Person
from deftunes.settings import PROJECT
from deftunes.sql import literal

DBT = PROJECT / ".venv-spark" / "bin" / "dbt"
"""The dbt that has Spark."""


class SparkLakeError(Exception):
    """Spark's dbt is missing or failed; the message says why and what to do."""


def program(target: str) -> Path:
    """Return the dbt of a target.

    Raises:
        SparkLakeError: it is not installed.

    """
    path = DBT if target == "spark" else PROJECT / ".venv" / "bin" / "dbt"
    if not path.exists():
        raise SparkLakeError(f"There is no {path}. Run `make spark` first.")
    return path


def dbt(
    home: Path, target: str, *arguments: str, environment: Mapping[str, str] = {}
) -> str:
    """Run dbt with a target; its errors go to the standard output.

    Args:
        home: the folder of the lakehouse.
        target: the target.
        arguments: what follows `dbt` on a command line.
        environment: further variables.

    Returns:
        The standard output of `dbt ls`; empty for other commands.

    Raises:
        SparkLakeError: the target's dbt is missing, or it failed.

    """
    ended = subprocess.run(  # noqa: S603  the project's own dbt
        [program(target), "--quiet", *arguments],
        cwd=PROJECT,
        env={
            **os.environ,
            # Only a shell sets it to where the command runs.
            "PWD": str(PROJECT),
            "DEFTUNES_HOME": str(home),
            "DBT_TARGET": target,
            **environment,
        },
        stdout=subprocess.PIPE if arguments[0] == "ls" else None,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SparkLakeError(
            f"dbt {arguments[0]} failed with target {target}, see above. The end of its"
            f" error output:\n{ended.stderr[-2000:]}"
        )
    return ended.stdout or ""


@dataclass(frozen=True)
class Relation:
    """A table or view of the lake.

    Attributes:
        name: schema and name.
        is_view: whether it is a view.
        metadata: the JSON file that describes its current state.

    """

    name: str
    is_view: bool
    metadata: Path


@dataclass(frozen=True)
class SparkLake:
    """The lake of target spark in a home.

    Attributes:
        home: the folder of the lakehouse.

    """

    home: Path

    @property
    def folder(self) -> Path:
        """The folder of the catalogue, the tables and temporary files."""
        return self.home / "lake_spark"

    @property
    def catalogue(self) -> Path:
        """The catalogue."""
        return self.folder / "catalog.sqlite"

    @property
    def data(self) -> Path:
        """The folder of the tables, by schema and name."""
        return self.folder / "data"

    @property
    def elsewhere(self) -> Path:
        """Exists if a command wrote to a catalogue or to tables outside the home."""
        return self.folder / "elsewhere"

    @property
    def passed_build(self) -> Path:
        """The folder with the metadata files of the tables that passed the tests."""
        return self.folder / "passed_build"

    @property
    def serving(self) -> Path:
        """The folder of the DuckLake that target spark_serving imports it into."""
        return self.folder / "serving"

    def relations(self) -> list[Relation]:
        """Return all tables and views, by name."""
        with closing(sqlite3.connect(self.catalogue)) as connection:
            rows = connection.execute(
                "select table_namespace || '.' || table_name, iceberg_type = 'VIEW',"
                " metadata_location from iceberg_tables order by 1"
            ).fetchall()
        return [
            Relation(name, bool(is_view), Path(metadata.removeprefix("file:")))
            for name, is_view, metadata in rows
        ]

    def dbt(self, *arguments: str) -> str:
        """Run dbt with target spark, as the function `dbt` does."""
        return dbt(self.home, "spark", *arguments)

    def survey(self, person: Person) -> list[str]:
        """Print how many rows of each table mention a person.

        Returns:
            The tables and views that mention the person and that no model builds, so
            that a rebuild does not erase the person there.

        Raises:
            SparkLakeError: there is no dbt with Spark, or it failed.

        """
        built, unmanaged = self._built(), []
        with duckdb.connect() as connection:
            for extension in ("avro", "iceberg"):
                connection.load_extension(extension)
            for name, function in (
                ("is_person", person.has_id),
                ("mentions_person", person.is_named_in),
            ):
                connection.create_function(name, function, ["VARCHAR"], "BOOLEAN")
            for relation in self.relations():
                is_built = relation.name in built
                if relation.is_view:
                    if not is_built and person.is_named_in(_definition(relation)):
                        unmanaged.append(relation.name)
                    continue
                count = _count(connection, relation, is_built)
                if count and not is_built:
                    unmanaged.append(relation.name)
                if count:
                    rows = "row" if count == 1 else "rows"
                    print(f"spark: {relation.name}, {count} {rows}")
                elif not is_built:
                    print(
                        f"spark: {relation.name} stays, no model builds it. It was"
                        " searched for the id and the whole name, and contains neither."
                    )
        return unmanaged

    def _built(self) -> set[str]:
        """Return what the nodes of this project build: schemas and names."""
        listed = self.dbt(
            *("ls", "--output", "json", "--output-keys", "schema", "alias"),
            *(f"--resource-type={each}" for each in ("model", "seed", "snapshot")),
        )
        nodes = [json.loads(line) for line in listed.splitlines() if line[:1] == "{"]
        return {f"{node['schema']}.{node['alias']}" for node in nodes}

    def open_bucket(self, connection: duckdb.DuckDBPyConnection, listed: Path) -> None:
        """Let DuckDB read tables, if they are in a bucket.

        Args:
            connection: DuckDB, which gets a secret for the bucket.
            listed: a folder with Parquet files that name the tables' metadata files.

        Raises:
            ObjectStoreError: the bucket cannot be used.

        """
        if not any(listed.glob("*.parquet")):
            return
        files = connection.read_parquet(f"{listed}/*.parquet")
        for (file,) in files.aggregate("max(metadata_file)").fetchall():
            if file and file.startswith(SCHEME):
                connection.load_extension("httpfs")
                bucket, _, key = file.removeprefix(SCHEME).partition("/")
                ObjectStore(bucket, key.rpartition("/")[0]).open(connection)

    def remove_unused(self) -> None:
        """Remove what the catalogue does not name, and all temporary files.

        A table that was dropped without `purge` leaves its files, and a view that was
        replaced its earlier definitions.
        """
        for path in self.folder.iterdir():
            kept = path in (self.data, self.passed_build, self.serving)
            if not kept and not path.name.startswith(self.catalogue.name):
                remove(path)
        relations = {each.metadata.parents[1]: each for each in self.relations()}
        for folder in self.data.glob("*/*"):
            if not any(each.is_relative_to(folder) for each in relations):
                remove(folder)
        for folder, relation in relations.items():
            for file in (folder / "metadata").iterdir() if relation.is_view else ():
                if relation.metadata.name not in file.name:
                    remove(file)


def _count(
    connection: duckdb.DuckDBPyConnection, relation: Relation, is_built: bool
) -> int:
    """Return how many rows of a table mention the person."""
    rows = connection.sql(f"from iceberg_scan({literal(relation.metadata)})")
    if not is_built:
        condition = "mentions_person(cast(to_json(row_of_table) as varchar))"
    elif "user_id" in rows.columns:
        condition = "is_person(user_id)"
    else:
        return 0
    found = rows.set_alias("row_of_table").filter(condition).count("*").fetchone()
    return int(found[0]) if found else 0


def _definition(relation: Relation) -> str:
    """Return the definition of a view, with its earlier versions."""
    content = relation.metadata.read_bytes()
    if ".gz." in relation.metadata.name:
        content = gzip.decompress(content)
    return content.decode()
