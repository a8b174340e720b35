"""Target spark with an Iceberg REST catalogue and its tables in a bucket."""

import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import iceberg_catalogue
import pytest
from object_store import BUCKET, Store
from parity import land_history, report
from test_spark_serving import SPARK, build, dbt, differences

pytestmark = [
    pytest.mark.usefixtures("long_mode"),
    pytest.mark.skipif(
        not SPARK.exists(), reason="target spark needs `make spark` once"
    ),
]


@pytest.fixture(scope="module")
def catalogue(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a catalogue with its tables in the bucket, and return its URL."""
    folder = tmp_path_factory.mktemp("catalogue")
    location = f"s3://{BUCKET}/iceberg"
    with iceberg_catalogue.running(store, location, folder) as url:
        yield url


@pytest.fixture
def home(
    store: Store, catalogue: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Return a lakehouse whose tables of Spark are in the bucket."""
    given = store.variables("unused") | {
        "DEFTUNES_SPARK_CATALOG": "rest",
        "DBT_ENV_SECRET_ICEBERG_URI": catalogue,
    }
    del given["DEFTUNES_STORE"]
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "home"


def test_the_tables_and_what_is_published_equal_those_of_target_local(
    store: Store, home: Path, tmp_path: Path
) -> None:
    home.mkdir()
    said = []
    for step, change in enumerate(islice(land_history(home), 2)):
        build("local", home)
        expected = tmp_path / f"{step}"
        shutil.copytree(home / "serving" / "current", expected)
        said.append(build("spark", home))
        assert report(home), change
        said.append(build("spark_serving", home))
        assert "Published " in said[-1], change
        for name in ("deftunes", "roles/analyst"):
            published = home / "serving" / "current" / f"{name}.duckdb"
            assert differences(expected / f"{name}.duckdb", published) == [], change
        if step == 0:
            upkeep = dbt("spark", home, "run-operation", "upkeep")
            assert upkeep.returncode == 0, upkeep.stdout
            said.append(upkeep.stdout)

    assert any(key.endswith(".parquet") for key in store.keys("iceberg/marts/"))
    assert not (home / "lake_spark" / "data").exists()
    assert not (home / "lake_spark" / "catalog.sqlite").exists()
    text = "".join([*said, *(file.read_text("utf-8") for file in home.rglob("*.log"))])
    # The second time, DuckDB has read only the files that Spark has changed.
    assert "read_parquet(['s3://" in text
    assert store.secret not in text
    assert store.key_id not in text


def test_a_catalogue_that_does_not_answer_is_one_clear_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "landing" / "users" / "batch").mkdir(parents=True)
    (home / "landing" / "users" / "batch" / "some.parquet").touch()
    monkeypatch.setenv("DBT_ENV_SECRET_ICEBERG_URI", "http://127.0.0.1:1/iceberg")
    refused = dbt("spark", home, "build")
    assert refused.returncode != 0
    last = refused.stdout.strip().splitlines()[-1]
    assert "The catalogue of DBT_ENV_SECRET_ICEBERG_URI does not answer" in last
    assert "Connection refused" in last
