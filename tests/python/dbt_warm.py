"""Parses the project once, where processes are forked from.

dbt makes classes, schemas and templates when it first needs them, for half of the time
that it takes to parse a project. A process that is forked afterwards has them. The
static parser would start threads, which no fork survives.
"""

import os
import tempfile
from unittest.mock import patch

from dbt.cli.main import dbtRunner
from deftunes.settings import PROJECT

_OPTIONS = ("--quiet", "--no-write-json", "--no-static-parser")

with tempfile.TemporaryDirectory() as home:
    environment = {
        "DEFTUNES_HOME": home,
        "DBT_LOG_LEVEL_FILE": "none",
        "DBT_LOG_PATH": home,
        "DBT_PROFILES_DIR": str(PROJECT),
        "DBT_PROJECT_DIR": str(PROJECT),
        "DBT_TARGET_PATH": home,
    }
    with patch.dict(os.environ, environment):
        dbtRunner().invoke(["parse", *_OPTIONS])
