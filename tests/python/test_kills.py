"""Kills each step of every command that changes a lake, on both targets.

After each kill, the same command again repairs the lake, and readers always see either
the old or the new publication.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import WITHOUT_TESTS, Lakehouse
from dbt_process import fork
from demo_sources import postgres
from demo_sources.generator import Generator
from test_forget import command_line, environment, execute, setting, traces
from test_pipeline import BUILT, differences
from test_publishing import MORE_FACTS, Shop, opened, reading, rows_of

pytestmark = pytest.mark.usefixtures("long_mode")

DAYS = [date(2023, 3, number) for number in (1, 3, 5)]
SALES: Any = {"seed": 6, "items": 300, "start": DAYS[0], "end": DAYS[-1]}
PUBLISH = ("run-operation", "publish_lake", "--args", "{passed: 7, warned: 1}")
SEED = 20_230_301

Tables = dict[str, list[Any]]
Moment = Callable[["Place"], bool]


@dataclass(frozen=True)
class Place:
    """A lakehouse on a target.

    Attributes:
        lakehouse: the lakehouse.
        target: its name.
        variables: what the target wants in the environment.
        catalogue: how DuckDB calls the lake's catalogue.

    """

    lakehouse: Lakehouse
    target: str
    variables: dict[str, str]
    catalogue: str

    @property
    def shop(self) -> Shop:
        """The published database."""
        return Shop(self.lakehouse, Path())

    @property
    def current(self) -> str:
        """The id of the current publication."""
        return (self.shop.serving / "current").readlink().name

    @property
    def said(self) -> str:
        """The output of the last command so far."""
        return self._said.read_text() if self._said.exists() else ""

    @property
    def _said(self) -> Path:
        return self.lakehouse.home.parent / "said.log"

    def start(self, *arguments: str) -> Any:  # noqa: ANN401 - a process
        """Start dbt on the target."""
        self._said.unlink(missing_ok=True)
        command = self.lakehouse.command(*arguments, "--target", self.target)[1:]
        environment = self.lakehouse.environment(self.variables)
        return fork(command, environment, self._said)

    def dbt(self, *arguments: str) -> str:
        """Run dbt, check that it passes, and return its output."""
        process = self.start(*arguments)
        process.join(timeout=900)
        assert process.exitcode == 0, self.said
        return self.said

    def killed(self, arguments: tuple[str, ...], has_come: Moment) -> bool:
        """Kill dbt at a moment; return whether it was still running."""
        process = self.start(*arguments)
        while process.is_alive() and not has_come(self):
            time.sleep(0.001)
        process.kill()
        process.join()
        return bool(process.exitcode == -9)

    def forget(self, user_id: str) -> subprocess.Popen[bytes]:
        """Start to erase a person, in a process group that can be killed as one."""
        self._said.unlink(missing_ok=True)
        lakehouse = self.lakehouse
        where = {"DBT_TARGET": self.target} | self.variables
        with self._said.open("wb") as said:
            return subprocess.Popen(
                command_line(user_id, "--yes"),
                env=environment(lakehouse) | where,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    def killed_forgetting(self, user_id: str, has_come: Moment) -> bool:
        """Kill the erasure at a moment; return whether it was still running."""
        process = self.forget(user_id)
        while process.poll() is None and not has_come(self):
            time.sleep(0.001)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait(timeout=60) == -signal.SIGKILL

    def change(self) -> None:
        """Change the lake, so that there is something to publish."""
        with duckdb.connect() as lake:
            for extension in ("ducklake", f"{self.catalogue.split(':')[0]}_scanner"):
                lake.load_extension(extension)
            lake.execute(
                f"attach 'ducklake:{self.catalogue}' as lake"
                " (data_inlining_row_limit 0)"
            )
            lake.execute(MORE_FACTS)

    def tables(self) -> Tables:
        """Return the rows of the lake, by table."""
        return self.lakehouse.tables(*BUILT, catalogue=self.catalogue)


@contextmanager
def on_target(lakehouse: Lakehouse, name: str) -> Iterator[Place]:
    """Yield a lakehouse on a target."""
    if name == "local":
        catalogue = f"sqlite:{lakehouse.home}/lake/catalog.sqlite"
        yield Place(lakehouse, name, {}, catalogue)
        return
    with postgres.running() as dsn:
        variables = {
            "DBT_ENV_SECRET_CATALOG_DSN": dsn,
            "DEFTUNES_LAKE_DATA": str(lakehouse.home / "elsewhere"),
        }
        yield Place(lakehouse, name, variables, f"postgres:{dsn}")


@pytest.fixture(scope="module", params=["local", "lake_pg"])
def place(
    request: pytest.FixtureRequest,
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
) -> Iterator[Place]:
    """Land, build and publish, then land more."""
    lakehouse, generator = lakehouses(rates), Generator(**SALES)
    with on_target(lakehouse, request.param) as made:
        for start, end in pairwise(DAYS):
            lakehouse.land(generator, generator.song_tables(), start, end)
            if start == DAYS[0]:
                made.dbt("build", *WITHOUT_TESTS)
                made.dbt(*PUBLISH)
        yield made


def nodes(count: int) -> Moment:
    """Return the moment when a build has started more than `count` nodes."""
    return lambda place: place.said.count(" START ") > count


def test_killed_builds_are_mended(
    place: Place, lakehouses: Callable[[Path], Lakehouse], proven: dict[str, str]
) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    before = place.shop.tables("deftunes.ducklake")
    build = ("build", *WITHOUT_TESTS)
    killed = sum(
        place.killed(build, nodes(count))
        for count in (2, *sorted(chance.sample(range(3, 50), 8)), 50)
    )
    assert place.shop.tables("deftunes.ducklake") == before
    place.dbt(*build)
    anew = lakehouses(place.lakehouse.rates)
    anew.home.mkdir(parents=True)
    (anew.home / "landing").symlink_to(place.lakehouse.home / "landing")
    anew.build(*WITHOUT_TESTS)
    assert differences(place.tables(), anew.tables(*BUILT)) == {}
    assert killed >= 8
    proven[f"kills of builds on {place.target}"] = f"{killed}, all mended"


STEPS: dict[str, Moment] = {
    "begun": lambda place: (place.shop.publications / ".begun").exists(),
    "catalogue": lambda place: any(
        place.shop.publications.glob(".building/*.ducklake")
    ),
    "copy": lambda place: any(place.shop.publications.glob(".building/*.duckdb")),
    **{
        role: lambda place, role=role: any(  # type: ignore[misc]
            place.shop.publications.glob(f".building/roles/{role}.duckdb")
        )
        for role in ("analyst", "finance", "marketing")
    },
    "record": lambda place: (
        place.shop.publications / ".building" / ".files.json"
    ).exists(),
    "renamed": lambda place: len([*place.shop.publications.glob("[!.]*")]) > 2,
    "linked": lambda place: (
        (place.shop.publications / ".begun").exists()
        and (place.shop.publications / ".begun").read_text().startswith(place.current)
    ),
}


@pytest.mark.parametrize("verb", ["publishing", "rollback"])
def test_killed_publications_are_mended(
    place: Place, verb: str, proven: dict[str, str]
) -> None:
    command = PUBLISH if verb == "publishing" else ("run-operation", "rollback")
    killed = 0
    with reading(place.shop) as found:
        for step, has_come in STEPS.items():
            if verb == "publishing":
                place.change()
                place.dbt(*REFRESH)
            before = place.current
            frozen = place.shop.tables("deftunes.ducklake")
            killed += place.killed(command, has_come)
            if place.current == before:
                assert place.shop.tables("deftunes.ducklake") == frozen, step
            place.dbt(*command)
            assert place.current != before, step
            assert {path.name for path in place.shop.publications.iterdir()} == {
                before,
                place.current,
            }, step
            new = place.shop.tables("deftunes.ducklake")
            assert new["marts.fact_order_items"] != frozen["marts.fact_order_items"]
            assert (
                place.shop.tables()["marts.fact_order_items"]
                == (new["marts.fact_order_items"])
            ), step
            # The last row is what readers open.
            last = max(row[0] for row in new["quality.publications"])
            assert verb == "rollback" or last == place.current, step
    seen, errors = found
    assert not errors
    assert all(facts == reported > 0 for facts, reported, _ in seen)
    assert killed >= len(STEPS) - 2
    what = f"kills of {verb} on {place.target}"
    proven[what] = f"{killed}, read {len(seen):,} times meanwhile, no error"


UPKEEP = ("run-operation", "upkeep", "--vars", "{retention_days: 0}")
REFRESH = ("run-operation", "refresh_materialized_views")
STEP_NAMES = (
    *("rewrite_data_files", "merge_adjacent_files", "expire_snapshots"),
    *("cleanup_old_files", "delete_orphaned_files"),
)


def after(step: str, delay: float) -> Moment:
    """Return the moment `delay` seconds after upkeep has logged a step."""
    came: list[float] = []

    def has_come(place: Place) -> bool:
        if not came and f"ducklake_{step}: " in place.said:
            came.append(time.monotonic())
        return bool(came) and time.monotonic() > came[0] + delay

    return has_come


def test_killed_upkeep_is_mended(place: Place, proven: dict[str, str]) -> None:
    # Two publications to roll back to and fro.
    place.change()
    place.dbt(*PUBLISH)
    place.change()
    # Upkeep ends with it.
    place.dbt(*REFRESH)
    tables, killed = place.tables(), 0
    frozen = place.shop.tables("deftunes.ducklake")
    with opened(place.shop.serving / "deftunes.ducklake") as reader:
        # Also before the first step, while dbt starts and the lake is opened.
        for number, step in enumerate(STEP_NAMES):
            killed += place.killed(UPKEEP, after(step, 0.02 * number))
            assert differences(place.tables(), tables) == {}, step
            place.dbt(*UPKEEP)
            assert differences(place.tables(), tables) == {}, step
            assert rows_of(reader) == frozen, step
            place.change()
            place.dbt(*REFRESH)
            tables = place.tables()
    assert killed >= len(STEP_NAMES) - 2
    place.dbt("run-operation", "rollback")
    place.dbt("run-operation", "rollback")
    assert place.shop.tables("deftunes.ducklake") == frozen
    proven[f"kills of upkeep on {place.target}"] = f"{killed}, all mended"


def begun(text: str) -> Moment:
    """Return the moment when the erasure has logged a text."""
    return lambda place: text in place.said


def noted(place: Place) -> bool:
    """Return whether the registry of erased people exists."""
    return (place.lakehouse.home / "landing" / ".forgotten.json").exists()


def rewritten(count: int) -> Moment:
    """Return the moment when `count` landed files have been rewritten."""
    first: dict[Path, int] = {}

    def has_come(place: Place) -> bool:
        now = inodes(place.lakehouse.home / "landing")
        if not first:
            first.update(now)
        return len({*now.items()} - {*first.items()}) >= count

    return has_come


def inodes(folder: Path) -> dict[Path, int]:
    """Return the inodes of the Parquet files in a folder."""
    found = {}
    for path in folder.glob("*/*/*.parquet"):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_ino
    return found


def is_alone(place: Place) -> bool:
    """Return whether the removal of earlier publications has started."""
    return len([*place.shop.publications.glob("[!.]*")]) < 2


def other_publication() -> Moment:
    """Return the moment when readers open a new publication."""
    first: list[str] = []

    def has_come(place: Place) -> bool:
        first.append(place.current)
        return place.current != first[0]

    return has_come


FORGETTING: dict[str, Callable[[], Moment]] = {
    "noted": lambda: noted,
    "first batch": lambda: rewritten(1),
    "third batch": lambda: rewritten(3),
    "building": lambda: begun("Rebuilding the lake"),
    "publishing": lambda: STEPS["begun"],
    "catalogue": lambda: STEPS["catalogue"],
    "renamed": lambda: STEPS["renamed"],
    "published": other_publication,
    "removing": lambda: is_alone,
}


def test_killed_forgetting_is_mended(
    place: Place, lakehouses: Callable[[Path], Lakehouse], proven: dict[str, str]
) -> None:
    """Runs last for each target, since erasing cannot be undone."""
    place.dbt("build", *WITHOUT_TESTS)
    place.change()
    place.dbt(*PUBLISH)
    with place.lakehouse.lake(place.catalogue) as lake:
        ((person,),) = lake.execute(
            "select user_id from marts.fact_order_items"
            " join marts.dim_users using (user_key)"
            " group by all order by count(*) desc, user_id limit 1"
        ).fetchall()
    home, killed = place.lakehouse.home, 0
    assert traces(home, [person])
    for step, moment in FORGETTING.items():
        killed += place.killed_forgetting(person, moment())
        assert place.shop.tables("deftunes.ducklake"), step
    assert place.forget(person).wait(timeout=900) == 0, place.said
    assert killed >= len(FORGETTING) - 2
    assert traces(home, [person]) == {}
    assert person not in place.said
    if place.target == "lake_pg":
        dsn = place.variables["DBT_ENV_SECRET_CATALOG_DSN"]
        with postgres.connected(dsn) as connection:
            execute(connection, "checkpoint")
            folder = Path(setting(connection, "data_directory"))
        assert traces(folder / "base", [person]) == {}
    anew = lakehouses(place.lakehouse.rates)
    anew.home.mkdir(parents=True)
    (anew.home / "landing").symlink_to(home / "landing")
    anew.build(*WITHOUT_TESTS)
    assert differences(place.tables(), anew.tables(*BUILT)) == {}
    proven[f"kills of forgetting on {place.target}"] = f"{killed}, all mended"
