"""A lake whose files are in a bucket of a real S3 server, its catalogue in Postgres."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import object_store
import pytest
from conftest import WITHOUT_TESTS, Lakehouse
from demo_sources import postgres
from demo_sources.generator import Generator
from test_forget import command_line, environment, traces
from test_pipeline import BUILT, differences

DAYS = [date(2023, 3, number) for number in (1, 3, 5)]
SALES: Any = {"seed": 6, "items": 300, "start": DAYS[0], "end": DAYS[-1]}
UPKEEP = ("run-operation", "upkeep", "--vars", "{retention_days: 0}")
PUBLISH = ("run-operation", "publish_lake", "--args", "{passed: 7, warned: 1}")
PREFIX = "shop/lake"


@dataclass(frozen=True)
class Cloud:
    """A lakehouse with target lake_s3, of which two deliveries have landed.

    Attributes:
        lakehouse: the lakehouse.
        store: the S3 server.
        dsn: the database of the catalogue.
        said: the output of all commands that have built it.

    """

    lakehouse: Lakehouse
    store: object_store.Store
    dsn: str
    said: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """What the target wants in the environment."""
        return self.store.variables(PREFIX) | {
            "DBT_TARGET": "lake_s3",
            "DBT_ENV_SECRET_CATALOG_DSN": self.dsn,
            "DBT_LOG_LEVEL_FILE": "debug",
        }

    def dbt(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run dbt with the target, and with further variables."""
        return self.lakehouse.dbt(*arguments, environment=self.variables | more)

    def passes(self, *arguments: str) -> str:
        """Run dbt, check that it passes, and return its output."""
        done = self.dbt(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def tables(self) -> dict[str, list[Any]]:
        """Return the rows of the lake, by table."""
        return self.lakehouse.tables(
            *BUILT, catalogue=f"postgres:{self.dsn}", secret=self.store.secret_sql
        )

    def objects(self, folder: str = "") -> dict[str, int]:
        """Return the lake's objects in a folder, with their sizes."""
        return self.store.keys(f"{PREFIX}/{folder}")


@pytest.fixture(scope="module")
def store() -> Iterator[object_store.Store]:
    """Run an S3 server for the module."""
    with object_store.running() as running:
        yield running


@pytest.fixture(scope="module")
def cloud(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, store: object_store.Store
) -> Iterator[Cloud]:
    """Build a first delivery and the next one."""
    lakehouse, generator = lakehouses(rates), Generator(**SALES)
    with postgres.running() as dsn:
        made = Cloud(lakehouse, store, dsn)
        said = ""
        for start, end in zip(DAYS, DAYS[1:], strict=False):
            lakehouse.land(generator, generator.song_tables(), start, end)
            said += made.passes("build", *WITHOUT_TESTS)
        said += made.passes(*PUBLISH)
        yield Cloud(lakehouse, store, dsn, said)


def test_a_lake_in_a_bucket_equals_a_local_one(
    cloud: Cloud, lakehouses: Callable[[Path], Lakehouse], proven: dict[str, str]
) -> None:
    local = lakehouses(cloud.lakehouse.rates)
    local.home.mkdir(parents=True)
    (local.home / "landing").symlink_to(cloud.lakehouse.home / "landing")
    local.build(*WITHOUT_TESTS)
    tables = cloud.tables()
    assert differences(tables, local.tables(*BUILT)) == {}
    assert not [*(cloud.lakehouse.home / "lake").rglob("*.parquet")]
    # Readers of the published catalogue need access to the bucket.
    catalogue = cloud.lakehouse.database.with_suffix(".ducklake")
    with duckdb.connect() as reader:
        for extension in ("ducklake", "httpfs"):
            reader.load_extension(extension)
        reader.execute(cloud.store.secret_sql)
        reader.execute(f"attach 'ducklake:{catalogue}' as lake (read_only)")
        facts = reader.table("lake.marts.fact_order_items").order("all").fetchall()
    assert facts == tables["marts.fact_order_items"]
    assert len(facts) == len(cloud.lakehouse.published("from marts.fact_order_items"))
    proven["lake in a bucket"] = f"{len(tables)} tables, {len(cloud.objects())} objects"


def test_a_build_with_nothing_new_writes_no_object(cloud: Cloud) -> None:
    before = cloud.objects()
    assert "No new records." in cloud.passes("build", *WITHOUT_TESTS)
    assert cloud.objects() == before


def test_upkeep_removes_what_nothing_refers_to(cloud: Cloud) -> None:
    tables = cloud.tables()
    client, bucket = cloud.store.client, object_store.BUCKET
    orphan = f"{PREFIX}/marts/dim_date/ducklake-orphan.parquet"
    source = f"{bucket}/{next(iter(cloud.objects('marts/dim_date/')))}"
    client.copy_object(Bucket=bucket, Key=orphan, CopySource=source)
    killed = client.create_multipart_upload(Bucket=bucket, Key=orphan + "2")
    client.upload_part(
        **{"Bucket": bucket, "Key": orphan + "2", "UploadId": killed["UploadId"]},
        **{"PartNumber": 1, "Body": b"a part"},
    )
    strange = f"{PREFIX}/theirs/t/strange.parquet"
    client.put_object(Bucket=bucket, Key=strange, Body=b"of another catalogue")
    refused = cloud.dbt(*UPKEEP)
    assert refused.returncode != 0
    assert f"s3://{bucket}/{strange} belongs to no table" in refused.stdout
    assert {orphan, strange} <= {*cloud.objects()}
    client.delete_object(Bucket=bucket, Key=strange)
    assert "Unfinished uploads removed: 1" in cloud.passes(*UPKEEP)
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert cloud.tables() == tables


def test_a_person_is_in_no_object_afterwards(cloud: Cloud, tmp_path: Path) -> None:
    """Runs after the tests that read the person's rows; the bucket keeps versions."""
    cloud.store.client.put_bucket_versioning(
        Bucket=object_store.BUCKET, VersioningConfiguration={"Status": "Enabled"}
    )
    ((person, revenue),) = cloud.lakehouse.published(
        "select user_id, (select sum(price_usd) from marts.fact_order_items)"
        " from marts.fact_order_items inner join marts.dim_users using (user_key)"
        " group by user_id order by count(*) desc, user_id limit 1"
    )
    cloud.store.download(PREFIX, tmp_path / "before")
    assert traces(tmp_path / "before", [person])
    done = subprocess.run(
        command_line(person, "--yes"),
        env=environment(cloud.lakehouse) | cloud.variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "target: lake_s3" in done.stdout
    cloud.store.download(PREFIX, tmp_path / "after")
    kept = [path.name for path in (tmp_path / "after").rglob("*.parquet")]
    assert kept
    assert "ducklake-orphan.parquet" not in kept
    assert traces(tmp_path / "after", [person]) == {}
    assert traces(cloud.lakehouse.home, [person]) == {}
    after = cloud.lakehouse.published("select sum(price_usd) from marts.fact_order_items")
    assert after == [(revenue,)]


def test_no_secret_is_written_anywhere(cloud: Cloud) -> None:
    """Runs last."""
    home = cloud.lakehouse.home
    assert (home / "logs" / "dbt.log").stat().st_size > 1000
    assert traces(home, [cloud.store.secret]) == {}
    assert cloud.store.secret not in cloud.said
