"""What several test modules share: a real database, a home, a look at what landed."""

import itertools
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from io import StringIO
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import dbt_process
import demo
import duckdb
import hypothesis
import object_store
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from deftunes.landing.loader import ENTITIES, LandingPlan, Summary, run
from deftunes.landing.rates import SHIPPED
from deftunes.landing.zone import LandingZone
from deftunes.settings import PROJECT, Settings
from demo_sources import postgres, service
from demo_sources.generator import Generator
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

WITHOUT_TESTS = ("--exclude-resource-type", "test")
"""What makes a build leave out dbt's tests, where they are not the point."""

# What the longest test needs that depends on the date.
_A_TEST = timedelta(minutes=6)
# Some minutes each on two cores, the longest first.
_SLOWEST = (
    *("test_publishing", "test_faults", "test_pipeline", "test_dashboard"),
    *("test_explore", "test_live", "test_schedule"),
    *("test_data_classes", "test_demo", "test_export", "test_materialized_views"),
    *("test_history", "test_properties", "test_forget", "test_landing_in_a_bucket"),
    *("test_lakehouse_in_a_bucket", "test_selections"),
    *("test_metrics", "test_bench", "test_ml", "test_expectations", "test_land"),
)
# They share one run of the demo.
_OF_THE_DEMONSTRATION = {
    *("test_dashboard", "test_data_classes", "test_demo", "test_export"),
    *("test_explore", "test_notebook", "test_superset"),
}
_INHERITED = {"HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "TMPDIR", "TZ"}
_PROVEN = pytest.StashKey[dict[str, str]]()
_LONG = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Make room for figures, and say how many histories the pipeline goes through."""
    config.stash[_PROVEN] = {}
    config.stash[_LONG] = bool(os.environ.get("DEFTUNES_TEST_LONG"))
    short = {"max_examples": 2, "derandomize": True}
    chosen: dict[str, Any] = {"max_examples": 100} if config.stash[_LONG] else short
    hypothesis.settings.register_profile("histories", **chosen)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the files that take longest begin first: none is left over at the end."""
    places = {name: place for place, name in enumerate(_SLOWEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


class _ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Has one process run a file, or all files that share the demo or a store."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        name = Path(file).stem
        if name in _OF_THE_DEMONSTRATION:
            return "demonstration"
        return "bucket" if name.endswith("in_a_bucket") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:  # noqa: ANN401 - xdist has no public type
    """Tell xdist which tests belong together."""
    return _ByFile(config, log)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was compared over to the process that says it."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["proven"] = session.config.stash[_PROVEN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - xdist has no types
    """Take over what a process has compared."""
    node.config.stash[_PROVEN].update(
        getattr(node, "workeroutput", {}).get("proven", {})
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what the tests of the pipeline compared."""
    if config.stash[_PROVEN]:
        terminalreporter.section("what the pipeline's tests compared")
        for what, figure in config.stash[_PROVEN].items():
            terminalreporter.line(f"{what}: {figure}")


@pytest.fixture(scope="session")
def proven(pytestconfig: pytest.Config) -> dict[str, str]:
    """Return the figures that the run shows at its end."""
    return pytestconfig.stash[_PROVEN]


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Say whether DEFTUNES_TEST_LONG asks for tests that take their time."""
    return pytestconfig.stash[_LONG]


@pytest.fixture(scope="session")
def long_mode(is_long: bool) -> None:
    """Leave a test that takes its time to the long mode."""
    if not is_long:
        pytest.skip("takes its time; DEFTUNES_TEST_LONG=1 runs it")


@pytest.fixture
def today() -> date:
    """Return today (UTC), which the test will not outlast.

    Before midnight it waits for the next day: what a test calls today must be today
    for the processes that it starts.
    """
    while (now := datetime.now(timezone.utc)).date() != (now + _A_TEST).date():
        time.sleep(1)
    return now.date()


@dataclass(frozen=True)
class Lakehouse:
    """A lakehouse of its own, landed in and built the way people do it.

    Attributes:
        home: its folder.
        postgres_dsn: a database whose `deftunes.songs` may be replaced.
        rates: the ECB's file.
        threads: how many DuckDB uses; empty for one per core, as the demo's tests and
            the long mode have it. One is quicker where there is little data.

    """

    home: Path
    postgres_dsn: str
    rates: Path
    threads: str = "" if os.environ.get("DEFTUNES_TEST_LONG") else "1"

    @property
    def database(self) -> Path:
        """The published database."""
        return self.home / "serving" / "deftunes.duckdb"

    @property
    def said(self) -> Path:
        """The file of what the last command has said."""
        return self.home.parent / "said.log"

    def land(
        self,
        source: service.Source,
        songs: Iterable[pa.Table],
        start: date,
        end: date,
        **more: Any,  # noqa: ANN401 - of several types
    ) -> Summary:
        """Land everything, the sessions of [start, end), with further settings."""
        postgres.load_songs(self.postgres_dsn, songs)
        with service.running(source) as api:
            settings = Settings(
                self.home, api.url, self.postgres_dsn, str(self.rates), **more
            )
            summary = run(settings, LandingPlan(ENTITIES, start, end))
        assert not summary.failed
        return summary

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of dbt that writes to this home only."""
        return [
            str(Path(sys.executable).with_name("dbt")),
            *arguments,
            f"--target-path={self.home / 'target'}",
            f"--log-path={self.home / 'logs'}",
        ]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return an environment with this home, and what is given besides.

        Few variables: dbt looks through all of them for secrets at every event.
        """
        held = {name: value for name, value in os.environ.items() if name in _INHERITED}
        # The models of machine learning have tests of their own.
        set_here = {
            "DEFTUNES_HOME": str(self.home),
            "DEFTUNES_THREADS": self.threads,
            "DEFTUNES_WITHOUT_ML": "1",
        }
        return held | set_here | dict(more or {})

    def dbt(
        self,
        *arguments: str,
        project: Path = PROJECT,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run dbt and return what came of it."""
        command = self.command(*arguments)[1:]
        environment = self.environment(environment)
        return dbt_process.run(command, environment, self.said, project)

    def start(self, *arguments: str) -> ForkServerProcess:
        """Start dbt; `dbt_process.lines` tells what it says."""
        command = self.command(*arguments)[1:]
        return dbt_process.fork(command, self.environment(), self.said)

    def build(
        self, *arguments: str, environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a build that passes, and return what it said."""
        done = self.dbt("build", *arguments, environment=environment)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def published(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the published database."""
        with duckdb.connect(str(self.database), read_only=True) as connection:
            return connection.execute(query).fetchall()

    @contextmanager
    def lake(
        self, catalogue: str = "", *, read_only: bool = True, secret: str = ""
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the lake, to read it; the catalogue is the local one by default.

        A secret is the statement that gives DuckDB access to a bucket.
        """
        catalogue = catalogue or f"sqlite:{self.home / 'lake' / 'catalog.sqlite'}"
        with duckdb.connect() as connection:
            for extension in ("ducklake", f"{catalogue.partition(':')[0]}_scanner"):
                connection.load_extension(extension)
            if secret:
                connection.load_extension("httpfs")
                connection.execute(secret)
            connection.execute(
                f"attach 'ducklake:{catalogue}' as lake (read_only {read_only})"
            )
            connection.execute("use lake.main")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the local lake to write to it."""
        catalogue = self.home / "lake" / "catalog.sqlite"
        with duckdb.connect() as connection:
            for extension in ("ducklake", "sqlite_scanner"):
                connection.load_extension(extension)
            connection.execute(
                f"attach 'ducklake:sqlite:{catalogue}' as lake"
                " (data_inlining_row_limit 0)"
            )
            yield connection

    def tables(
        self, *schemas: str, catalogue: str = "", secret: str = ""
    ) -> dict[str, list[Any]]:
        """Return the sorted rows of all tables of some schemas, by name.

        Without the exchange rates' extract that was the latest when a batch was read
        for the last time, and without the publications: those depend on when a build
        ran, and on nothing else.
        """
        with self.lake(catalogue, secret=secret) as connection:
            names = connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables()"
                " where database_name = 'lake' and list_contains(?, schema_name)"
                " and table_name <> 'publications' order by all",
                [schemas],
            ).fetchall()
            return {
                name: connection.table(f"lake.{name}")
                .select("columns(lambda c: c <> 'exchange_rates_batch_id')")
                .order("all")
                .fetchall()
                for (name,) in names
            }


def copy_of_project(factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what dbt needs of the project, to be changed."""
    project = factory.mktemp("project")
    for name in (
        *(".dbtignore", "dbt_project.yml", "profiles.yml", "packages.yml"),
        *("selectors.yml", "dbt_packages", "models", "macros", "seeds", "snapshots"),
        *("tests", "analyses", "scripts"),
    ):
        if (PROJECT / name).is_dir():
            ignored = shutil.ignore_patterns("python", "__pycache__")
            shutil.copytree(PROJECT / name, project / name, ignore=ignored)
        else:
            shutil.copy(PROJECT / name, project)
    return project


def differing_views(
    lake: duckdb.DuckDBPyConnection, variant: str = ""
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows in which materialized views and their queries differ, by view.

    Args:
        lake: the open lake.
        variant: `_live` for the live variants.

    """
    views = lake.execute(
        "select concat_ws('.', 'lake', schema_name, view_name), definition"
        " from lake.operations.materialized_views"
    ).fetchall()
    return {
        name: rows
        for name, query in views
        if (
            rows := lake.execute(
                f"(from {name}{variant} except all ({query})) union all"
                f" (({query}) except all from {name}{variant})"
            ).fetchall()
        )
    }


@pytest.fixture(scope="session")
def ecb_lists() -> list[str]:
    """Return the lines of the ECB's file, the header first."""
    with zipfile.ZipFile(SHIPPED) as archive:
        (member,) = archive.namelist()
        return archive.read(member).decode().splitlines()


@pytest.fixture(scope="session")
def lakehouses(
    postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Lakehouse]:
    """Return what makes lakehouses, in folders with a space in their names."""

    def make(rates: Path) -> Lakehouse:
        home = tmp_path_factory.mktemp("lakehouse") / "my lake"
        return Lakehouse(home, postgres_dsn, rates)

    return make


@dataclass(frozen=True)
class Demonstration:
    """A lakehouse that the demo has made, once for the whole session.

    Attributes:
        lakehouse: the lakehouse.
        generator: the made-up data, two months of it.
        said: what the demo printed.

    """

    lakehouse: Lakehouse
    generator: Generator
    said: str

    @property
    def settings(self) -> Settings:
        """The demo's settings, with sources that nothing may ask."""
        return Settings(
            self.lakehouse.home,
            "http://127.0.0.1:9",
            "postgresql://",
            "no file",
            api_headers="no JSON",
        )

    def run(self) -> str:
        """Run the demo once more, and return what it printed."""
        home = self.lakehouse.home
        with pytest.MonkeyPatch.context() as patch, StringIO() as printed:
            # What dbt inherits.
            patch.setenv("DEFTUNES_HOME", str(home))
            patch.setenv("DBT_TARGET_PATH", str(home / "target"))
            patch.setenv("DBT_LOG_PATH", str(home / "logs"))
            with redirect_stdout(printed):
                demo.run(self.settings, self.generator)
            return printed.getvalue()


@pytest.fixture(scope="session")
def demonstration(lakehouses: Callable[[Path], Lakehouse]) -> Demonstration:
    """Run the demo, with two months of sales and more damage than usual."""
    shown = Demonstration(
        lakehouses(SHIPPED),
        Generator(items=300, start=demo.START, end=date(2023, 3, 1), damage=0.05),
        said="",
    )
    return replace(shown, said=shown.run())


@pytest.fixture(scope="session")
def rates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ECB's rates of some months, so that builds are quick."""
    with zipfile.ZipFile(SHIPPED) as archive:
        (member,) = archive.namelist()
        lines = archive.read(member).decode().splitlines()
    path = tmp_path_factory.mktemp("rates") / "eurofxref-hist.csv"
    kept = [line for line in lines if line[:7] in ("2023-02", "2023-03")]
    path.write_text("\n".join([lines[0], *kept]))
    return path


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Run an empty database for the whole session."""
    with postgres.running() as dsn:
        yield dsn


@pytest.fixture(scope="session")
def store() -> Iterator[object_store.Store]:
    """Run an S3 server."""
    with object_store.running() as running:
        yield running


@pytest.fixture
def songs_dsn(postgres_dsn: str) -> str:
    """Return the database with three songs in `deftunes.songs`."""
    postgres.load_songs(
        postgres_dsn,
        [
            pa.Table.from_pylist(
                [song(number) for number in range(3)], postgres.SONGS_SCHEMA
            )
        ],
    )
    return postgres_dsn


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a folder for a lakehouse, with a space in its name."""
    return tmp_path / "my lake"


@pytest.fixture
def settings(home: Path) -> Callable[..., Settings]:
    """Return what makes settings; what is not given is unset."""

    def make(**given: str | None) -> Settings:
        unset = dict.fromkeys(("api_url", "postgres_dsn", "exchange_rates"))
        fields: dict[str, Any] = unset | given
        return Settings(home=home, **fields)

    return make


@pytest.fixture
def landed(home: Path) -> Callable[[str], list[dict[str, Any]]]:
    """Return what reads all landed rows of an entity, by batch and position."""

    def read(entity: str) -> list[dict[str, Any]]:
        files = str(home / "landing" / entity / "*" / "*.parquet")
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            rows = connection.read_parquet(files).order("all").to_arrow_table()
        found: list[dict[str, Any]] = rows.to_pylist()
        return sorted(
            found, key=lambda row: (row["_batch_id"], row.get("_position", 0))
        )

    return read


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what sets the time at which the loader fetches."""

    def set_time(text: str) -> None:
        ticks = itertools.count()
        moment = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
        monkeypatch.setattr(
            LandingZone,
            "next_time",
            lambda _: moment + timedelta(microseconds=next(ticks)),
        )

    return set_time


def song(number: int) -> dict[str, Any]:
    """Return a row of `deftunes.songs` with oddities of the real ones."""
    return {
        "track_id": f"TR{number:016}",
        "title": "Världen_ É Din",
        "song_id": f"SO{number:016}",
        "release": "",
        "artist_id": "AR0000000000000000",
        "artist_mbid": None,
        "artist_name": "一青窈",
        "duration": 146.5,
        "artist_familiarity": 0.25,
        "artist_hotttnesss": float("nan"),
        "year": 0,
        "track_7digitalid": number,
        "shs_perf": -1,
        "shs_work": 0,
    }
