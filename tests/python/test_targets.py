"""Every command uses the selected lake, and changes no other one."""

import argparse
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError
from deftunes.dbt_plugin.data_path import MARKER, DataPathError, claim_data_path
from deftunes.dbt_plugin.plugin import Plugin
from demo_sources import postgres


@pytest.fixture(scope="module")
def databases(postgres_dsn: str) -> Callable[[str], str]:
    """Return a function that creates an empty database and returns its URL."""

    def make(name: str) -> str:
        with duckdb.connect() as connection:
            connection.load_extension("postgres_scanner")
            connection.execute(f"attach '{postgres_dsn}' as server (type postgres)")
            connection.execute(
                "call postgres_execute('server', ?, use_transaction => false)",
                [f"create database {name}"],
            )
        return f"{postgres_dsn.rpartition('/')[0]}/{name}"

    return make


@contextmanager
def attached(
    catalogue: str | Path, data_path: Path
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a lake; create it if it does not exist."""
    kind = "sqlite" if isinstance(catalogue, Path) else "postgres"
    with duckdb.connect() as connection:
        for extension in ("ducklake", f"{kind}_scanner"):
            connection.load_extension(extension)
        connection.execute(
            f"attach 'ducklake:{kind}:{catalogue}' as lake (data_path '{data_path}',"
            " override_data_path true, data_inlining_row_limit 0)"
        )
        yield connection


def use(catalogue: str | Path, data_path: Path, home: Path) -> None:
    """Claim a data path, and write a file there."""
    with attached(catalogue, data_path) as connection:
        sqlite = str(catalogue) if isinstance(catalogue, Path) else ""
        claim_data_path(connection, "lake", sqlite, str(home))
        connection.execute("create or replace table lake.numbers as select 1 as number")


def made(home: Path) -> Path:
    """Create a local lake in a home, and return its catalogue."""
    catalogue = home / "lake" / "catalog.sqlite"
    catalogue.parent.mkdir(parents=True, exist_ok=True)
    (home / "landing").mkdir(exist_ok=True)
    use(catalogue, home / "lake" / "data", home)
    return catalogue


def test_another_catalogue_is_refused_whatever_it_is(
    home: Path, databases: Callable[[str], str]
) -> None:
    data = home / "lake" / "data"
    catalogue = made(home)
    use(catalogue, data, home)  # its own
    first, second = databases("first"), databases("second")
    with pytest.raises(DataPathError, match="contains the files of another catalogue"):
        use(first, data, home)
    with pytest.raises(DataPathError, match="is inside the data path of another"):
        use(first, data / "main", home)
    with pytest.raises(DataPathError, match="that this catalogue did not write"):
        use(first, data.parent, home)
    shared = home / "shared [a]"
    use(first, shared, home)
    with pytest.raises(DataPathError, match="contains the files of another catalogue"):
        use(second, shared, home)
    use(second, home / "its own", home)
    use(first, shared, home)
    # What was not refused is still there.
    assert len([*shared.rglob("*.parquet")]) == 2
    assert len([*data.rglob("*.parquet")]) == 2


def test_files_from_before_there_was_a_marker_are_looked_at(home: Path) -> None:
    catalogue, data = made(home), home / "lake" / "data"
    (data / MARKER).unlink()
    use(catalogue, data, home)
    marker = (data / MARKER).read_text()
    # A kill while it was written.
    (data / MARKER).write_text("")
    use(catalogue, data, home)
    assert (data / MARKER).read_text() == marker
    (data / MARKER).unlink()
    strange = data / "strange.parquet"
    strange.touch()
    with pytest.raises(DataPathError, match=strange.name):
        use(catalogue, data, home)
    strange.unlink()
    # The setting names another place than the files are in.
    with pytest.raises(DataPathError, match="set DEFTUNES_LAKE_DATA"):
        use(catalogue, home / "elsewhere", home)
    assert not (home / "elsewhere" / MARKER).exists()


def test_a_lakehouse_may_be_moved_or_copied_but_not_share_its_files(
    home: Path, databases: Callable[[str], str]
) -> None:
    made(home)
    moved = home.rename(home.with_name("moved"))
    made(moved)
    copy = home.with_name("copy")
    shutil.copytree(moved, copy)
    made(copy)
    made(moved)
    # The copy's files are the same ones.
    shutil.rmtree(copy / "lake" / "data")
    (copy / "lake" / "data").symlink_to(moved / "lake" / "data")
    with pytest.raises(DataPathError, match="a copy of this catalogue"):
        made(copy)
    # Two homes with one catalogue.
    dsn = databases("of_two_homes")
    use(dsn, moved / "pg", moved)
    with pytest.raises(DataPathError, match=f"also used by the lakehouse {moved}"):
        use(dsn, moved / "pg", copy)
    shutil.copytree(moved / "pg", copy / "pg")
    with pytest.raises(DataPathError, match=f"is a copy of {moved / 'pg'}"):
        use(dsn, copy / "pg", copy)
    shutil.rmtree(moved / "landing")
    use(dsn, moved / "pg", copy)


@contextmanager
def plugin(
    command: str,
    path: str,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    data_path: str | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connect to a lake as a dbt command does."""
    monkeypatch.setenv("DEFTUNES_HOME", str(home))
    monkeypatch.setattr("dbt.flags.GLOBAL_FLAGS", argparse.Namespace(WHICH=command))
    lake = {
        "path": path,
        "alias": "lake",
        "options": {
            "data_path": str(home / "data") if data_path is None else data_path,
            "override_data_path": True,
        },
    }
    credentials = DuckDBCredentials.from_dict(
        {"path": ":memory:", "schema": "main", "attach": [lake]}
    )
    with duckdb.connect() as connection:
        for extension in ("ducklake", "httpfs", "sqlite_scanner", "postgres_scanner"):
            connection.load_extension(extension)
        Plugin("dbt_plugin", {}, credentials).configure_connection(connection)
        yield connection


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ducklake:sqlite:{home}/lake/catalog.sqlite", "There is no lake in .*sqlite"),
        ("ducklake:postgres:{dsn}", "There is no lake in the catalogue that DBT_ENV_"),
        ("ducklake:postgres:", "DBT_ENV_SECRET_CATALOG_DSN is empty"),
        ("ducklake:postgres:{closed}", "names cannot be opened: .* failed"),
        ("{home}/serving/deftunes.duckdb", "is read-only"),
    ],
)
def test_a_verb_makes_no_lake(
    path: str,
    said: str,
    home: Path,
    postgres_dsn: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = "postgresql://reader:sesame@127.0.0.1:9/lake"
    path = path.format(home=home, dsn=postgres_dsn, closed=closed)
    with (
        pytest.raises(DbtRuntimeError, match=said) as error,
        plugin("run-operation", path, home, monkeypatch),
    ):
        pass
    assert "sesame" not in str(error.value)
    assert len(str(error.value).splitlines()) == 1 + str(error.value).startswith("Runt")
    assert not [*home.rglob("*.sqlite")]
    with postgres.connected(postgres_dsn) as connection:
        tables = connection.sql("from duckdb_tables()").filter(
            "table_name = 'ducklake_metadata'"
        )
        assert tables.fetchall() == []


def test_only_commands_that_write_claim_the_files(
    home: Path, databases: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"ducklake:postgres:{databases('claimed')}"
    with plugin("show", path, home, monkeypatch):
        assert not (home / "data" / MARKER).exists()
    with plugin("run", path, home, monkeypatch) as connection:
        assert (home / "data" / MARKER).exists()
        # What tells `make forget` that there is a lake in Postgres.
        assert (home / "lake_pg").exists()
        assert connection.sql("from ducklake_settings('lake')").fetchall()
    with plugin("run-operation", path, home, monkeypatch):
        pass
