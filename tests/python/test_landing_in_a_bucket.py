"""Landing in a bucket of a real S3 server: as on disk, and what a network can do."""

import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import object_store
import psycopg
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
from deftunes.landing.landed_files import BucketFiles
from deftunes.landing.loader import LandingPlan, Summary, run
from deftunes.landing.manifest import ManifestError
from deftunes.landing.zone import LandingZone, LandingZoneError, check_landing_zone
from deftunes.lock import LockedError, catalogue_lock
from deftunes.object_store import ObjectExistsError, ObjectStore, ObjectStoreError
from deftunes.privacy.erasure_registry import PSEUDONYM
from deftunes.privacy.forget import _forget_landed
from deftunes.settings import PROJECT, Settings, SettingsError
from demo_sources import service
from demo_sources.service import Records
from test_land import session, user

START = date(2024, 1, 5)
DAYS = 12
SESSIONS = [
    session(f"{day}-{number}", f"{START + timedelta(days=day)}T10:0{number}:00")
    for day in range(DAYS)
    for number in range(3)
]


@dataclass(frozen=True)
class Shop:
    """A shop whose landing zone is in a bucket.

    Attributes:
        settings: where everything is.
        server: the S3 server.

    """

    settings: Settings
    server: object_store.Store

    @property
    def folder(self) -> ObjectStore:
        """The lakehouse in the bucket, with a new connection."""
        assert self.settings.store
        return replace(self.settings.store)

    def land(self, days: int = DAYS, first: int = 0, **more: Any) -> Summary:  # noqa: ANN401
        """Land users, and some days of sessions."""
        start = START + timedelta(days=first)
        end = start + timedelta(days=days)
        plan = LandingPlan(("users", "sessions"), start, end, wait=0)
        return run(replace(self.settings, store=self.folder, **more), plan)

    def zone(self) -> LandingZone:
        """Return the landing zone as it is now."""
        return LandingZone(self.settings.landing, self.folder)

    def check(self) -> None:
        """Check the landing zone as a build does."""
        check_landing_zone(self.settings.landing, self.folder)

    def batches(self) -> list[str]:
        """Return the names of the objects of batches, relative to the lakehouse."""
        names = self.folder.objects("landing")
        return sorted(name for name in names if name.endswith(".parquet"))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what has landed, without when."""
        found = []
        for name in self.batches():
            content = self.folder.read(name)
            table = pq.read_table(io.BytesIO(content or b""))
            kept = table.drop_columns(["_ingested_at", "_batch_id"])
            found += [(name.split("/")[1], str(row)) for row in kept.to_pylist()]
        return sorted(found)

    def variables(self) -> dict[str, str]:
        """Return the variables for a command line."""
        assert self.settings.catalogue_dsn
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("AWS_", "DEFTUNES_"))
        }
        return (
            inherited
            | self.server.variables(self.folder.prefix)
            | {
                "DEFTUNES_HOME": str(self.settings.home),
                "DEFTUNES_API_URL": self.settings.api_url or "",
                "DBT_ENV_SECRET_CATALOG_DSN": self.settings.catalogue_dsn,
            }
        )

    def command(self) -> list[str]:
        """Return the command that lands everything."""
        script = str(PROJECT / "scripts" / "land.py")
        end = START + timedelta(days=DAYS)
        window = ("--start", str(START), "--end", str(end))
        return [sys.executable, script, "users", "sessions", *window]


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """Run the API of a shop with twelve days."""
    with service.running(Records([user("u")], SESSIONS)) as running:
        yield running.url


@pytest.fixture
def shop(
    api: str,
    store: object_store.Store,
    postgres_dsn: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Shop:
    """Return a shop of which nothing has landed."""
    prefix = f"shops/{tmp_path.name}"
    for name, text in store.variables(prefix).items():
        monkeypatch.setenv(name, text)
    folder = ObjectStore(object_store.BUCKET, prefix)
    settings = Settings(home, api, None, None, store=folder, catalogue_dsn=postgres_dsn)
    return Shop(settings, store)


def test_a_bucket_has_what_a_folder_has(shop: Shop, tmp_path: Path) -> None:
    done = shop.land()
    local = replace(shop.settings, home=tmp_path / "local", store=None)
    plan = LandingPlan(("users", "sessions"), START, START + timedelta(days=DAYS))
    # Which of them is done first differs.
    assert {*str(run(local, plan)).split("; ")} == {*str(done).split("; ")}
    found = []
    for file in LandingZone(local.landing).files("sessions"):
        table = pq.ParquetFile(file).read()
        kept = table.drop_columns(["_ingested_at", "_batch_id"])
        found += [("sessions", str(row)) for row in kept.to_pylist()]
    assert [row for row in shop.rows() if row[0] == "sessions"] == sorted(found)
    shop.check()
    # Nothing that cannot be had again is on this machine.
    assert not [*shop.settings.home.rglob("*.parquet")]


def test_what_is_landed_again_unchanged_is_not_stored_again(shop: Shop) -> None:
    shop.land()
    before = shop.batches()
    assert not any(
        window.changed for each in shop.land().landed.values() for window in each
    )
    assert shop.batches() == before
    assert len(before) == DAYS + 1


def test_of_a_day_that_is_not_over_only_changes_are_stored(
    shop: Shop, at: Callable[[str], None]
) -> None:
    sessions = SESSIONS[:2]
    with service.running(Records([user("u")], sessions)) as api:
        landed = []
        for minute in range(4):
            at(f"{START}T11:0{minute}")
            shop.land(1, api_url=api.url)
            landed.append(len([row for row in shop.rows() if row[0] == "sessions"]))
            if minute == 1:
                sessions.append(SESSIONS[2])
            if minute == 2:
                # What the source still says of an erased person is nothing new.
                _forget_landed(shop.zone(), "u")
    assert landed == [2, 2, 3, 3]
    shop.check()


def test_a_day_costs_as_many_requests_after_a_long_history(shop: Shop) -> None:
    counts = []
    with object_store.proxied(shop.server) as proxy, pytest.MonkeyPatch.context() as of:
        of.setenv("AWS_ENDPOINT_URL", proxy.store.endpoint)
        shop.land(1)
        for first in range(1, DAYS):
            before = proxy.requests.total()
            shop.land(1, first)
            counts.append(proxy.requests.total() - before)
    assert len(set(counts)) == 1
    assert counts[0] < 20


def test_a_kill_at_any_upload_loses_nothing(shop: Shop, proven: dict[str, str]) -> None:
    killed = 0
    for number in (1, 2, 3, 3):
        with object_store.proxied(shop.server) as proxy:
            variables = shop.variables() | {"AWS_ENDPOINT_URL": proxy.store.endpoint}
            process = subprocess.Popen(
                shop.command(), env=variables, stderr=subprocess.DEVNULL
            )
            proxy.kill_at(number, process)
            killed += process.wait(timeout=120) == -signal.SIGKILL
        shop.check()
    assert killed == 4
    assert not shop.land().failed
    shop.check()
    whole = shop.rows()
    assert len(whole) == len(SESSIONS) + 1
    proven["kills of landings in a bucket"] = f"{killed}, {len(whole)} records each"


def test_an_answer_that_is_lost_does_not_land_a_day_twice(shop: Shop) -> None:
    with object_store.proxied(shop.server) as proxy, pytest.MonkeyPatch.context() as of:
        of.setenv("AWS_ENDPOINT_URL", proxy.store.endpoint)
        lost: set[str] = set()

        def lose_once(method: str, path: str) -> int:
            is_first = method == "PUT" and path not in lost
            lost.add(path)
            return 500 if is_first else 0

        proxy.late_status = lose_once
        assert not shop.land(3).failed
    assert len(shop.batches()) == 4
    shop.check()


def test_a_busy_store_is_asked_again_and_a_failing_one_is_named(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(6)  # noqa: S311 - to be repeated
    with object_store.proxied(shop.server) as proxy, pytest.MonkeyPatch.context() as of:
        of.setenv("AWS_ENDPOINT_URL", proxy.store.endpoint)
        proxy.status = lambda *_: 503 if chance.random() < 0.1 else 0
        assert not shop.land(6).failed
        proxy.status = lambda method, _: 503 if method == "PUT" else 0
        failed = shop.land(2, 6).failed
        assert {*failed} >= {"sessions 2024-01-11", "sessions 2024-01-12"}
        assert f"{proxy.store.endpoint} answered 503" in caplog.text
        proxy.status = lambda *_: 403
        with pytest.raises(ObjectStoreError, match=r"refuses access to .* AWS_ACC"):
            shop.land(2, 6)
    assert shop.server.secret not in caplog.text
    assert not shop.land().failed
    assert len(shop.batches()) == DAYS + 1
    shop.check()


def test_a_slow_store_is_waited_for(shop: Shop) -> None:
    with object_store.proxied(shop.server) as proxy, pytest.MonkeyPatch.context() as of:
        of.setenv("AWS_ENDPOINT_URL", proxy.store.endpoint)
        proxy.status = lambda *_: time.sleep(0.5) or 0  # type: ignore[func-returns-value]
        assert not shop.land(3).failed
    assert len(shop.batches()) == 4


def test_only_one_machine_lands(shop: Shop, tmp_path: Path) -> None:
    assert shop.settings.catalogue_dsn
    with (
        catalogue_lock(shop.settings.catalogue_dsn, 0),
        pytest.raises(LockedError, match=f"Another run .*process {os.getpid()}"),
    ):
        shop.land(1, home=tmp_path / "another machine")
    assert not shop.batches()
    assert not shop.land(1).failed


def test_a_lock_is_lost_with_its_session(shop: Shop) -> None:
    assert shop.settings.catalogue_dsn
    with catalogue_lock(shop.settings.catalogue_dsn, 0) as lock:
        lock.check()
        with psycopg.connect(shop.settings.catalogue_dsn, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_locks"
                " where locktype = 'advisory'"
            )
        with pytest.raises(LockedError, match=r"connection .* was lost"):
            lock.check()
    with catalogue_lock(shop.settings.catalogue_dsn, 5):
        pass


def test_a_lock_waits_for_the_machine_that_has_it(shop: Shop) -> None:
    dsn = shop.settings.catalogue_dsn
    assert dsn
    held = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import sys, time; sys.path.insert(0, 'scripts');"
            "from deftunes.lock import catalogue_lock\n"
            "with catalogue_lock(sys.argv[1], 0): print(flush=True); time.sleep(60)",
            dsn,
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert held.stdout
    held.stdout.readline()
    with pytest.raises(LockedError):
        shop.land(1)
    held.kill()
    held.wait()
    started = time.monotonic()
    with catalogue_lock(dsn, 30):
        assert time.monotonic() - started < 20


def test_the_database_of_the_lock_has_to_be_named(shop: Shop) -> None:
    with pytest.raises(SettingsError, match="DBT_ENV_SECRET_CATALOG_DSN is not set"):
        shop.land(1, catalogue_dsn=None)
    for dsn, said in (
        ("postgresql://a:sesame@127.0.0.1:9/lake", "names: .*refused"),
        ("sesame sesame", "is not a libpq URL"),
    ):
        with pytest.raises(LockedError, match=said) as error:
            shop.land(1, catalogue_dsn=dsn)
        assert "sesame" not in str(error.value)


def test_a_second_writer_never_replaces_a_batch(shop: Shop, tmp_path: Path) -> None:
    """Even if the lock does not hold it back."""
    shop.land(1)
    files = BucketFiles(shop.folder)
    batch = files.batches()[0]
    made = tmp_path / "made.parquet"
    made.write_bytes(b"of another machine")
    before = shop.rows()
    with pytest.raises(ObjectExistsError, match="another run has written it"):
        shop.folder.put(f"landing/{batch}", made, {"place": "theirs"}, replace=False)
    assert shop.rows() == before


# Damage


def sessions(shop: Shop) -> list[str]:
    """Return the objects with sessions, first the oldest."""
    return [name for name in shop.batches() if "/sessions/" in name]


def copy(shop: Shop, source: str, target: str) -> None:
    """Copy an object, as a person would."""
    shop.server.client.copy_object(
        Bucket=object_store.BUCKET,
        Key=f"{shop.folder.prefix}/{target}",
        CopySource=f"{object_store.BUCKET}/{source}",
    )


DAMAGE: dict[str, Callable[[Shop, str, str], object]] = {
    "is gone": lambda shop, name, _: shop.folder.delete([name]),
    "has 3 bytes, not": lambda shop, name, _: shop.folder.write(name, b"bad"),
    "has ": lambda shop, name, other: copy(shop, f"{shop.folder.prefix}/{other}", name),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_damage_is_named_and_landing_the_window_again_heals_it(
    shop: Shop, said: str
) -> None:
    shop.land(3)
    whole = shop.rows()
    name, other, _ = sessions(shop)
    DAMAGE[said](shop, name, other)
    with pytest.raises(LandingZoneError) as refused:
        shop.check()
    for part in (shop.folder.url(name), said, "python scripts/land.py sessions"):
        assert part in str(refused.value)
    assert not shop.land(3).failed
    shop.check()
    assert shop.rows() == whole


def test_the_content_of_an_object_is_compared_if_its_size_is_the_same(
    shop: Shop,
) -> None:
    shop.land(1)
    (name,) = sessions(shop)
    content = shop.folder.read(name) or b""
    shop.folder.write(name, content[:-1] + b"x")
    with pytest.raises(LandingZoneError, match="has other content"):
        shop.check()
    shop.folder.write(name, content)  # restored from a backup
    shop.check()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("backup/sessions.parquet", "was not landed by"),
        ("{id}/copy.parquet", "was not landed by"),
        ("{later}/sessions.parquet", "not in the manifest"),
    ],
)
def test_copies_of_a_batch_are_refused(shop: Shop, target: str, said: str) -> None:
    shop.land(1)
    (batch,) = sessions(shop)
    id = batch.split("/")[2]
    later = re.sub(r"=\d{4}", "=2099", id)
    copied = f"landing/sessions/{target.format(id=id, later=later)}"
    copy(shop, f"{shop.folder.prefix}/{batch}", copied)
    with pytest.raises(LandingZoneError, match=said) as refused:
        shop.check()
    assert shop.folder.url(copied) in str(refused.value)
    shop.folder.delete([copied])
    shop.check()


def test_a_batch_of_another_landing_zone_is_refused(shop: Shop) -> None:
    shop.land(1)
    store = replace(shop.folder, prefix=f"theirs/{shop.folder.prefix}")
    theirs = replace(shop, settings=replace(shop.settings, store=store))
    theirs.land(1, 1)
    (batch,) = sessions(theirs)
    copy(shop, f"{store.prefix}/{batch}", batch)
    with pytest.raises(LandingZoneError, match="not in the manifest"):
        shop.check()


def test_a_lost_manifest_is_written_again(shop: Shop) -> None:
    shop.land(2)
    shop.folder.delete(["landing/.manifest"])
    shop.check()
    assert shop.folder.read("landing/.manifest")
    shop.folder.write("landing/.manifest", b"nonsense")
    with pytest.raises(ManifestError, match=r"is damaged\. Remove it"):
        shop.check()


# Erasing a person


def test_a_person_leaves_every_batch_and_does_not_come_back(shop: Shop) -> None:
    shop.land(3)
    before = shop.batches()
    _forget_landed(shop.zone(), "u")
    shop.check()
    assert shop.batches() == before
    for name in before:
        with duckdb.connect() as connection:
            BucketFiles(shop.folder).connect(connection)
            table = connection.read_parquet(shop.folder.url(name))
            ids = {user_id for (user_id,) in table.select("user_id").fetchall()}
        assert all(re.match(PSEUDONYM, user_id) for user_id in ids)
    # The API still delivers them.
    assert not shop.land(4).failed
    assert not [row for row in shop.rows() if "'user_id': 'u'" in row[1]]
