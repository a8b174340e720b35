"""Tells people, by mail, webhook or chat, that a scheduled run has failed."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import apprise

from deftunes.settings import Settings

_FAILED = {"error", "fail", "runtime error"}
_MOST_NAMES = 20


class AlertError(Exception):
    """An alert could not be sent; the message says what to do."""


@dataclass(frozen=True)
class FailedNodes:
    """What failed in dbt's last command.

    Attributes:
        command: the command, such as `build`.
        at: when it ended (UTC).
        names: the names of the tests and models that failed.

    """

    command: str
    at: datetime
    names: Sequence[str]


def failed_nodes(run_results: Path) -> FailedNodes | None:
    """Read what failed in dbt's last command.

    Args:
        run_results: dbt's `run_results.json`.

    Returns:
        None if the file cannot be read: dbt has not got that far.

    """
    try:
        found = json.loads(run_results.read_text())
        return FailedNodes(
            found["args"]["which"],
            datetime.fromisoformat(found["metadata"]["generated_at"].rstrip("Z")),
            [
                _name(result["unique_id"])
                for result in found["results"]
                if result["status"] in _FAILED
            ],
        )
    except (OSError, ValueError, LookupError):
        return None


def alert(settings: Settings, what: str, since: datetime | None = None) -> str:
    """Send what has happened, and what failed in dbt's last command.

    Args:
        settings: who is alerted, and where dbt's results are.
        what: what has happened, one sentence.
        since: leave out a dbt command that ended before (UTC, without a time zone).

    Returns:
        The text, which has no rows of the data.

    Raises:
        AlertError: somebody could not be told.

    """
    text = what
    failed = failed_nodes(settings.dbt_target / "run_results.json")
    if failed and failed.names and (since is None or failed.at >= since):
        shown = list(failed.names[:_MOST_NAMES])
        if len(failed.names) > len(shown):
            shown.append(f"{len(failed.names) - len(shown)} more")
        text += (
            f"\nIn dbt {failed.command}, which ended {failed.at:%Y-%m-%d %H:%M} UTC, "
            f"failed: {', '.join(shown)}"
        )
    if settings.alert_urls:
        # A URL may contain a password, and Apprise logs what it cannot read.
        logging.getLogger("apprise").setLevel(logging.CRITICAL)
        messenger = apprise.Apprise()
        if not messenger.add(settings.alert_urls.split()):
            raise AlertError(
                "DEFTUNES_ALERT_URLS has something that is not a URL of Apprise."
            )
        sent = messenger.notify(
            body=text, title="DeFtunes", notify_type=apprise.NotifyType.FAILURE
        )
        if not sent:
            raise AlertError(
                "Not everybody in DEFTUNES_ALERT_URLS could be told: check the URLs."
            )
    return text


def _name(unique_id: str) -> str:
    """Return the name in a unique id of dbt: type.project.name, and a test's hash."""
    return unique_id.split(".")[2]
