"""The generic tests, of the stand-in and of the project, pass and fail correctly."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import duckdb
import pytest
import setup
from deftunes.settings import PROJECT
from deftunes.setup import SetupError, set_up_extensions, set_up_packages

STAND_IN = PROJECT / "scripts" / "packages" / "dbt_expectations"
OWN = PROJECT / "tests" / "generic" / "columns_not_null.sql"

MODELS = {
    "things": """
        select * from (values
            (1, 'ab', 'red', 1.5, 1.0),
            (2, 'cd', 'Red', 2.5, 2.5),
            (3, 'é', 'it''s', 3.5, 4.0),
            (3, null, 'blue', null, 1.0),
            (null, 'xyz', 'blue', 5.0, null),
            (null, null, null, null, null)
        ) as things (id, code, colour, price, cost)
    """,
    "pairs": """
        select * from (values
            (1, 'a'), (1, 'a'), (1, 'b'), (2, null), (2, null), (2, null),
            (null, null), (null, null)
        ) as pairs (number, letter)
    """,
    "unlike": 'select 1 as id, 2 as "mixed Case"',
}


# By expectation and what it looks at: the failures it must find, and its arguments.
CASES: dict[tuple[str, str], list[tuple[int, dict[str, Any]]]] = {
    ("expect_column_values_to_be_between", "things.price"): [
        (0, {"min_value": 1.5, "max_value": 5}),
        (1, {"min_value": 2, "max_value": 5}),
        (1, {"min_value": 1, "max_value": 4.9}),
        (1, {"min_value": 1.6}),
        (2, {"max_value": 3}),
        (4, {"max_value": 0}),
        (2, {"min_value": 1.5, "max_value": 5, "strictly": True}),
        (0, {"min_value": 1.4, "max_value": 6, "strictly": True}),
        (0, {"min_value": 2, "row_condition": "id > 1 or id = 2"}),
        (1, {"max_value": 3, "row_condition": "id > 1"}),
        (1, {"min_value": "cost", "row_condition": "id > 0"}),
    ],
    ("expect_column_values_to_match_regex", "things.colour"): [
        (0, {"regex": "e|s"}),
        (2, {"regex": "^[a-z]+$"}),
        (1, {"regex": "^[a-z]+$", "flags": "i"}),
        (1, {"regex": "^[a-z]+$", "row_condition": "id < 3"}),
        (1, {"regex": r"^\w+$"}),
        (1, {"regex": r"^\w+$", "is_raw": True}),
    ],
    ("expect_column_value_lengths_to_equal", "things.code"): [
        (2, {"value": 2}),
        (0, {"value": 2, "row_condition": "id < 3"}),
        (0, {"value": 1, "row_condition": "id = 3"}),
    ],
    ("expression_is_true", "things"): [
        (2, {"expression": "price > cost"}),
        (1, {"expression": "price >= cost and id > 0"}),
        (0, {"expression": "price > cost", "row_condition": "id = 1"}),
        (
            5,
            {
                "expression": "count(id)",
                "test_condition": "> 1",
                "group_by_columns": ["colour"],
            },
        ),
        (0, {"expression": "count(id)", "test_condition": "> 1"}),
    ],
    ("expect_compound_columns_to_be_unique", "pairs"): [
        (2, {"column_list": ["number", "letter"]}),
        (2, {"column_list": ["number", "letter"], "quote_columns": True}),
        (
            1,
            {
                "column_list": ["number", "letter"],
                "ignore_row_if": "any_value_is_missing",
            },
        ),
        (0, {"column_list": ["number", "letter"], "row_condition": "letter = 'b'"}),
        (2, {"column_list": ["number"]}),
    ],
    ("columns_not_null", "things"): [
        (2, {"column_list": ["price"]}),
        (3, {"column_list": ["code", "id"]}),
    ],
    ("columns_not_null", "unlike"): [(0, {"column_list": ["id"]})],
}


@dataclass(frozen=True)
class Case:
    """One use of an expectation, its name for dbt, and the failures it has to find."""

    name: str
    expectation: str
    target: str
    failures: int
    arguments: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.expectation} {self.target} {self.arguments}"


FLAT_CASES = [
    Case(f"{expectation}_{target}_{number}".replace(".", "_"), expectation, target, *of)
    for (expectation, target), cases in CASES.items()
    for number, of in enumerate(cases)
]


def model_properties(model: str) -> dict[str, Any]:
    """Return a model's YAML properties, with its cases as tests."""
    tests: dict[str, list[dict[str, Any]]] = {"": []}
    for case in FLAT_CASES:
        table, _, column = case.target.partition(".")
        if table == model:
            test = {
                "name": case.name,
                "arguments": case.arguments,
                # An error would keep dbt from building what depends on the model.
                "config": {"severity": "warn"},
            }
            package = "dbt_expectations." if case.expectation != OWN.stem else ""
            tests.setdefault(column, []).append({package + case.expectation: test})
    return {
        "name": model,
        "data_tests": tests.pop(""),
        "columns": [
            {"name": column, "data_tests": on_column}
            for column, on_column in tests.items()
        ],
    }


def write_project(project: Path, packages: Mapping[str, Path]) -> None:
    """Write a dbt project of the cases with these packages (YAML files as JSON)."""
    for name, package in packages.items():
        shutil.copytree(package, project / "dbt_packages" / name)
    shutil.copy(PROJECT / "packages.yml", project)
    (project / "macros").mkdir()
    shutil.copy(OWN, project / "macros")
    (project / "seeds").mkdir()
    for seed in (PROJECT / "seeds").glob("countries.*"):
        shutil.copy(seed, project / "seeds")
    files: dict[str, Any] = {
        "dbt_project.yml": {
            "name": "cases",
            "profile": "cases",
            "flags": {
                "require_generic_test_arguments_property": True,
                "send_anonymous_usage_stats": False,
                "validate_macro_args": True,
            },
            "vars": {"dbt_date:time_zone": "UTC"},
        },
        "profiles.yml": {
            "cases": {
                "target": "dev",
                "outputs": {
                    "dev": {
                        "type": "duckdb",
                        "path": str(project / "cases.duckdb"),
                        # The genuine package goes by the session's time zone.
                        "settings": {"TimeZone": "UTC"},
                    }
                },
            }
        },
        "models/models.yml": {"models": [model_properties(model) for model in MODELS]},
    }
    (project / "models").mkdir()
    for name, content in files.items():
        (project / name).write_text(json.dumps(content), encoding="utf-8")
    for name, sql in MODELS.items():
        config = "{{ config(materialized='table') }}"
        (project / "models" / f"{name}.sql").write_text(config + sql, encoding="utf-8")


def dbt(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run dbt in this project."""
    return subprocess.run(
        [Path(sys.executable).with_name("dbt"), *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def build(project: Path, packages: Mapping[str, Path]) -> dict[str, tuple[str, Any]]:
    """Build the project; return status and number of failures of each node."""
    write_project(project, packages)
    run = dbt(project, "build", "--warn-error-options", '{"error": ["Deprecations"]}')
    results = project / "target" / "run_results.json"
    assert results.exists(), run.stdout + run.stderr
    return {
        result["unique_id"].split(".")[2]: (result["status"], result["failures"])
        for result in json.loads(results.read_text(encoding="utf-8"))["results"]
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """Build once, and return the result of each case."""
    return build(tmp_path_factory.mktemp("cases"), {"dbt_expectations": STAND_IN})


@pytest.mark.parametrize("case", FLAT_CASES, ids=str)
def test_expectation_finds_as_many_failures_as_there_are(
    case: Case, results: dict[str, tuple[str, Any]]
) -> None:
    assert results[case.name] == ("warn" if case.failures else "pass", case.failures)


def test_every_expectation_passes_and_fails_somewhere() -> None:
    seen = {(case.expectation, case.failures > 0) for case in FLAT_CASES}
    expectations = [path.stem for path in STAND_IN.glob("**/expectations/*.sql")]
    expectations.append(OWN.stem)
    assert seen == {(name, red) for name in expectations for red in (True, False)}


def test_the_stand_in_holds_what_the_project_uses() -> None:
    used = {
        name
        for folder in ("models", "seeds", "snapshots", "tests")
        for path in (PROJECT / folder).glob("**/*.yml")
        for name in re.findall(r"dbt_expectations\.(\w+)", path.read_text("utf-8"))
    }
    assert {path.stem for path in STAND_IN.glob("**/expectations/*.sql")} == used


def test_country_codes_stay_text(results: dict[str, tuple[str, Any]]) -> None:
    tests = [name for name in results if "countries" in name and name != "countries"]
    assert tests
    assert {results[name] for name in tests} == {("pass", 0)}


def test_a_range_without_bounds_is_refused(tmp_path: Path) -> None:
    write_project(tmp_path, {"dbt_expectations": STAND_IN})
    test = "dbt_expectations.expect_column_values_to_be_between"
    column = {"name": "price", "data_tests": [test]}
    properties = {"models": [{"name": "things", "columns": [column]}]}
    models = tmp_path / "models" / "models.yml"
    models.write_text(json.dumps(properties), encoding="utf-8")
    run = dbt(tmp_path, "parse")
    assert run.returncode == 2
    assert "Give min_value, max_value or both" in run.stdout


class Hub(SimpleHTTPRequestHandler):
    """The part of dbt's package hub that `dbt deps` uses: files below a folder."""

    def log_message(self, *_: object) -> None:
        """Keep requests out of the tests' output."""


@pytest.fixture
def hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ThreadingHTTPServer]:
    """Serve a hub with two small packages, and point dbt at it."""
    root = tmp_path / "hub"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, directory=root))
    url = f"http://127.0.0.1:{server.server_port}/"
    dependency = {"package": "godatadriven/dbt_date", "version": "0.10.0"}
    names = {"metaplane/dbt_expectations": [dependency], "godatadriven/dbt_date": []}
    for full_name, packages in names.items():
        name = full_name.partition("/")[2]
        metadata = {
            "name": name,
            "packages": packages,
            "downloads": {"tarball": f"{url}{name}.tar.gz"},
        }
        answer = root / "api" / "v1" / f"{full_name}.json"
        answer.parent.mkdir(parents=True)
        answer.write_text(json.dumps({"name": name, "versions": {"0.10.0": metadata}}))
        source = tmp_path / name / "package"
        source.mkdir(parents=True)
        (source / "dbt_project.yml").write_text(f"name: {name}")
        shutil.make_archive(str(root / name), "gztar", source.parent, "package")
    (root / "api" / "v1" / "index.json").write_text(json.dumps(list(names)))
    monkeypatch.setenv("DBT_PACKAGE_HUB_URL", url)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a project without its dbt packages."""
    project = tmp_path / "project"
    project.mkdir()
    write_project(project, {})
    shutil.copytree(STAND_IN, project / "scripts" / "packages" / STAND_IN.name)
    return project


def test_set_up_installs_from_the_hub_and_then_leaves_it_alone(
    project: Path, hub: ThreadingHTTPServer
) -> None:
    assert "installed from dbt's package hub" in set_up_packages(project)
    installed = project / "dbt_packages" / "dbt_expectations" / "dbt_project.yml"
    assert installed.read_text() == "name: dbt_expectations"
    hub.shutdown()
    hub.server_close()
    message = set_up_packages(project)
    assert message == ""


def test_set_up_takes_the_stand_in_where_the_hub_is_out_of_reach(
    project: Path, hub: ThreadingHTTPServer
) -> None:
    hub.shutdown()
    hub.server_close()
    assert "cannot be reached" in set_up_packages(project)
    installed = project / "dbt_packages" / "dbt_expectations"
    assert set_up_packages(project) == ""

    # From here on the hub is not asked: dbt could not even start.
    (project / "dbt_project.yml").unlink()
    kept = project / "scripts" / "packages" / "dbt_expectations"
    (kept / "macros" / "new.sql").write_text("{% macro new() %}{% endmacro %}")
    assert "copied again" in set_up_packages(project)
    assert (installed / "macros" / "new.sql").exists()


@pytest.mark.usefixtures("hub")
def test_dbt_deps_puts_the_genuine_package_in_the_place_of_the_stand_in(
    project: Path,
) -> None:
    shutil.copytree(STAND_IN, project / "dbt_packages" / STAND_IN.name)
    assert dbt(project, "deps").returncode == 0
    message = set_up_packages(project)
    assert message == ""


def test_set_up_does_not_hide_another_failure_of_dbt_behind_the_stand_in(
    project: Path,
) -> None:
    (project / "packages.yml").write_text("packages: [{package: no_namespace}]")
    with pytest.raises(SetupError, match="`dbt deps` failed"):
        set_up_packages(project, limit=900)
    assert not (project / "dbt_packages").exists()


def test_set_up_installs_extensions_once(tmp_path: Path) -> None:
    assert "ducklake" in set_up_extensions(("ducklake",), tmp_path)
    assert set_up_extensions(("ducklake",), tmp_path) == ""


def test_set_up_says_which_duckdb_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pinned = duckdb.__version__
    monkeypatch.setattr(duckdb, "__version__", "2.0.0")
    assert setup.main() == 1
    said = capsys.readouterr().err
    assert said.startswith("DuckDB 2.0.0 is installed")
    assert f"needs {pinned}" in said
    assert len(said.splitlines()) == 1


def test_set_up_names_the_extension_that_is_not_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no_such_extension"):
        set_up_extensions(("no_such_extension",), tmp_path)
