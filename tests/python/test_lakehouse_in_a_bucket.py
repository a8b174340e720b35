"""A lakehouse in a bucket of a real S3 server, its catalogue in Postgres."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import object_store
import pytest
from conftest import WITHOUT_TESTS, Lakehouse
from dbt_common.exceptions import DbtRuntimeError
from dbt_process import fork
from deftunes.dbt_plugin.data_path import MARKER, DataPathError, claim_data_path
from deftunes.lock import catalogue_lock
from deftunes.object_store import ObjectStore, ObjectStoreError
from deftunes.settings import PROJECT
from demo_sources import postgres
from demo_sources.generator import Generator
from test_forget import command_line, environment, traces
from test_pipeline import BUILT, differences
from test_publishing import Shop
from test_targets import plugin

DAYS = [date(2023, 3, number) for number in (1, 3, 5)]
LATER = [date(2023, 3, number) for number in range(5, 9)]
SALES: Any = {"seed": 6, "items": 600, "start": DAYS[0], "end": LATER[-1]}
UPKEEP = ("run-operation", "upkeep", "--vars", "{retention_days: 0}")
PUBLISH = ("run-operation", "publish_lake", "--args", "{passed: 7, warned: 1}")
PREFIX = "shop"
LAKE = f"{PREFIX}/lake"


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
        return self.store.keys(f"{LAKE}/{folder}")

    def land(self, start: date, end: date, home: Path | None = None) -> None:
        """Land all entities, the sessions of [start, end)."""
        generator = Generator(**SALES)
        lakehouse = replace(self.lakehouse, home=home or self.lakehouse.home)
        with pytest.MonkeyPatch.context() as patch:
            for name, text in self.variables.items():
                patch.setenv(name, text)
            store = ObjectStore(object_store.BUCKET, PREFIX)
            lakehouse.land(
                *(generator, generator.song_tables(), start, end),
                store=store,
                catalogue_dsn=self.dsn,
            )


@pytest.fixture(scope="module")
def cloud(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, store: object_store.Store
) -> Iterator[Cloud]:
    """Build a first delivery and the next one."""
    lakehouse = lakehouses(rates)
    with postgres.running() as dsn:
        made = Cloud(lakehouse, store, dsn)
        said = ""
        for start, end in pairwise(DAYS):
            made.land(start, end)
            said += made.passes("build", *WITHOUT_TESTS)
        said += made.passes(*PUBLISH)
        yield Cloud(lakehouse, store, dsn, said)


@pytest.mark.usefixtures("long_mode")
def test_a_lake_in_a_bucket_equals_a_local_one(
    cloud: Cloud,
    lakehouses: Callable[[Path], Lakehouse],
    proven: dict[str, str],
    is_long: bool,
) -> None:
    local = lakehouses(cloud.lakehouse.rates)
    for key in cloud.store.keys(f"{PREFIX}/landing/"):
        if key.endswith(".parquet"):
            file = local.home / key.removeprefix(f"{PREFIX}/")
            file.parent.mkdir(parents=True)
            cloud.store.client.download_file(object_store.BUCKET, key, str(file))
    local.build(*WITHOUT_TESTS)
    tables = cloud.tables()
    assert differences(tables, local.tables(*BUILT)) == {}
    assert not [*cloud.lakehouse.home.rglob("*.parquet")]
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
    if is_long:
        published = local.dbt(*PUBLISH)
        assert published.returncode == 0, published.stdout
        assert differences(copies(cloud.lakehouse), copies(local)) == {}
    proven["lake in a bucket"] = f"{len(tables)} tables, {len(cloud.objects())} objects"


def copies(lakehouse: Lakehouse) -> dict[str, list[Any]]:
    """Return the rows of all published databases, by database and table."""
    shop = Shop(lakehouse, Path())
    files = [Path("deftunes.duckdb"), Path("roles/analyst.duckdb")]
    files += [Path("roles", f"{role}.duckdb") for role in ("finance", "marketing")]
    return {
        f"{file}: {name}": rows
        for file in files
        for name, rows in shop.tables(str(file)).items()
        # When it was built, and from which extract of exchange rates.
        if name not in ("quality.publications", "quality.batch_reconciliation")
    }


@pytest.mark.usefixtures("long_mode")
def test_a_build_with_nothing_new_writes_no_object(cloud: Cloud) -> None:
    before = cloud.objects()
    assert "No new records." in cloud.passes("build", *WITHOUT_TESTS)
    assert cloud.objects() == before


@pytest.mark.usefixtures("long_mode")
def test_upkeep_removes_what_nothing_refers_to(cloud: Cloud) -> None:
    tables = cloud.tables()
    client, bucket = cloud.store.client, object_store.BUCKET
    orphan = f"{LAKE}/marts/dim_date/ducklake-orphan.parquet"
    source = f"{bucket}/{next(iter(cloud.objects('marts/dim_date/')))}"
    client.copy_object(Bucket=bucket, Key=orphan, CopySource=source)
    killed = client.create_multipart_upload(Bucket=bucket, Key=orphan + "2")
    client.upload_part(
        **{"Bucket": bucket, "Key": orphan + "2", "UploadId": killed["UploadId"]},
        **{"PartNumber": 1, "Body": b"a part"},
    )
    strange = f"{LAKE}/theirs/t/strange.parquet"
    client.put_object(Bucket=bucket, Key=strange, Body=b"of another catalogue")
    refused = cloud.dbt(*UPKEEP)
    assert refused.returncode != 0
    assert f"s3://{bucket}/{strange} belongs to no table" in refused.stdout
    assert {orphan, strange} <= {*cloud.objects()}
    client.delete_object(Bucket=bucket, Key=strange)
    assert "Unfinished uploads removed: 1" in cloud.passes(*UPKEEP)
    assert not client.list_multipart_uploads(Bucket=bucket).get("Uploads")
    assert cloud.tables() == tables


@pytest.mark.usefixtures("long_mode")
def test_killed_builds_leave_nothing_that_readers_see(
    cloud: Cloud, proven: dict[str, str]
) -> None:
    tables = cloud.tables()
    catalogue = cloud.lakehouse.database.with_suffix(".ducklake")
    published = catalogue.resolve().read_bytes()
    build = ("build", "--full-refresh", *WITHOUT_TESTS)
    chance, killed = random.Random(6), 0  # noqa: S311 - to be repeated
    objects = {*cloud.objects()}
    with object_store.proxied(cloud.store) as proxy:
        through = replace(cloud, store=proxy.store)
        for number in sorted(chance.sample(range(1, 40), 4)):
            process = fork(
                cloud.lakehouse.command(*build)[1:],
                cloud.lakehouse.environment(through.variables),
                cloud.lakehouse.said,
            )
            proxy.kill_at(number, process, ".parquet")
            process.join(timeout=600)
            killed += process.exitcode == -9
            assert catalogue.resolve().read_bytes() == published
    assert killed == 4
    left = {*cloud.objects()} - objects
    assert left
    cloud.passes("build", *WITHOUT_TESTS)
    assert differences(cloud.tables(), tables) == {}
    cloud.passes(*UPKEEP)
    assert differences(cloud.tables(), tables) == {}
    proven["kills of uploads to a bucket"] = f"{killed}, all mended"


@pytest.mark.usefixtures("long_mode")
def test_a_busy_store_is_asked_again_and_a_failing_one_is_named(cloud: Cloud) -> None:
    tables = cloud.tables()
    chance = random.Random(6)  # noqa: S311 - to be repeated
    build = ("build", "--full-refresh", *WITHOUT_TESTS)
    with object_store.proxied(cloud.store) as proxy:
        through = replace(cloud, store=proxy.store)
        proxy.status = lambda *_: 503 if chance.random() < 0.1 else 0
        through.passes(*build)
        assert differences(cloud.tables(), tables) == {}
        proxy.status = lambda *_: time.sleep(0.05) or 0  # type: ignore[func-returns-value]
        through.passes(*build)
        assert differences(cloud.tables(), tables) == {}
        since = proxy.requests.total()
        proxy.status = lambda *_: 503 if proxy.requests.total() > since + 100 else 0
        failed = through.dbt(*build)
    assert failed.returncode != 0
    assert "The object store did not do what was asked" in failed.stdout
    assert cloud.store.secret not in failed.stdout
    cloud.passes("build", *WITHOUT_TESTS)
    assert differences(cloud.tables(), tables) == {}


@pytest.mark.usefixtures("long_mode")
def test_a_full_refresh_and_a_rollback_give_the_same(cloud: Cloud) -> None:
    tables = cloud.tables()
    before = cloud.lakehouse.published("from marts.fact_order_items order by all")
    cloud.passes("build", "--full-refresh", *WITHOUT_TESTS)
    assert differences(cloud.tables(), tables) == {}
    cloud.passes(*PUBLISH)
    cloud.passes("run-operation", "rollback")
    after = cloud.lakehouse.published("from marts.fact_order_items order by all")
    assert after == before


# Several machines


def machine(cloud: Cloud, name: str) -> Cloud:
    """Return the same lakehouse as seen from another machine, with an empty home."""
    home = cloud.lakehouse.home.with_name(name)
    return replace(cloud, lakehouse=replace(cloud.lakehouse, home=home))


def script(
    cloud: Cloud, name: str, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a script of the project on a machine."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / name), *arguments],
        env=environment(cloud.lakehouse) | cloud.variables | more,
        capture_output=True,
        text=True,
        check=False,
    )


def published_id(cloud: Cloud) -> str:
    """Return the publication that readers in the bucket open."""
    current = cloud.store.client.get_object(
        Bucket=object_store.BUCKET, Key=f"{PREFIX}/serving/current"
    )
    return str(json.loads(current["Body"].read())["publication"])


def items_read(cloud: Cloud, publication: str) -> int:
    """Return how many items DuckDB reads from a publication in the bucket."""
    url = f"s3://{object_store.BUCKET}/{PREFIX}/serving/publications/{publication}"
    with duckdb.connect() as reader:
        for extension in ("ducklake", "httpfs"):
            reader.load_extension(extension)
        reader.execute(cloud.store.secret_sql)
        reader.execute(f"attach 'ducklake:{url}/deftunes.ducklake' as lake (read_only)")
        ((lake,),) = reader.sql(
            "select count(*) from lake.marts.fact_order_items"
        ).fetchall()
        reader.execute(f"attach '{url}/deftunes.duckdb' as copied (read_only)")
        ((copied,),) = reader.sql(
            "select count(*) from copied.marts.fact_order_items"
        ).fetchall()
    assert lake == copied
    return int(lake)


@pytest.mark.usefixtures("long_mode")
def test_another_machine_goes_on_while_readers_read(
    cloud: Cloud, proven: dict[str, str]
) -> None:
    other = machine(cloud, "other")
    ids = {published_id(cloud)}
    counts = {items_read(cloud, *ids)}
    errors: list[Exception] = []
    reads = 0
    is_over = threading.Event()

    def read() -> None:
        nonlocal reads
        while not is_over.is_set():
            try:
                id = published_id(cloud)
                ids.add(id)
                counts.add(items_read(cloud, id))
                reads += 1
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for start, end in pairwise(LATER[:3]):
            other.land(start, end)
            other.passes("build", *WITHOUT_TESTS)
            assert "Published" in other.passes(*PUBLISH)
    finally:
        is_over.set()
        reader.join()
    assert errors == []
    last = published_id(other)
    assert len(ids | {last}) == 3
    items = items_read(other, last)
    assert len(counts | {items}) == 3
    assert reads > 3
    # The first machine is behind, and goes on where the other one has stopped.
    cloud.land(LATER[2], LATER[3])
    cloud.passes("build", *WITHOUT_TESTS)
    assert cloud.lakehouse.database.resolve().parent.name == last
    cloud.passes(*PUBLISH)
    assert cloud.lakehouse.database.resolve().parent.name == published_id(cloud)
    kept = {key.split("/")[3] for key in cloud.store.keys(f"{PREFIX}/serving/pub")}
    assert kept == {last, published_id(cloud)}
    # A new machine can go back to what another has published.
    third = machine(cloud, "third")
    third.passes("run-operation", "rollback")
    assert items_read(third, published_id(third)) == items
    third.passes("run-operation", "rollback")
    proven["readers of a bucket while another machine built"] = f"{reads}, no error"


@pytest.mark.usefixtures("long_mode")
def test_only_one_machine_builds(cloud: Cloud) -> None:
    with catalogue_lock(cloud.dsn, 0):
        process = fork(
            cloud.lakehouse.command("run-operation", "upkeep")[1:],
            cloud.lakehouse.environment(cloud.variables),
            cloud.lakehouse.said,
        )
        process.join(timeout=20)
        assert process.is_alive()
        process.kill()
        process.join()


@pytest.mark.usefixtures("long_mode")
def test_readers_download_what_is_published(cloud: Cloud) -> None:
    reader = machine(cloud, "reader")
    assert (
        "There is no role 'sales'"
        in script(reader, "download.py", "--role=sales").stderr
    )
    done = script(reader, "download.py", "--role", "marketing")
    assert done.returncode == 0, done.stderr
    serving = reader.lakehouse.home / "serving"
    found = [file.name for file in serving.rglob("*.duckdb") if not file.is_symlink()]
    assert {*found} == {"marketing.duckdb"}
    whole = script(reader, "download.py")
    assert published_id(cloud) in whole.stdout
    assert differences(copies(reader.lakehouse), copies(cloud.lakehouse)) == {}
    with object_store.proxied(cloud.store) as proxy:
        again = script(reader, "download.py", AWS_ENDPOINT_URL=proxy.store.endpoint)
        assert again.returncode == 0
        assert proxy.requests == {"GET": 2}
    exported = reader.lakehouse.home / "days.csv"
    done = script(reader, "export.py", "reports.sales_per_day_mv", str(exported))
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("long_mode")
def test_a_kill_while_publishing_leaves_readers_what_they_had(cloud: Cloud) -> None:
    before, items = published_id(cloud), items_read(cloud, published_id(cloud))
    publish = ("run-operation", "publish_lake", "--args", "{passed: 8, warned: 1}")
    less = ("--vars", "{published_schemas: [marts, quality]}")
    files = (
        "deftunes.duckdb",
        ".ducklake",
        "roles/marketing.duckdb",
        "serving/current",
    )
    for ending in files:
        with object_store.proxied(cloud.store) as proxy:
            through = replace(cloud, store=proxy.store)
            process = fork(
                cloud.lakehouse.command(*publish, *less)[1:],
                cloud.lakehouse.environment(through.variables),
                cloud.lakehouse.said,
            )
            proxy.kill_at(1, process, ending)
            process.join(timeout=300)
        after = published_id(cloud)
        assert process.exitcode == -signal.SIGKILL
        assert (after == before) == (ending != "serving/current")
        assert items_read(cloud, after) == items
    cloud.passes(*PUBLISH)
    assert items_read(cloud, published_id(cloud)) == items
    assert cloud.lakehouse.database.resolve().parent.name == published_id(cloud)
    assert not cloud.store.keys(f"{PREFIX}/serving/.begun")


@pytest.mark.usefixtures("long_mode")
def test_published_objects_that_somebody_changed_are_published_again(
    cloud: Cloud,
) -> None:
    key = f"{PREFIX}/serving/publications/{published_id(cloud)}/roles/finance.duckdb"
    cloud.store.client.delete_object(Bucket=object_store.BUCKET, Key=key)
    said = cloud.passes(*PUBLISH)
    assert f"Publishing again: s3://{object_store.BUCKET}/{key} is missing." in said
    assert published_id(cloud) not in key


@pytest.mark.usefixtures("long_mode")
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
    ((after,),) = cloud.lakehouse.published(
        "select sum(price_usd) from marts.fact_order_items"
    )
    assert after == revenue


@pytest.mark.usefixtures("long_mode")
def test_no_secret_is_written_anywhere(cloud: Cloud) -> None:
    """Runs last."""
    home = cloud.lakehouse.home
    assert (home / "logs" / "dbt.log").stat().st_size > 1000
    assert traces(home, [cloud.store.secret]) == {}
    assert cloud.store.secret not in cloud.said


# Clear errors


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "are no credentials"),
        ({"AWS_ACCESS_KEY_ID": "KEY0"}, "refuses access to .* AWS_ACCESS_KEY_ID"),
        ({"AWS_SECRET_ACCESS_KEY": "sesame"}, "refuses access to .*SignatureDoesNot"),
        ({"AWS_PROFILE": "nobody"}, "cannot be used .*nobody.* Check the network"),
        (
            {"AWS_ENDPOINT_URL": "127.0.0.1:9"},
            "cannot be used .*, such as AWS_ENDPOINT",
        ),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be used .*127.0.0.1:9/"),
        ({"DEFTUNES_STORE": "s3://nowhere/lake"}, "There is no bucket nowhere at"),
        ({"DEFTUNES_STORE": "s3://deftunes"}, "no folder in a bucket"),
        ({"DEFTUNES_STORE": "s3://deftunes/a*b"}, "no folder in a bucket"),
        ({"DEFTUNES_STORE": "s3://deftunes/../a"}, "no folder in a bucket"),
    ],
)
def test_what_is_wrong_with_the_bucket_is_said(
    variables: dict[str, str],
    said: str,
    store: object_store.Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    for name, text in (store.variables(PREFIX) | variables).items():
        monkeypatch.setenv(name, text)
    with duckdb.connect() as connection:
        connection.load_extension("httpfs")
        with pytest.raises(ObjectStoreError, match=said) as error:
            ObjectStore.at(os.environ["DEFTUNES_STORE"]).open(connection)
    assert len(str(error.value).splitlines()) == 1
    for secret in (store.secret, store.key_id, "sesame", "KEY0"):
        assert secret not in str(error.value)


def test_a_store_that_stays_busy_is_named(
    store: object_store.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_store.proxied(store) as proxy, duckdb.connect() as connection:
        for name, text in proxy.store.variables(PREFIX).items():
            monkeypatch.setenv(name, text)
        proxy.status = lambda *_: 503
        with pytest.raises(ObjectStoreError, match="answered 503"):
            ObjectStore.at(f"s3://{object_store.BUCKET}/lake").open(connection)
        # It is asked a few times.
        assert proxy.requests["GET"] > 1
        requests = iter((503, 503))
        proxy.status = lambda *_: next(requests, 0)
        connection.load_extension("httpfs")
        ObjectStore.at(f"s3://{object_store.BUCKET}/lake").open(connection)


def test_a_bucket_has_to_be_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "ducklake:postgres:postgresql://127.0.0.1:9/lake"
    with (
        pytest.raises(DbtRuntimeError, match="must be s3://bucket/folder"),
        plugin("build", path, home, monkeypatch, data_path="/lake"),
    ):
        pass


def test_a_bucket_needs_a_target_that_uses_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFTUNES_STORE", f"s3://{object_store.BUCKET}/{PREFIX}")
    path = f"ducklake:sqlite:{home}/catalog.sqlite"
    with (
        pytest.raises(DbtRuntimeError, match="lake_s3, or unset DEFTUNES_STORE"),
        plugin("build", path, home, monkeypatch),
    ):
        pass
    assert not home.exists()


def test_a_key_that_may_only_read_is_named(
    store: object_store.Store, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data = f"ducklake:sqlite:{home}/catalog.sqlite", "s3://deftunes/closed/lake"
    with object_store.proxied(store) as proxy:
        for name, text in proxy.store.variables("closed").items():
            monkeypatch.setenv(name, text)
        proxy.status = lambda method, _: 403 if method == "PUT" else 0
        with (
            pytest.raises(
                DbtRuntimeError, match=f"{data} cannot be used: .*403"
            ) as error,
            plugin("build", path, home, monkeypatch, data_path=data),
        ):
            pass
    assert "allowed to list, read, write and delete" in str(error.value)
    assert store.keys("closed/") == {}


def test_another_catalogue_is_refused_the_folder_and_those_around_it(
    store: object_store.Store, home: Path
) -> None:
    def use(name: str, folder: str) -> None:
        home.mkdir(exist_ok=True)
        data_path = f"s3://{object_store.BUCKET}/{folder}"
        with duckdb.connect() as connection:
            for extension in ("ducklake", "httpfs", "sqlite_scanner"):
                connection.load_extension(extension)
            connection.execute(store.secret_sql)
            connection.execute(
                f"attach 'ducklake:sqlite:{home / name}' as lake (data_path"
                f" '{data_path}', override_data_path true, data_inlining_row_limit 0)"
            )
            claim_data_path(connection, "lake", str(home / name), str(home))
            connection.execute("create or replace table lake.t as select 1 as number")

    use("first", "theirs/lake")
    use("first", "theirs/lake")
    assert f"theirs/lake/{MARKER}" in store.keys("theirs/")
    with pytest.raises(DataPathError, match="contains the files of another catalogue"):
        use("second", "theirs/lake")
    with pytest.raises(DataPathError, match="is inside the data path of another"):
        use("second", "theirs/lake/main")
    with pytest.raises(DataPathError, match="that this catalogue did not write"):
        use("second", "theirs")
    with pytest.raises(DataPathError, match="set DEFTUNES_LAKE_DATA"):
        use("first", "elsewhere")
    # A copy with its marker.
    for key in store.keys("theirs/lake/"):
        source = {"Bucket": object_store.BUCKET, "Key": key}
        copy = key.replace("theirs", "copied")
        store.client.copy_object(
            Bucket=object_store.BUCKET, Key=copy, CopySource=source
        )
    with pytest.raises(DataPathError, match="is a copy of s3://deftunes/theirs/lake"):
        use("first", "copied/lake")
    use("second", "ours")
