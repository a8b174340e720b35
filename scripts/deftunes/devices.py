"""Recognises devices by their user agents, with the rules of the uap-core project.

ua-parser finds the operating system, the browser and the model of a device, but not
what kind of device it is. `device_type` derives that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ua_parser import parse

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

UNKNOWN = "Unknown"
"""Nothing is known: no user agent, or one that no rule matches."""

# Of these, people use computers. Distributions of Linux count as Linux.
_DESKTOP_SYSTEMS = {
    "Windows": "Windows",
    "Mac OS X": "macOS",
    "Chrome OS": "Chrome OS",
    **dict.fromkeys(
        (
            *("Linux", "Arch Linux", "CentOS", "Debian", "Fedora", "Gentoo"),
            *("Linux Mint", "Mageia", "Mandriva", "Red Hat", "Slackware", "SUSE"),
            *("Ubuntu", "Kubuntu"),
        ),
        "Linux",
    ),
    **{name: name for name in ("FreeBSD", "NetBSD", "OpenBSD", "Solaris")},
}
_PHONE_SYSTEMS = {"iOS", "Windows Phone", "BlackBerry OS", "KaiOS", "Symbian OS"}
# The same browser on another device, or within an app.
_VARIANTS = {"Mobile", "iOS", "WebView", "UI/WKWebView"}


@dataclass(frozen=True)
class Device:
    """A device.

    Attributes:
        device_type: Desktop, Mobile, Tablet, Bot, Other (a television or a console) or
            Unknown.
        operating_system: the family, such as Windows, without its version; or Unknown.
        browser: the family, such as Chrome, without its version; or Unknown.

    """

    device_type: str = UNKNOWN
    operating_system: str = UNKNOWN
    browser: str = UNKNOWN

    @classmethod
    def from_user_agent(cls, user_agent: str) -> Device:
        """Recognise a device. Any text is allowed, also one that is no user agent."""
        found = parse(user_agent)
        model = found.device.family if found.device else ""
        system = found.os.family if found.os else ""
        browser = found.user_agent.family if found.user_agent else ""
        words = (word for word in browser.split() if word not in _VARIANTS)
        return cls(
            _device_type(user_agent, model, system),
            _DESKTOP_SYSTEMS.get(system, system) or UNKNOWN,
            " ".join(words) or UNKNOWN,
        )


def _device_type(user_agent: str, model: str, system: str) -> str:
    """Return what kind of device it is.

    Browsers on phones write "Mobile" (Mozilla's documentation on user agents), and
    those on Android tablets leave it out (Google's documentation of Chrome).

    Args:
        user_agent: the user agent.
        model: the family of the device, as ua-parser finds it; empty if unknown.
        system: the family of the operating system, likewise.

    """
    if model == "Spider":
        return "Bot"
    if "TV" in user_agent:
        return "Other"
    if model == "iPad" or "Tablet" in model:
        return "Tablet"
    if system in _PHONE_SYSTEMS or model == "Generic Smartphone":
        return "Mobile"
    if system == "Android":
        return "Mobile" if "Mobi" in user_agent else "Tablet"
    if system in _DESKTOP_SYSTEMS:
        return "Desktop"
    if model:
        return "Other"
    return UNKNOWN


def devices(
    connection: DuckDBPyConnection, sessions: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Recognise the devices of sessions; each user agent is parsed once.

    Args:
        connection: where the sessions are.
        sessions: columns session_id, user_agent (null if unknown) and _batch_id.

    Returns:
        Columns session_id, device_type, operating_system, browser and _batch_id; one
        row per session.

    """
    import pyarrow as pa  # type: ignore[import-untyped]  # Spark does without it.

    agents = [agent for (agent,) in sessions.select("user_agent").distinct().fetchall()]
    known = [Device.from_user_agent(agent or "") for agent in agents]
    table = pa.table(
        {
            "user_agent": pa.array(agents, pa.string()),
            "device_type": pa.array([each.device_type for each in known], pa.string()),
            "operating_system": pa.array(
                [each.operating_system for each in known], pa.string()
            ),
            "browser": pa.array([each.browser for each in known], pa.string()),
        }
    )
    parsed = connection.from_arrow(table).set_alias("parsed")
    return (
        sessions.set_alias("sessions")
        .join(parsed, "sessions.user_agent is not distinct from parsed.user_agent")
        .select("session_id, device_type, operating_system, browser, _batch_id")
    )
