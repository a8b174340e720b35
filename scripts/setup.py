"""Install dbt's packages and DuckDB's extensions: `python scripts/setup.py`."""

import sys

from deftunes.settings import PROJECT
from deftunes.setup import SetupError, set_up_extensions, set_up_packages


def main() -> int:
    """Install both, print what has changed, and return the exit code."""
    try:
        for done in (set_up_extensions(), set_up_packages(PROJECT)):
            if done:
                print(done)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
