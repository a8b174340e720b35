"""The demo, and that made-up and real data are not mixed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import demo
import duckdb
import pytest
from conftest import Demonstration, Lakehouse
from deftunes.landing.landed_files import FolderFiles
from deftunes.landing.rates import SHIPPED
from deftunes.landing.zone import DEMO_MARKER
from deftunes.settings import PROJECT

OPTIONS = "--items 300 --seed 1"


def test_the_demo_shows_the_whole_way_and_its_second_run_changes_nothing(
    demonstration: Demonstration,
) -> None:
    lakehouse = demonstration.lakehouse
    held, commits = published(lakehouse), lake(lakehouse)

    first, second = demonstration.said, demonstration.run()

    assert "windows: 59 new, 0 unchanged" in first
    assert "windows: 0 new, 59 unchanged" in second
    assert published(lakehouse) == held
    assert lake(lakehouse) == commits
    for text in ("2023-01 ", "marts.fact_order_items ", "sessions "):
        assert text in first
    assert f"read-only: {lakehouse.database}\n" in first
    report = demo.report(lakehouse.database)
    assert report in first
    assert report in second
    ((items,),) = lakehouse.published("select count(*) from marts.fact_order_items")
    assert [
        line.split()[-1] for line in report.splitlines() if "fact_order_items" in line
    ] == [str(items)]


def test_the_demo_shows_versions_of_users_and_corrected_songs(
    demonstration: Demonstration,
) -> None:
    lakehouse, generator = demonstration.lakehouse, demonstration.generator
    versions = """
        select earlier.user_id
        from marts.dim_users as earlier
        inner join marts.dim_users as later
            on earlier.user_id = later.user_id and earlier.valid_to = later.valid_from
        where
            later.is_current
            and not earlier.is_current
            and row(earlier.place_name, earlier.user_lastname)
            is distinct from row(later.place_name, later.user_lastname)
    """
    changed = len(lakehouse.published(versions))
    assert changed > 0
    assert f"\n{changed} users have moved or changed their name" in demonstration.said

    first, last = (
        {
            (song["track_id"], song["title"], song["year"] or None)
            for table in generator.at(revision).song_tables()
            for song in table.to_pylist()
        }
        for revision in (0, 1)
    )
    listed = "select track_id, song_title, year from marts.dim_songs"
    shown = {*lakehouse.published(f"{listed} where not is_inferred")}
    assert last - first <= shown
    assert not (first - last) & shown


def published(lakehouse: Lakehouse) -> list[object]:
    """Return all rows of the published database."""
    with duckdb.connect(str(lakehouse.database), read_only=True) as connection:
        names = connection.execute(
            "select schema_name || '.' || table_name from duckdb_tables() order by all"
        ).fetchall()
        return [
            (name, connection.table(name).order("all").fetchall()) for (name,) in names
        ]


def lake(lakehouse: Lakehouse) -> list[tuple[object, ...]]:
    """Return all commits to the lake."""
    with lakehouse.lake() as connection:
        return connection.execute("from ducklake_snapshots('lake')").fetchall()


def test_the_demo_refuses_a_landing_zone_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "users" / "_batch_id=1").mkdir(parents=True)
    with pytest.raises(demo.DemoError, match="DEFTUNES_HOME"):
        demo.claim(FolderFiles(tmp_path), OPTIONS)
    assert not (tmp_path / DEMO_MARKER).exists()


def test_the_demo_claims_an_empty_landing_zone(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    (landing / ".incoming").mkdir(parents=True)
    (landing / ".incoming" / "left by a killed run").touch()
    demo.claim(FolderFiles(landing), OPTIONS)
    (landing / "users" / "_batch_id=1").mkdir(parents=True)
    demo.claim(FolderFiles(landing), OPTIONS)
    assert (landing / DEMO_MARKER).exists()


def python_that(folder: Path, script: str) -> Path:
    """Create a shell script to use instead of Python."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return python


def make(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run make in a copy of the files of the project's root."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(PROJECT / name, folder)
    # As from a shell, also where the tests themselves run under make.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    return subprocess.run(
        [str(shutil.which("make")), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_demo_without_boards_is_done(tmp_path: Path) -> None:
    python_that(
        tmp_path, 'case "$1" in *dashboard.py) echo No boards here. >&2; exit 1; esac'
    )
    (tmp_path / ".venv").mkdir()
    made = ("--old-file", ".venv/requirements.txt")
    done = make("demo", f"BIN={tmp_path}", *made, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("Skipped the boards")
    assert done.stderr.splitlines() == ["No boards here."]


def test_an_older_python_is_refused_in_one_line(tmp_path: Path) -> None:
    python = python_that(
        tmp_path,
        f"exec {sys.executable} -c 'import sys; sys.version_info = (3, 10, 13);"
        ' sys.version = "3.10.13 (main)"; exec(sys.argv[2])\' "$@"',
    )
    done = make("setup", f"PYTHON={python}", folder=tmp_path)
    assert done.returncode == 2
    said, _ = done.stderr.splitlines()
    assert said.startswith("This needs Python 3.11 to 3.13, and ")
    assert "is 3.10.13. Name another: make setup PYTHON=python3.13" in said
    assert not (tmp_path / ".venv").exists()


def test_set_up_says_that_it_falls_back_to_pip(tmp_path: Path) -> None:
    python = python_that(
        tmp_path,
        """[ "$1 $2" = "-m venv" ] || exit 0
        mkdir -p .venv/bin; cd .venv/bin
        printf '#!/bin/sh\\necho not trusted >&2; exit 2\\n' > uv
        printf '#!/bin/sh\\necho "$@" >> pip.log\\n' > pip
        printf '#!/bin/sh\\nexit 0\\n' > python; chmod +x uv pip python""",
    )
    done = make("setup", f"PYTHON={python}", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["not trusted"]
    installing, fallback = done.stdout.splitlines()
    assert installing.startswith("Installing Python packages into .venv")
    assert fallback.startswith("uv failed, see above. Falling back to pip")
    installed = (tmp_path / "pip.log").read_text().splitlines()
    assert [line.split()[-1] for line in installed] == [
        ".venv/uv.txt",
        "requirements.txt",
    ]


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        (["demo.py", "--items", "400"], 1, f"contains the demo with {OPTIONS}"),
        (["land.py", "--start", "2024-01-01"], 2, "contains the demo's made-up data"),
    ],
)
def test_nothing_else_lands_where_the_demo_did(
    lakehouses: Callable[[Path], Lakehouse], script: list[str], code: int, reason: str
) -> None:
    lakehouse = lakehouses(SHIPPED)
    demo.claim(FolderFiles(lakehouse.home / "landing"), OPTIONS)
    done = subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / script[0]), *script[1:]],
        env=lakehouse.environment(),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == code
    assert reason in done.stderr
    assert "`make start-over`" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in lakehouse.home.rglob("*") if path.is_file()] == [
        DEMO_MARKER
    ]


def start_over(
    home: Path, more: dict[str, str], answer: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run `scripts/start_over.py` without a terminal."""
    return subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "start_over.py")],
        env=os.environ | {"DEFTUNES_HOME": str(home)} | more,
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def files(folder: Path) -> set[str]:
    """Return the files below a folder."""
    return {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }


def test_starting_over_removes_the_demo_and_only_if_confirmed(home: Path) -> None:
    demo.claim(FolderFiles(home / "landing"), OPTIONS)
    made = {"landing/songs/a/songs.parquet", "lake/catalog.sqlite", "serving/x.duckdb"}
    for name in [*made, "notes.txt"]:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    asked = start_over(home, {}, answer="y\n")
    assert (asked.returncode, asked.stderr.splitlines()) == (
        2,
        ["Nothing was removed. To confirm without asking: YES=1"],
    )
    assert made < files(home)
    done = start_over(home, {"YES": "1"})
    assert done.returncode == 0, done.stderr
    assert files(home) - {".lock"} == {"notes.txt"}
    # A real landing zone is never removed.
    (home / "landing" / "songs").mkdir(parents=True)
    refused = start_over(home, {"YES": "1"})
    assert refused.returncode == 2
    assert "does not contain the demo" in refused.stderr
    assert (home / "landing" / "songs").exists()


@pytest.mark.parametrize("target", ["lake_pg", "lake_s3"])
def test_starting_over_leaves_a_demo_whose_catalogue_is_in_postgres(
    home: Path, target: str
) -> None:
    demo.claim(FolderFiles(home / "landing"), OPTIONS)
    (home / target).mkdir()
    refused = start_over(home, {"YES": "1"})
    assert refused.returncode == 2
    assert "Drop the tables of its catalogue in Postgres" in refused.stderr
    assert (home / "landing" / DEMO_MARKER).exists()
