"""A real Superset reads the published database while the next build runs."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import requests
from conftest import Demonstration
from deftunes.dashboard import ANALYST, BOARDS

REQUIREMENTS = Path(__file__).parent / "superset" / "requirements.txt"
PATH = "/srv/deftunes/serving/roles/analyst.duckdb"

TILES = ("Revenue", "Songs bought", "Orders", "Buyers", "Average order value")
"""The figures, as on the board of dbt Charts."""
FIGURES = """
select
    sum(price_usd)::decimal(18, 2)::varchar,
    count(*)::decimal(18, 2)::varchar,
    count(distinct session_id)::decimal(18, 2)::varchar,
    count(distinct user_id)::decimal(18, 2)::varchar,
    (sum(price_usd) / count(distinct session_id))::decimal(18, 2)::varchar,
    sum(price_usd),
    count(distinct date),
    count(distinct first_day_of_month)
from marts.fact_order_items
inner join marts.dim_users using (user_key)
inner join marts.dim_artists using (artist_key)
inner join marts.dim_date using (date_key)
"""


@dataclass(frozen=True)
class Superset:
    """A running Superset, with a logged-in session.

    Attributes:
        url: where its API is.
        session: sends the token.

    """

    url: str
    session: requests.Session

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of a successful answer."""
        answer = self.session.get(self.url + path, timeout=60)
        assert answer.ok, answer.text
        held: dict[str, Any] = answer.json()
        return held

    def chart(self, name: str, *filters: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a chart, with what the dashboard's filters add."""
        (chart,) = [
            chart
            for chart in self.get("/chart/")["result"]
            if chart["slice_name"] == name
        ]
        held = self.get(f"/chart/{chart['id']}")["result"]
        context = json.loads(held["query_context"]) | {"force": True}
        context["queries"][0]["filters"] = list(filters)
        answer = self.session.post(f"{self.url}/chart/data", json=context, timeout=60)
        assert answer.ok, answer.text
        (result,) = answer.json()["result"]
        rows: list[dict[str, Any]] = result["data"]
        return rows


@pytest.fixture(scope="module")
def superset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    """Install Superset (760 MB) into its own environment, and run it."""
    home = tmp_path_factory.mktemp("superset")
    uv = Path(sys.executable).with_name("uv")
    bin_ = home / "venv" / "bin"
    password = secrets.token_hex()
    (home / "superset_config.py").write_text(
        f"SECRET_KEY = {secrets.token_hex()!r}\n"
        f"SQLALCHEMY_DATABASE_URI = 'sqlite:///{home}/superset.db'\n"
        "WTF_CSRF_ENABLED = False\n"
        "TALISMAN_ENABLED = False\n"
    )
    environment = os.environ | {
        "FLASK_APP": "superset.app:create_app()",
        "PYTHONPATH": str(home),
        "SUPERSET_HOME": str(home),
    }
    admin = [
        *("--username", "admin", "--password", password, "--email", "a@b.example"),
        *("--firstname", "A", "--lastname", "B"),
    ]
    commands: tuple[list[str | Path], ...] = (
        [uv, "venv", "--quiet", "--python", sys.executable, home / "venv"],
        [uv, "pip", "install", "-q", "--python", bin_ / "python", "-r", REQUIREMENTS],
        [bin_ / "superset", "db", "upgrade"],
        [bin_ / "superset", "fab", "create-admin", *admin],
        [bin_ / "superset", "init"],
    )
    for command in commands:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [
                bin_ / "gunicorn",
                *("--threads=4", f"--bind={address}", "--timeout=120"),
                environment["FLASK_APP"],
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        for _ in range(120):
            try:
                if requests.get(f"http://{address}/health", timeout=60).ok:
                    break
            except requests.RequestException:
                assert server.poll() is None, (home / "log").read_text()
                time.sleep(1)
        session = requests.Session()
        token = session.post(
            f"http://{address}/api/v1/security/login",
            json={"username": "admin", "password": password, "provider": "db"},
            timeout=60,
        ).json()["access_token"]
        session.headers["Authorization"] = f"Bearer {token}"
        yield Superset(f"http://{address}/api/v1", session)
    finally:
        server.terminate()
        server.wait(60)


@pytest.mark.usefixtures("long_mode")
def test_superset_draws_the_kept_dashboard_while_a_build_runs(
    superset: Superset, demonstration: Demonstration, proven: dict[str, str]
) -> None:
    lakehouse = demonstration.lakehouse
    published = demonstration.settings.serving / ANALYST
    ((*figures, revenue, days, months),) = lakehouse.published(FIGURES)
    answer = superset.session.post(
        f"{superset.url}/dashboard/import/",
        files={"formData": ("deftunes.zip", definitions(published))},
        timeout=60,
    )
    assert answer.ok, answer.text
    dashboard = superset.get("/dashboard/deftunes-sales")["result"]
    tables = ("per day", "per month", "per country", "per artist")
    named = [*TILES, *(f"Revenue {table}" for table in tables)]
    assert sorted(dashboard["charts"]) == sorted(named)

    before = published.stat().st_ino
    build = subprocess.Popen(
        lakehouse.command("build", "--full-refresh"),  # publishes anew
        env=lakehouse.environment(),
        cwd=BOARDS.parents[1],
        stdout=(lakehouse.home / "build.log").open("w"),
    )
    drawn = 0
    while build.poll() is None or not drawn:
        (total,) = superset.chart("Revenue")
        assert Decimal(str(total["revenue_usd"])) == revenue
        drawn += 1
    assert build.returncode == 0, (lakehouse.home / "build.log").read_text()
    assert published.stat().st_ino != before
    assert [figure(superset.chart(tile)) for tile in TILES] == figures
    for chart, count in (("Revenue per day", days), ("Revenue per month", months)):
        rows = superset.chart(chart)
        assert len(rows) == count
        assert sum(Decimal(str(row["revenue_usd"])) for row in rows) == revenue

    # The filters of the dashboard are bound to columns of the imported dataset.
    filters = json.loads(dashboard["json_metadata"])["native_filter_configuration"]
    columns = [each["targets"][0].get("column", {}).get("name") for each in filters]
    assert columns == [None, "country_name", "artist_name"]
    assert all("datasetId" in each["targets"][0] for each in filters[1:])
    ((artist,),) = lakehouse.published(
        "select artist_name from reports.sales_per_artist_mv"
        " group by all order by sum(revenue_usd) desc limit 1"
    )
    for shown, condition in (
        (
            {"col": "country_name", "op": "IN", "val": ["Japan"]},
            "country_name = 'Japan'",
        ),
        (
            {"col": "artist_name", "op": "IN", "val": [artist]},
            f"artist_name = '{artist}'",
        ),
        (
            {"col": "date", "op": "TEMPORAL_RANGE", "val": "2023-01-10 : 2023-01-20"},
            "date >= '2023-01-10' and date < '2023-01-20'",
        ),
    ):
        ((*figures, _, _, _),) = lakehouse.published(f"{FIGURES} where {condition}")
        assert [figure(superset.chart(tile, shown)) for tile in TILES] == figures
    proven["charts that Superset drew while a build ran"] = str(drawn)


def figure(rows: list[dict[str, Any]]) -> str:
    """Return the value of a chart that is one figure, with two decimal places."""
    ((value,),) = [row.values() for row in rows]
    return f"{Decimal(str(value)):.2f}"


def definitions(database: Path) -> BytesIO:
    """Return the kept dashboard as what Superset imports, with a database's path."""
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (BOARDS / "superset").rglob("*.yaml"):
            archive.writestr(
                f"superset/{file.relative_to(BOARDS / 'superset')}",
                file.read_text("utf-8").replace(PATH, str(database)),
            )
    packed.seek(0)
    return packed
