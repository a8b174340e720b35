"""Target spark builds the same rows as target local."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deftunes.settings import PROJECT

DBT = PROJECT / ".venv-spark" / "bin" / "dbt"

pytestmark = [
    pytest.mark.usefixtures("long_mode"),
    pytest.mark.skipif(not DBT.exists(), reason="target spark needs `make spark` once"),
]


def shown(target: str, home: Path) -> list[dict[str, str]]:
    """Return the rows of spark/dialect.jinja, as a target computes them."""
    (home / "lake_spark").mkdir(parents=True, exist_ok=True)
    (home / "lake").mkdir(exist_ok=True)
    dbt = DBT if target == "spark" else Path(sys.executable).with_name("dbt")
    query = Path(__file__).with_name("spark") / "dialect.jinja"
    ended = subprocess.run(
        [
            *(dbt, "--quiet", "show", "--output", "json", "--limit", "-1"),
            *("--inline", query.read_text("utf-8")),
        ],
        cwd=PROJECT,
        env={
            **os.environ,
            # Only a shell sets it to where the command runs.
            "PWD": str(PROJECT),
            "DEFTUNES_HOME": str(home),
            "DBT_TARGET": target,
            "DBT_TARGET_PATH": str(home / "target" / target),
            "DEFTUNES_WITHOUT_ML": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows: list[dict[str, str]] = json.loads(ended.stdout[ended.stdout.index("{") :])[
        "show"
    ]
    return rows


def test_each_pair_of_dialects_gives_the_same_for_texts_at_the_edges(
    home: Path,
) -> None:
    duck, spark = shown("local", home), shown("spark", home)
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
