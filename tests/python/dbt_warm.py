"""Parses the project once, where processes are forked from.

dbt makes classes, schemas and templates when it first needs them, for half of the time
that it takes to parse a project. A process that is forked afterwards has them, and what
was parsed as well: `manifest_for` hands it over. The static parser would start threads,
which no fork survives.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest.mock import patch

import duckdb
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt_common.clients.jinja import template_cache
from deftunes.settings import PROJECT

_OPTIONS = ("--quiet", "--no-write-json", "--no-static-parser")
_OF_THE_PROJECT = {"DEFTUNES_WITHOUT_ML": "1"}
"""Which models there are in most tests."""


def _parsed(home: str) -> Manifest:
    """Parse the project for a home."""
    environment = _OF_THE_PROJECT | {
        "DEFTUNES_HOME": home,
        "DBT_LOG_LEVEL_FILE": "none",
        "DBT_LOG_PATH": home,
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_TARGET_PATH": home,
    }
    with patch.dict(os.environ, environment):
        parsed = dbtRunner().invoke(["parse", *_OPTIONS])
    assert isinstance(parsed.result, Manifest), parsed.exception
    return parsed.result


with tempfile.TemporaryDirectory() as _home:
    _manifest = _parsed(_home)

for _macro in _manifest.macros.values():
    if _macro.package_name != "dbt_expectations":
        template_cache.get_node_template(_macro)

# What is loaded once need not be looked for again. One thread, as none survives a fork.
with duckdb.connect(config={"threads": 1}) as _connection:
    for _extension in ("ducklake", "sqlite_scanner", "httpfs"):
        _connection.load_extension(_extension)


def manifest_for(
    arguments: Sequence[str], environment: Mapping[str, str], project: Path
) -> Manifest | None:
    """Return what dbt would parse, or none where it is to parse by itself.

    Args:
        arguments: what would follow `dbt` on a command line.
        environment: all variables that dbt is to see.
        project: the folder to run it in.

    """
    options = {argument.partition("=")[0] for argument in arguments}
    if (
        project != PROJECT
        or options & {"parse", "--project-dir"}
        or any(
            environment.get(name, "") != _OF_THE_PROJECT.get(name, "")
            for name in _manifest.env_vars.keys() - {"DEFTUNES_HOME"}
        )
    ):
        return None
    # Parsing does not ask where a target's lake is. The place of the landing zone is
    # all that depends on the home.
    for source in _manifest.sources.values():
        for meta in (source.meta, source.config.meta):
            if location := meta.get("external_location"):
                meta["external_location"] = location.replace(
                    _home, environment["DEFTUNES_HOME"]
                )
    # What macros see of it.
    _manifest.build_flat_graph()  # type: ignore[no-untyped-call]
    return _manifest
