"""Renders the dashboards of `models/boards` as one HTML page that needs no server."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml  # type: ignore[import-untyped]
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deftunes.settings import PROJECT, Settings

BOARDS = PROJECT / "models" / "boards"
NAMES = ("sales", "catalogue", "customers", "data_quality")
"""The boards in the order of the page; each is a file in `charts/`."""
ANALYST = Path("roles", "analyst.duckdb")
"""The database that the boards read, below `serving/`: without names and places."""
SCREENS = {"desktop": "", "phone": "_phone"}
"""The screens that each board is drawn for, and the suffix of the file's name."""


class DashboardError(Exception):
    """The boards cannot be drawn; the message says why and what to do."""


def draw(settings: Settings) -> Path:
    """Draw all boards from the published data, and write the page to `serving/`.

    Args:
        settings: where the lakehouse is.

    Returns:
        The path of the page, one HTML file.

    Raises:
        DashboardError: nothing is published, dbt Charts is not installed, or it could
            not draw a board.

    """
    published = settings.serving / ANALYST
    if not published.exists():
        raise DashboardError(f"{published} does not exist. `dbt build` publishes it.")
    if find_spec("dbt_charts") is None:
        raise DashboardError(
            "dbt Charts is not installed: it needs Python 3.11 to 3.13. "
            "Create .venv with one of them: rm -r .venv; make setup PYTHON=python3.13"
        )
    with TemporaryDirectory(prefix=".dashboard-", dir=settings.serving) as folder:
        home = Path(folder)
        # So all boards show the same publication, even if a build publishes meanwhile.
        frozen = home / "serving" / ANALYST
        frozen.parent.mkdir(parents=True)
        frozen.hardlink_to(published.resolve())
        page = home / "dashboard.html"
        page.write_text(_page(home), encoding="utf-8")
        return page.replace(settings.serving / page.name)


def for_phone(board: dict[str, Any]) -> dict[str, Any]:
    """Return a board with its charts in one column, and its KPIs in two.

    A drawn board is an image, so it does not reflow.

    Args:
        board: the content of a board's YAML file, with its layout in `rows`.

    """
    rows: list[Any] = []
    for row in board["rows"]:
        charts = row["cols"] if isinstance(row, dict) else [row]
        if all(board["charts"][chart]["type"] == "kpi" for chart in charts):
            rows += [{"cols": charts[at : at + 2]} for at in range(0, len(charts), 2)]
        else:
            rows += charts
    return board | {"rows": rows, "extends": "./_phone.yml"}


def _page(home: Path) -> str:
    """Return the page's HTML; the folder contains the database that boards read."""
    project = shutil.copytree(BOARDS, home / "boards")
    boards = {
        name: yaml.safe_load((BOARDS / "charts" / f"{name}.yml").read_text("utf-8"))
        for name in NAMES
    }
    for name, board in boards.items():
        (project / "charts" / f"{name}{SCREENS['phone']}.yml").write_text(
            yaml.safe_dump(for_phone(board)), encoding="utf-8"
        )
    _render(home, project)
    environment = Environment(
        loader=FileSystemLoader(BOARDS), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("page.html.j2").render(
        boards=[
            {
                "name": name,
                "title": board["title"],
                "drawings": [
                    _drawing(screen, home / f"{name}{suffix}.html")
                    for screen, suffix in SCREENS.items()
                ],
            }
            for name, board in boards.items()
        ]
    )


def _render(home: Path, project: Path) -> None:
    """Draw each board of a dbt Charts project as an HTML page in `home`."""
    done = subprocess.run(  # noqa: S603  the project's own dct
        [
            Path(sys.executable).with_name("dct"),
            "render",
            *(
                project / "charts" / f"{name}{suffix}.yml"
                for name in NAMES
                for suffix in SCREENS.values()
            ),
            f"--project-dir={project}",
            "--format=html",
            f"--output={home / '{stem}.html'}",
            "--no-cache",
        ],
        env=os.environ | {"DEFTUNES_HOME": str(home), "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise DashboardError(f"dbt Charts could not draw the boards:\n{done.stderr}")


def _drawing(screen: str, page: Path) -> dict[str, str]:
    """Return a drawn board: its HTML, and its size in pixels."""
    html = page.read_text("utf-8")
    size = re.search(r'<svg[^>]* viewBox="0 0 ([\d.]+) ([\d.]+)"', html)
    if size is None:
        raise DashboardError(f"dbt Charts drew no picture in {page.name}.")
    return {"screen": screen, "html": html, "width": size[1], "height": size[2]}
