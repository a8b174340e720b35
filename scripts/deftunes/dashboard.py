"""Renders the dashboards of `models/boards`: as one HTML page, or on a local server."""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import yaml  # type: ignore[import-untyped]
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deftunes.files import remove
from deftunes.landing.zone import DEMO_MARKER, landed_files
from deftunes.object_store import ObjectStoreError
from deftunes.settings import PROJECT, Settings

BOARDS = PROJECT / "models" / "boards"
NAMES = ("sales", "songs_and_artists", "buyers", "churn", "data_quality")
"""The boards in the order of the page; each is a file in `charts/`."""
ANALYST = Path("roles", "analyst.duckdb")
"""The database that the boards read, below `serving/`: without names and places."""
LIVE = Path("live", "analyst.duckdb")
"""The same with what came since it was published: `deftunes.live` keeps it."""
SCREENS = {"desktop": "", "phone": "_phone"}
"""The screens that each board is drawn for, and the suffix of the file's name."""
MADE_UP = "**Made-up data.** "
"""What each board begins with if the demo's data are landed."""

# No run draws for so long.
_LONGEST_SECONDS = 3600.0


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
    published = _published(settings)
    # What a killed run has left keeps the file of an old publication on the disk.
    for left in settings.serving.glob(".dashboard-*"):
        if left.stat().st_mtime < time.time() - _LONGEST_SECONDS:
            remove(left)
    with TemporaryDirectory(prefix=".dashboard-", dir=settings.serving) as folder:
        home = Path(folder)
        # So all boards show the same publication, even if a build publishes meanwhile.
        frozen = home / "serving" / ANALYST
        frozen.parent.mkdir(parents=True)
        frozen.hardlink_to(published.resolve())
        page = home / "dashboard.html"
        page.write_text(_page(home, _boards(settings)), encoding="utf-8")
        return page.replace(settings.serving / page.name)


def explore(settings: Settings, port: int) -> int:
    """Serve all boards with their filters to this machine, until interrupted.

    Each view reads the newest publication. If there is a live view, the sales board
    begins with today's sales, and open pages load again when they change.

    Args:
        settings: where the lakehouse is.
        port: where the server listens; if another program does, the next free one.

    Returns:
        The server's exit code.

    Raises:
        DashboardError: nothing is published, or dbt Charts is not installed.

    """
    _published(settings)
    boards = _boards(settings)
    live = settings.serving / LIVE
    if live.exists():
        boards["sales"] = _with_today(boards["sales"])
    with TemporaryDirectory() as folder:
        project = _project(Path(folder), boards)
        if live.exists():
            touch = (live, project / "charts" / "sales.yml")
            threading.Thread(target=_touch, args=touch, daemon=True).start()
        return subprocess.run(  # noqa: S603  the project's own dct
            [
                *(_DCT, "serve", "--host=127.0.0.1", f"--port={port}"),
                *(f"--project-dir={project}", "--no-cache"),
            ],
            env=_environment(settings.home),
            check=False,
        ).returncode


def for_page(board: dict[str, Any]) -> dict[str, Any]:
    """Return a board without links, which need a server.

    Args:
        board: the content of a board's YAML file, with its layout in `rows`.

    """
    kept = _without_links(board)
    rows: list[Any] = []
    for row in kept["rows"]:
        # What a filter hides is never hidden here, and a section costs time to draw.
        if "visible" not in row or row["visible"]["query"] != "found":
            rows.append(row)
        elif row["visible"]["column"] == "is_found":
            rows += row["rows"]
    return kept | {"rows": rows}


def for_phone(board: dict[str, Any]) -> dict[str, Any]:
    """Return a board with its charts in one column, and its KPIs in two.

    A drawn board is an image, so it does not reflow.

    Args:
        board: the content of a board's YAML file, with its layout in `rows`.

    """

    def one_column(rows: list[Any]) -> list[Any]:
        column: list[Any] = []
        for row in rows:
            if "rows" in row:
                column.append(row | {"rows": one_column(row["rows"])})
            elif "cols" not in row:
                column.append(row)
            elif all(board["charts"][chart]["type"] == "kpi" for chart in row["cols"]):
                pairs = range(0, len(row["cols"]), 2)
                column += [{"cols": row["cols"][at : at + 2]} for at in pairs]
            else:
                column += row["cols"]
        return column

    return board | {
        "rows": one_column(board["rows"]),
        "extends": [board["extends"], "../parts/phone.yml"],
    }


_TABLES = "select table_name from duckdb_tables()"
_DCT = Path(sys.executable).with_name("dct")


def _published(settings: Settings) -> Path:
    """Return the database that the boards read, if it and dbt Charts are there."""
    published = settings.serving / ANALYST
    if not published.exists():
        raise DashboardError(f"{published} does not exist. `dbt build` publishes it.")
    if find_spec("dbt_charts") is None:
        raise DashboardError(
            "dbt Charts is not installed: it needs Python 3.11 to 3.13. "
            "Create .venv with one of them: rm -r .venv; make setup PYTHON=python3.13"
        )
    return published


def _boards(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return the content of each board's YAML file, marked if the data are made up."""
    with duckdb.connect(str(settings.serving / ANALYST), read_only=True) as published:
        has_scores = "ml_churn_scores" in {
            name for (name,) in published.execute(_TABLES).fetchall()
        }
    boards = {
        name: yaml.safe_load((BOARDS / "charts" / f"{name}.yml").read_text("utf-8"))
        for name in NAMES
        # DEFTUNES_WITHOUT_ML leaves out what the board about churn reads.
        if name != "churn" or has_scores
    }
    if _is_demo(settings):
        for board in boards.values():
            board["rows"][0]["text"] = MADE_UP + board["rows"][0]["text"]
    return boards


def _is_demo(settings: Settings) -> bool:
    """Return whether the data are made up, as far as we may look."""
    try:
        landed = landed_files(settings.landing, settings.store)
        return landed.read_text(DEMO_MARKER) is not None
    except ObjectStoreError:  # a reader's key need not read the landing zone
        return False


def _with_today(board: dict[str, Any]) -> dict[str, Any]:
    """Return a board that begins with today's sales, from the live view."""
    first, *rest = board["rows"]
    today: list[Any] = [
        {"text": "{{ queries.today.one.as_of }}"},
        {"cols": ["today_revenue", "today_items", "today_orders", "today_buyers"]},
    ]
    return board | {
        "extends": [board["extends"], "../parts/today.yml"],
        "rows": [first, *today, *rest],
    }


def _touch(live: Path, board: Path) -> None:
    """Touch a board whenever there is another live view: dbt Charts loads it again."""
    shown = live.stat().st_ino
    while board.exists():
        time.sleep(1)
        with suppress(FileNotFoundError):  # one of them is being replaced
            if live.stat().st_ino != shown:
                shown = live.stat().st_ino
                os.utime(board)


def _project(home: Path, boards: dict[str, dict[str, Any]]) -> Path:
    """Write a dbt Charts project with these boards to a folder, and return its path."""
    project = copytree(BOARDS, home / "boards")
    for name in NAMES:
        (project / "charts" / f"{name}.yml").unlink(missing_ok=True)
    for name, board in boards.items():
        (project / "charts" / f"{name}.yml").write_text(
            yaml.safe_dump(board, sort_keys=False), encoding="utf-8"
        )
    return project


def _hide_filters(file: Path) -> None:
    """Leave out the controls of filters, which need a server; the defaults apply."""
    filters = yaml.safe_load(file.read_text("utf-8"))
    for variable in filters["variables"].values():
        variable["visible"] = False
    file.write_text(yaml.safe_dump(filters, sort_keys=False), encoding="utf-8")


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"DEFTUNES_HOME": str(home), "DO_NOT_TRACK": "1"}


def _without_links(board: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_links(each) if isinstance(each, dict) else each
        for key, each in board.items()
        if key != "link"
    }


def _page(home: Path, boards: dict[str, dict[str, Any]]) -> str:
    """Return the page's HTML; the folder contains the database that boards read."""
    drawn = {name: for_page(board) for name, board in boards.items()}
    phone = {
        f"{name}{SCREENS['phone']}": for_phone(board) for name, board in drawn.items()
    }
    project = _project(home, drawn | phone)
    _hide_filters(project / "parts" / "filters.yml")
    _render(home, project, drawn | phone)
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


def _render(home: Path, project: Path, names: Iterable[str]) -> None:
    """Draw boards of a dbt Charts project as HTML pages in `home`."""
    done = subprocess.run(  # noqa: S603  the project's own dct
        [
            *(_DCT, "render"),
            *(project / "charts" / f"{name}.yml" for name in names),
            f"--project-dir={project}",
            "--format=html",
            f"--output={home / '{stem}.html'}",
            "--no-cache",
        ],
        env=_environment(home),
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
