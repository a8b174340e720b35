"""The project as dbt parses it, for processes that are forked where this is imported.

dbt needs some seconds to be imported and to parse the project. A fork server that has
this module preloaded does both once for all builds.
"""

import os

from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

from deftunes.settings import PROJECT

os.chdir(PROJECT)
# The static parser would start threads, which no fork survives.
_parsed = dbtRunner().invoke(["--quiet", "parse", "--no-static-parser"]).result
MANIFEST = _parsed if isinstance(_parsed, Manifest) else None
"""For `dbtRunner`; None if the project cannot be parsed, so that it parses again."""
