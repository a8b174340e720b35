"""Draw the dashboard from the published data: `python scripts/dashboard.py`."""

import sys

from deftunes.dashboard import DashboardError, draw
from deftunes.settings import Settings, SettingsError


def main() -> int:
    """Draw the dashboard, print its path, and return the exit code."""
    try:
        print(f"Open it in a browser: {draw(Settings.from_environment())}")
    except (DashboardError, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
