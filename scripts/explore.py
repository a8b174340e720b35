"""Serve the boards with filters to this machine: `python scripts/explore.py`."""

import signal
import sys

import click
from deftunes.dashboard import DashboardError, explore
from deftunes.settings import Settings, SettingsError


@click.command()
@click.option("--port", default=8650, show_default=True, help="Where the server is.")
def main(port: int) -> None:
    """Serve the boards with filters to this machine; Ctrl-C stops it."""
    # So that the server stops, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(explore(Settings.from_environment(), port))
    except KeyboardInterrupt:
        sys.exit(130)
    except (DashboardError, SettingsError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
