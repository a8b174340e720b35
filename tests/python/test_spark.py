"""Target spark builds the same rows as target local, also after kills."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import parity
import pytest
from deftunes.parity import variables
from deftunes.settings import PROJECT
from deftunes.spark_lake import program

SPARK = PROJECT / ".venv-spark" / "bin"
WAIT_SECONDS = 1200.0

pytestmark = [
    pytest.mark.usefixtures("long_mode"),
    pytest.mark.skipif(
        not (SPARK / "dbt").exists(), reason="target spark needs `make spark` once"
    ),
]


def shown(target: str, home: Path, query: str) -> list[dict[str, str]]:
    """Return the rows of a query in the folder spark, as a target computes them."""
    (home / "lake_spark").mkdir(parents=True, exist_ok=True)
    (home / "lake").mkdir(exist_ok=True)
    file = Path(__file__).with_name("spark") / query
    ended = subprocess.run(
        [
            *(program(target), "--quiet", "show", "--output", "json", "--limit", "-1"),
            *("--inline", file.read_text("utf-8")),
        ],
        cwd=PROJECT,
        env=variables(home, target),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows: list[dict[str, str]] = json.loads(ended.stdout[ended.stdout.index("{") :])[
        "show"
    ]
    return rows


@contextmanager
def started(
    home: Path, said: Path, *arguments: str, environment: Mapping[str, str] = {}
) -> Iterator[subprocess.Popen[bytes]]:
    """Start dbt with target spark; kill it if it still runs at the end."""
    with said.open("wb") as output, ExitStack() as stack:
        process = subprocess.Popen(
            [program("spark"), *arguments, "--no-use-colors"],
            cwd=PROJECT,
            env=variables(home, "spark") | dict(environment),
            stdout=output,
            stderr=output,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        yield process


def wait_until(is_met: Callable[[], bool], *watched: subprocess.Popen[bytes]) -> None:
    """Wait for something that happens while processes run."""
    end = time.monotonic() + WAIT_SECONDS
    while not is_met():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in watched)
        time.sleep(0.1)


def says(said: Path, text: str) -> Callable[[], bool]:
    """Return whether a command has said a text so far, as a function."""
    return lambda: text in said.read_text("utf-8", errors="replace")


def assert_engines_agree(home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, PROJECT / "scripts" / "parity.py", "--no-build"],
        env=variables(home, "local"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ": 0 differ." in ended.stdout


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with some landed batches, which DuckDB has built."""
    home = tmp_path_factory.mktemp("spark")
    history = parity.land_history(home)
    next(history)
    del history  # ends its database
    parity.dbt(home, "local", *parity.BUILD)
    return home


@pytest.mark.parametrize("query", ["dialect.jinja", "timezones.jinja"])
def test_each_pair_of_dialects_gives_the_same_for_texts_at_the_edges(
    home: Path, query: str
) -> None:
    duck, spark = shown("local", home, query), shown("spark", home, query)
    assert len(duck) > 100
    differing = [pair for pair in zip(duck, spark, strict=True) if pair[0] != pair[1]]
    assert differing == []


def test_all_rows_are_equal_after_each_kind_of_change() -> None:
    ended = subprocess.run(
        [sys.executable, PROJECT / "scripts" / "parity.py", "--history"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count(": 0 differ.") == 7


def test_one_command_writes_at_a_time_and_removes_what_a_killed_one_left(
    landed: Path, tmp_path: Path
) -> None:
    session = landed / "lake_spark" / "session"
    with (
        started(landed, tmp_path / "first", "build") as first,
        started(landed, tmp_path / "second", "build") as second,
    ):
        # Whichever has the lock writes; the other one waits, and has started no Spark.
        files = {first: tmp_path / "first", second: tmp_path / "second"}
        waits = "Another run holds"
        wait_until(
            lambda: any(says(each, waits)() for each in files.values()), first, second
        )
        waiting = next(each for each in files if says(files[each], waits)())
        writing = next(each for each in files if each is not waiting)
        wait_until(
            says(files[writing], "START sql incremental model marts.fact_order_items"),
            *files,
        )
        assert (session / "spool" / "stg_api__users").exists()
        assert not says(files[waiting], "START")()
        writing.kill()
        assert writing.wait() == -signal.SIGKILL
        # It has the lock, and Spark takes seconds to start.
        wait_until(says(files[waiting], "Registered adapter"), waiting)
        assert not (session / "spool").exists()
        assert waiting.wait(WAIT_SECONDS) == 0, files[waiting].read_text("utf-8")
    assert re.search(r"PASS=[0-9]+ WARN=0 ERROR=0", files[waiting].read_text("utf-8"))
    assert not session.exists()
    assert_engines_agree(landed)


def spark_class(
    name: str, log: Path, stack: ExitStack, *arguments: str
) -> subprocess.Popen[bytes]:
    """Start a daemon of Spark on 127.0.0.1 that ends with the stack."""
    output: IO[bytes] = stack.enter_context(log.open("wb"))
    process = subprocess.Popen(
        [SPARK / "spark-class", f"org.apache.spark.deploy.{name}", *arguments],
        env={
            **os.environ,
            # spark-class looks for Spark with python3.
            "PATH": f"{SPARK}{os.pathsep}{os.environ['PATH']}",
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_MEMORY": "512m",
        },
        stdout=output,
        stderr=output,
    )
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def test_a_cluster_builds_the_same_rows_though_it_loses_a_worker(
    landed: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    on_loopback = ("--host", "127.0.0.1", "--webui-port", "0")
    with ExitStack() as stack:
        master = spark_class(
            "master.Master",
            tmp_path / "master",
            stack,
            *on_loopback,
            "--port",
            str(port),
        )
        wait_until(says(tmp_path / "master", "I have been elected leader"), master)
        workers = [
            spark_class(
                *("worker.Worker", tmp_path / name, stack, *on_loopback),
                *("--cores", "1", "--memory", "1500m"),
                *("--work-dir", str(tmp_path / f"work_{name}")),
                f"spark://127.0.0.1:{port}",
            )
            for name in ("one", "other")
        ]
        for name in ("one", "other"):
            wait_until(says(tmp_path / name, "Successfully registered"), *workers)
        build = stack.enter_context(
            started(
                *(landed, tmp_path / "build", "build", "--full-refresh"),
                environment={
                    "DEFTUNES_SPARK_MASTER": f"spark://127.0.0.1:{port}",
                    "DEFTUNES_SPARK_MEMORY": "2g",
                    "SPARK_LOCAL_IP": "127.0.0.1",
                },
            )
        )
        wait_until(
            says(tmp_path / "build", "START sql incremental model marts.fact_order"),
            *(build, *workers),
        )
        for name in ("one", "other"):
            assert list((tmp_path / f"work_{name}").glob("app-*/*/stderr"))
        workers[0].kill()
        assert build.wait(WAIT_SECONDS) == 0, (tmp_path / "build").read_text("utf-8")
        assert says(tmp_path / "master", "Removing worker")()
    assert_engines_agree(landed)


def test_dbt_tests_fail_on_wrong_rows(landed: Path, tmp_path: Path) -> None:
    def run(name: str, *arguments: str) -> tuple[int, str]:
        with started(landed, tmp_path / name, *arguments) as process:
            code = process.wait(WAIT_SECONDS)
        return code, (tmp_path / name).read_text("utf-8")

    for number, statement in enumerate(
        [
            # One purchase is lost, and another one has the key of no artist.
            "delete from marts.fact_order_items where fact_key in"
            " (select min(fact_key) from marts.fact_order_items)",
            "update marts.fact_order_items set artist_key = 'x', currency = 'us',"
            " price = price + 1 where fact_key in"
            " (select min(fact_key) from marts.fact_order_items)",
            "insert into marts.dim_users select * from marts.dim_users limit 1",
        ]
    ):
        arguments = json.dumps({"sql": statement})
        code, text = run(f"{number}", "run-operation", "run_query", "--args", arguments)
        assert code == 0, text
    code, text = run("test", "test", "--exclude", "resource_type:unit_test")
    assert code == 1
    failed = set(re.findall(r"FAIL [0-9]+ (\w+)", text))
    assert failed >= {
        "assert_fact_has_every_accepted_item_once",
        "assert_revenue_per_day_equals_landed_revenue",
        "assert_history_is_current_once",
        "dbt_expectations_expect_column_values_to_match_regex_fact_order_items_currency"
        "___A_Z_3_",
        "dbt_expectations_expect_compound_columns_to_be_unique_dim_users_user_id"
        "__valid_from",
        "relationships_fact_order_items_artist_key__artist_key__ref_dim_artists_",
        "unique_dim_users_user_key",
    }, text
