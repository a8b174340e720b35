"""The lakehouse is where its settings say, or the first command fails with a reason."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt_common.exceptions import DbtRuntimeError
from deftunes import settings
from deftunes.dbt_plugin import plugin as dbt_plugin
from deftunes.settings import PROJECT, HomeError, Settings, SettingsError

ODD = [
    *("it's", "[b]", "{x}", "a*", "a?", "50%", "a\\b", "$HOME", "a\nb", "a\tb", 'a"b'),
    *("a;b", "a#b", "`ls`", "a|b", "<a>", "user_id=7", "\udcff"),
    *(" a", "a ", "a\u00a0"),
]
REFUSED = (HomeError, SettingsError)


def read(home: str) -> Settings:
    """Return the settings of an environment with a home."""
    return Settings.from_environment({"DEFTUNES_HOME": home})


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_home_that_queries_cannot_name_is_refused(name: str) -> None:
    for home in (f"/srv/{name}", f"/srv/{name}/lakehouse", f"/srv/{name}/"):
        with pytest.raises(SettingsError, match="DEFTUNES_HOME") as refused:
            read(home)
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["my lake", "Über 一青窈", "a-b_c.d,e+f@g(h)!i~j&k"])
def test_other_homes_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    home = tmp_path / name / "lakehouse"
    made = read(f"{home}/")
    assert made.home == home
    made.make_home()
    assert home.is_dir()
    assert not list(home.iterdir())


def test_the_project_itself_is_no_home_if_queries_cannot_name_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert read("").home == PROJECT
    monkeypatch.setattr(settings, "PROJECT", Path("/srv/it's"))
    with pytest.raises(SettingsError, match=r"project's folder.*Set DEFTUNES_HOME"):
        read("")


def bad_homes(folder: Path) -> dict[str, str]:
    """Return invalid homes, by a part of the error message."""
    (folder / "file").touch()
    (folder / "dangling").symlink_to(folder / "nowhere" / "else")
    return {
        "is not absolute": "lakehouse",
        "is not a folder": f"{folder}/file",
        "Not a directory": f"{folder}/file/lakehouse",
        "File name too long": f"{folder}/{'x' * 300}",
        "cannot be written to": f"{folder}/dangling",
        "No such file": "/proc/lakehouse",
    }


def test_a_home_that_cannot_be_is_named_by_its_variable(tmp_path: Path) -> None:
    for said, home in bad_homes(tmp_path).items():
        with pytest.raises(REFUSED, match="DEFTUNES_HOME") as refused:
            read(home).make_home()
        assert said in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_home_is_named_by_its_variable(tmp_path: Path) -> None:
    for mode, way in ((0, read), (0o500, lambda home: read(home).make_home())):
        closed = tmp_path / f"{mode}"
        closed.mkdir(mode)
        with pytest.raises(REFUSED, match=r"DEFTUNES_HOME.*Permission denied"):
            way(str(closed))


@pytest.mark.parametrize(
    "command",
    [["land.py"], ["export.py", "a", "a.csv"], ["forget.py", "u"], ["demo.py"]],
    ids=lambda command: command[0],
)
def test_each_command_says_so_in_one_line(tmp_path: Path, command: list[str]) -> None:
    for home in ("{x}", f"{tmp_path}/it's"):
        done = subprocess.run(
            [sys.executable, str(PROJECT / "scripts" / command[0]), *command[1:]],
            env=os.environ | {"DEFTUNES_HOME": home},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (1, 2)
        assert re.fullmatch(r".*DEFTUNES_HOME.*\n", done.stdout + done.stderr)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["build", "compile"])
def test_dbt_says_so_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(dbt_plugin, "get_flags", lambda: SimpleNamespace(WHICH=command))
    for home in (f"{tmp_path}/[b]", "lakehouse", f"{tmp_path}/file/lakehouse"):
        (tmp_path / "file").touch()
        monkeypatch.setenv("DEFTUNES_HOME", home)
        credentials = DuckDBCredentials.from_dict(
            {"schema": "main", "attach": [{"path": f"ducklake:sqlite:{home}/lake"}]}
        )
        with pytest.raises(DbtRuntimeError, match="DEFTUNES_HOME"):
            dbt_plugin.Plugin("deftunes", {}, credentials)
