"""Run Airflow on this machine, for looking at it: `python scripts/run_airflow.py`."""

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click
import requests
from deftunes.settings import PROJECT
from demo_sources import postgres
from demo_sources.generator import Generator
from demo_sources.serve import demo_sources

BIN = PROJECT / ".venv-airflow" / "bin"
DAGS = PROJECT / "scripts" / "airflow" / "dags"
COMPONENTS = ("api-server", "dag-processor", "scheduler")
_START_SECONDS = 180.0
_STOP_SECONDS = 20.0


class AirflowError(Exception):
    """Airflow does not start; the message says why."""


@dataclass
class Airflow:
    """A running Airflow.

    Attributes:
        folder: its folder, with the logs of its components.
        environment: the variables of its components.
        url: where its page and its API are.
        processes: the running components.

    """

    folder: Path
    environment: Mapping[str, str]
    url: str
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, component: str) -> None:
        """Start a component, in a session of its own."""
        with (self.folder / f"{component}.log").open("ab") as log:
            self.processes[component] = subprocess.Popen(  # noqa: S603
                [
                    *(BIN / "airflow", component),
                    *(["--workers=1"] if component == "api-server" else []),
                ],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, component: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop a component and all that it has started; kill it with SIGKILL."""
        process = self.processes.pop(component)
        with_children = number == signal.SIGKILL
        os.killpg(process.pid, number) if with_children else process.send_signal(number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def command(self, *arguments: str) -> str:
        """Run `airflow` with arguments, and return what it prints.

        Raises:
            AirflowError: it failed.

        """
        done = subprocess.run(  # noqa: S603
            [BIN / "airflow", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            output = (done.stdout + done.stderr).strip()
            raise AirflowError(f"`airflow {' '.join(arguments)}` failed:\n{output}")
        return done.stdout

    def is_up(self) -> bool:
        """Return whether page, scheduler and parser answer."""
        try:
            answer = requests.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor")
        return all(answer.get(part, {}).get("status") == "healthy" for part in parts)


@contextmanager
def running(folder: Path, more: Mapping[str, str], port: int = 0) -> Iterator[Airflow]:
    """Run Airflow on 127.0.0.1, with its metadata in a temporary Postgres.

    Args:
        folder: a folder for its logs; created if missing.
        more: further environment variables, such as the project's settings.
        port: the port of its page; 0 for a free one.

    Yields:
        Airflow, once it is up, with the project's DAGs and its pool. They are paused.

    Raises:
        AirflowError: it is not installed, or does not start.
        PostgresError: Postgres does not start.

    """
    if not (BIN / "airflow").exists():
        raise AirflowError(f"There is no {BIN}/airflow: run `make airflow`.")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or _free_port()
    with postgres.running() as dsn:
        airflow = Airflow(
            folder,
            _environment(folder, dsn, port) | dict(more),
            f"http://127.0.0.1:{port}",
        )
        airflow.command("db", "migrate")
        airflow.command("pools", "set", "lake", "1", "The lake has one writer")
        try:
            for component in COMPONENTS:
                airflow.start(component)
            _wait_until_up(airflow)
            yield airflow
        finally:
            for component in [*airflow.processes]:
                airflow.stop(component)


def _environment(folder: Path, dsn: str, port: int) -> dict[str, str]:
    """Return the environment of Airflow's components; secrets live as long as they."""
    secret = secrets.token_hex(32)
    inherited = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in inherited if name in os.environ} | {
        "DEFTUNES_PROJECT": str(PROJECT),
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        # Without a login: the page is for this machine only.
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": (
            f"http://127.0.0.1:{port}/execution/"
        ),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": dsn.replace(
            "postgresql://", "postgresql+psycopg2://"
        ),
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _wait_until_up(airflow: Airflow) -> None:
    """Wait until Airflow answers and has parsed the DAGs.

    Raises:
        AirflowError: a component has ended, or it takes too long.

    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for component, process in airflow.processes.items():
            if process.poll() is not None:
                log = airflow.folder / f"{component}.log"
                raise AirflowError(f"Airflow's {component} has ended: see {log}.")
        if airflow.is_up():
            dags = requests.get(f"{airflow.url}/api/v2/dags", timeout=30).json()
            if dags.get("total_entries"):
                return
        time.sleep(1)
    raise AirflowError(f"Airflow did not start in {_START_SECONDS:g} seconds.")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@click.command(context_settings={"show_default": True})
@click.option("--port", default=8651, help="The port of Airflow's page.")
def main(port: int) -> None:
    """Run Airflow with a made-up API and database, and a lakehouse in target/airflow.

    It starts anew each time. Ctrl-C stops it.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    folder = PROJECT / "target" / "airflow"
    shutil.rmtree(folder, ignore_errors=True)
    today = datetime.now(timezone.utc).date()
    generator = Generator(items=3_000, start=today - timedelta(days=60), end=today)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    click.echo("Starting Airflow, which takes half a minute ...")
    try:
        with demo_sources(generator) as (api, dsn):
            settings = {
                "DEFTUNES_HOME": str(folder / "lakehouse"),
                "DEFTUNES_API_URL": api.url,
                "DEFTUNES_POSTGRES_DSN": dsn,
                "DBT_TARGET_PATH": str(folder / "dbt"),
            }
            with running(folder, settings, port) as airflow:
                for dag in ("deftunes_build", "deftunes_land"):
                    airflow.command("dags", "unpause", dag, "--yes")
                click.echo(
                    f"Open {airflow.url} (this machine only, without a login).\n"
                    "The last week lands now, then it is built. For a month as one\n"
                    "window, trigger deftunes_land with start and end, from "
                    f"{generator.start} on.\nCtrl-C stops it."
                )
                stop.wait()
    except (AirflowError, OSError, postgres.PostgresError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
