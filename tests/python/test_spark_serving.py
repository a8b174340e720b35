"""DuckDB publishes from Spark's tables what it publishes from its own."""

import shutil
import subprocess
from itertools import islice
from pathlib import Path

import duckdb
import pytest
from deftunes.parity import variables
from deftunes.settings import PROJECT
from deftunes.spark_lake import program
from parity import land_history
from test_publishing import SEEN, check_the_bytes_of, secrets_of, uncompressed

SPARK = PROJECT / ".venv-spark" / "bin" / "dbt"
# They say when and by which build, and machine learning when it was trained.
TIMES = {"publication_id", "trained_at", "published_at"}

pytestmark = [
    pytest.mark.usefixtures("long_mode"),
    pytest.mark.skipif(
        not SPARK.exists(), reason="target spark needs `make spark` once"
    ),
]


def dbt(target: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt on a lakehouse, with machine learning."""
    return subprocess.run(
        [program(target), *arguments],
        cwd=PROJECT,
        env=variables(home, target) | {"DEFTUNES_WITHOUT_ML": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def build(target: str, home: Path, *arguments: str) -> str:
    """Build everything, and return what dbt said."""
    built = dbt(target, home, "build", *arguments)
    assert built.returncode == 0, built.stdout
    return built.stdout


def differences(one: Path, other: Path) -> list[str]:
    """Return which tables of two published databases differ in columns or rows."""
    found = []
    with duckdb.connect() as connection:
        for name, file in (("one", one), ("other", other)):
            connection.execute(f"attach '{file}' as {name} (read_only)")
        columns = [
            set(
                connection.execute(
                    "select schema_name || '.' || table_name, column_name, data_type,"
                    " comment from duckdb_columns()"
                    " where database_name = ? and not internal",
                    [name],
                ).fetchall()
            )
            for name in ("one", "other")
        ]
        found += [f"column {column}" for column in columns[0] ^ columns[1]]
        tables: dict[str, list[str]] = {}
        for table, column, *_ in columns[0] & columns[1]:
            if column not in TIMES and table != "quality.publications":
                tables.setdefault(table, []).append(f'"{column}"')
        for table, names in sorted(tables.items()):
            rows, other_rows = (
                connection.sql(f"from {database}.{table}").select(*names)
                for database in ("one", "other")
            )
            if rows.except_(other_rows).limit(1).fetchall() or len(rows) != len(
                other_rows
            ):
                found.append(table)
        assert len(tables) > 20
    return found


def test_what_is_published_from_spark_equals_what_duckdb_publishes(
    tmp_path: Path,
) -> None:
    local, spark = tmp_path / "local", tmp_path / "spark"
    local.mkdir()
    (spark / "lake_spark").mkdir(parents=True)
    # So that the bytes of what is published can be searched.
    profiles = f"--profiles-dir={uncompressed(tmp_path)}"
    for step, change in enumerate(islice(land_history(local), 5)):
        # The third build has three kinds of change at once, to save time.
        if step in (2, 3):
            continue
        shutil.copytree(local / "landing", spark / "landing", dirs_exist_ok=True)
        build("local", local)
        build("spark", spark)
        said = build("spark_serving", spark, profiles)
        assert "Published " in said, change
        files = [
            Path(file.name) if file.parent.name != "roles" else Path("roles", file.name)
            for file in (local / "serving" / "current").rglob("*.duckdb")
        ]
        assert len(files) > 3
        assert {
            str(file): found
            for file in files
            if (
                found := differences(
                    local / "serving" / "current" / file,
                    spark / "serving" / "current" / file,
                )
            )
        } == {}, change
    secrets = secrets_of(spark / "serving")
    for role in SEEN:
        check_the_bytes_of(role, spark / "serving", secrets)

    # With nothing new from Spark, nothing is published.
    current = (spark / "serving" / "current").readlink()
    assert "Nothing new to publish" in build("spark_serving", spark)
    # What Spark has written without testing it is not for readers.
    run = dbt("spark", spark, "run", "--select", "dim_date", "--full-refresh")
    assert "Not published" in run.stdout, run.stdout
    assert "Nothing new to publish" in build("spark_serving", spark)
    assert (spark / "serving" / "current").readlink() == current


def test_without_a_passed_build_nothing_is_imported(tmp_path: Path) -> None:
    refused = dbt("spark_serving", tmp_path, "build")
    assert refused.returncode != 0
    assert "no whole build of Spark has passed its tests yet" in refused.stdout


def test_duckdb_does_not_build_what_spark_builds(tmp_path: Path) -> None:
    refused = dbt("spark_serving", tmp_path, "build", "--select", "+dim_users")
    assert refused.returncode != 0
    assert "Target spark_serving does not build" in refused.stdout
