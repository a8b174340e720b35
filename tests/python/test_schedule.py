"""The units for systemd, and what they call: they run, and a failure reaches people."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import Lakehouse
from deftunes.settings import PROJECT
from demo_sources import postgres, service
from demo_sources.generator import Generator

UNITS = PROJECT / "scripts" / "systemd"


@contextmanager
def webhook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Run a webhook; yield its URL for Apprise, and what it was told."""
    told: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            told.append(json.loads(self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"json://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        server.server_close()


def commands(unit: str) -> Iterator[list[str]]:
    """Yield the commands of a unit as systemd would run them, here in this project."""
    text = (UNITS / f"{unit}.service").read_text().replace("\\\n", " ")
    for line in re.findall(r"^ExecStart=(.*)", text, re.M):
        line = line.replace("/srv/deftunes", str(PROJECT)).replace("%%", "%")
        line = line.replace("%i", "deftunes-build").replace("%H", "this machine")
        yield shlex.split(line)


def run(
    command: list[str], environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run a command of a unit in the project's folder."""
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = unit.read_text().replace("/srv/deftunes", str(PROJECT))
        (tmp_path / unit.name).write_text(text)
    names = [str(path) for path in tmp_path.iterdir()]
    done = run(["systemd-analyze", "verify", "--man=no", *names], dict(os.environ))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_run_and_their_logs_are_json(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, today: date
) -> None:
    lakehouse = lakehouses(rates)
    generator = Generator(items=40, start=today - timedelta(days=9), end=today)
    postgres.load_songs(lakehouse.postgres_dsn, generator.song_tables())
    target = lakehouse.home / "target"
    environment = lakehouse.environment(
        {
            "DEFTUNES_POSTGRES_DSN": lakehouse.postgres_dsn,
            "DBT_TARGET_PATH": str(target),
            "DBT_LOG_PATH": str(lakehouse.home / "logs"),
            "DBT_LOG_FORMAT": "json",
        }
    )
    (land,) = commands("deftunes-land")
    build, draw = commands("deftunes-build")
    assert draw[0].startswith("-")  # boards may fail
    (alert,) = commands("deftunes-alert@")
    with service.running(generator) as api, webhook() as (url, told):
        environment["DEFTUNES_API_URL"] = api.url
        environment["DEFTUNES_ALERT_URLS"] = url
        for command in (land, build):
            done = run(command, environment)
            assert done.returncode == 0, done.stdout + done.stderr
            lines = (done.stdout + done.stderr).splitlines()
            assert all("msg" in json.loads(line)["info"] for line in lines if line)
        assert lakehouse.published("select count(*) from marts.dim_users") > [(1,)]
        assert len([path for path in api.requests if "sessions" in path]) == 7

        source_freshness, publication_freshness = commands("deftunes-freshness")
        assert run(source_freshness, environment).returncode == 0
        publication_freshness[-1] = str(target / "published")
        assert run(publication_freshness, environment).returncode == 0
        late = [*publication_freshness, "--vars", "{fresh_hours: -1}"]
        assert run(late, environment).returncode != 0

        # A test that fails is named in the alert.
        with lakehouse.writing() as lake:
            lake.execute("update lake.marts.dim_date set day_of_week = 8 where true")
        done = run([build[0], "test", "-s", "dim_date"], environment)
        assert done.returncode == 1
        assert run(alert, environment).returncode == 0
    (said,) = told
    assert said["message"].startswith("deftunes-build failed on this machine\n")
    assert "expression_is_true_dim_date" in said["message"]


# The first process of a namespace of its own, which sees no unit but the project's.
SYSTEMD = """
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
exec env container=other SYSTEMD_UNIT_PATH="$1" /lib/systemd/systemd --system
"""
TARGETS = ("default", "sysinit", "basic", "timers", "network-online", "shutdown")
SOON = {
    "service.d": "[Service]\nStandardOutput=append:{log}\nStandardError=append:{log}",
    "deftunes-land.service.d": "[Service]\nRestartSec=1",
    "deftunes-land.timer.d": "[Timer]\nOnActiveSec=1",
}


@contextmanager
def systemd(folder: Path, environment: dict[str, str]) -> Iterator[Callable[..., str]]:
    """Run systemd with the project's units; yield a function that calls systemctl."""
    units, variables = folder / "units", folder / "variables"
    units.mkdir()
    variables.write_text(
        "".join(f"{name}={value}\n" for name, value in environment.items())
    )
    for target in TARGETS:
        (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.timer")):
        text = unit.read_text().replace("/srv/deftunes/.env", str(variables))
        text = text.replace("/srv/deftunes/.venv/bin", str(Path(sys.executable).parent))
        text = text.replace("/srv/deftunes", str(PROJECT))
        (units / unit.name).write_text(text.replace("User=deftunes", "User=root"))
    for name, text in SOON.items():
        (units / name).mkdir()
        (units / name / "soon.conf").write_text(text.format(log=folder / "journal"))
    namespaces = ("--mount", "--uts", "--ipc", "--cgroup", "--pid", "--fork")
    process = subprocess.Popen(
        [
            *("unshare", *namespaces, "--kill-child"),
            *("sh", "-e", "-c", SYSTEMD, "sh", str(units)),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def systemctl(*arguments: str) -> str:
        first = children.read_text().strip()
        command = ["nsenter", "-t", first, "-m", "-p", "systemctl", *arguments]
        return run(command, dict(os.environ)).stdout.strip()

    try:
        deadline = time.monotonic() + 20
        while "running" not in systemctl("is-system-running"):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.skip(f"systemd does not start here: {process.communicate()[1]}")
            time.sleep(0.2)
        yield systemctl
    finally:
        process.kill()
        process.wait()


@pytest.mark.usefixtures("long_mode")
def test_systemd_tries_to_land_again_and_builds_only_what_has_landed(
    lakehouses: Callable[[Path], Lakehouse], rates: Path, today: date, tmp_path: Path
) -> None:
    if not Path("/lib/systemd/systemd").exists() or os.geteuid():
        pytest.skip("needs systemd, and root for its namespaces")
    lakehouse = lakehouses(rates)
    generator = Generator(items=40, start=today - timedelta(days=9), end=today)
    postgres.load_songs(lakehouse.postgres_dsn, generator.song_tables())

    def wait_for(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 180
        while not condition():
            journal = tmp_path / "journal"
            assert time.monotonic() < deadline, journal.read_text()[-5000:]
            time.sleep(0.2)

    with service.running(generator) as api, webhook() as (url, told):
        changes = {
            "DEFTUNES_HOME": str(lakehouse.home),
            "DEFTUNES_API_URL": api.url,
            "DEFTUNES_ALERT_URLS": url,
            "DEFTUNES_POSTGRES_DSN": lakehouse.postgres_dsn,
            "DBT_TARGET_PATH": str(lakehouse.home / "target"),
            "DBT_LOG_PATH": str(lakehouse.home / "logs"),
        }
        # Refused and not repeated: each attempt asks for seven days.
        refusals = service.Fault("/sessions", times=7, status=403)
        api.faults.append(refusals)
        with systemd(tmp_path, changes) as systemctl:

            def state(unit: str, name: str) -> str:
                return systemctl("show", "--value", "-p", name, unit)

            systemctl("start", "deftunes-land.timer")
            build = "deftunes-build"
            wait_for(lambda: state(build, "ActiveState") == "activating")
            asked = [path for path in api.requests if "sessions" in path]
            assert len(asked) == 7 + 7  # refused, and answered
            assert state("deftunes-land", "NRestarts") == "1"
            wait_for(lambda: state(build, "ActiveState") == "inactive")
            assert state(build, "Result") == "success"
            assert lakehouse.published("from marts.dim_users") != []
            assert told == []

            refusals.times = 1000
            systemctl("start", "deftunes-land")
            wait_for(lambda: state("deftunes-land", "ActiveState") == "failed")
            wait_for(lambda: told != [])
            assert "deftunes-land failed on" in told[0]["message"]
            assert state(build, "ActiveState") == "inactive"

            # The API answers again; nobody waits until tomorrow.
            refusals.times = 0
            systemctl("reset-failed", "deftunes-land")
            systemctl("start", "deftunes-land")
            assert state("deftunes-land", "Result") == "success"
            wait_for(lambda: state(build, "ActiveState") == "activating")
        assert len(told) == 1


def test_an_alert_that_cannot_be_sent_fails_without_showing_the_url(
    tmp_path: Path,
) -> None:
    environment = dict(os.environ) | {"DEFTUNES_HOME": str(tmp_path)}
    (alert,) = commands("deftunes-alert@")
    for url in ("json://user:secret@127.0.0.1:1/hook", "nothing-like-secret"):
        done = run(alert, environment | {"DEFTUNES_ALERT_URLS": url})
        assert done.returncode == 1
        assert "DEFTUNES_ALERT_URLS" in done.stderr
        assert "secret" not in done.stdout + done.stderr
