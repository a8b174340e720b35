"""Devices are recognised by real user agents, and by nothing else."""

import duckdb
import pytest
from deftunes.devices import Device, devices

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"
GOOGLEBOT = "compatible; Googlebot/2.1; +http://www.google.com/bot.html"
IPHONE = (
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) {WEBKIT} Version/17.1"
    " Mobile/15E148 Safari/604.1"
)
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        (IPHONE, "Mobile, iOS, Safari"),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) {WEBKIT}"
            " CriOS/120.0.6099.50 Mobile/15E148 Safari/604.1",
            "Mobile, iOS, Chrome",
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {WEBKIT} Version/16.6"
            " Mobile/15E148 Safari/604.1",
            "Tablet, iOS, Safari",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36",
            "Mobile, Android, Chrome",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X906C) {CHROME} Safari/537.36",
            "Tablet, Android, Chrome",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:120.0) Gecko/120.0 Firefox/120.0",
            "Mobile, Android, Firefox",
        ),
        (
            "Mozilla/5.0 (Android 14; Tablet; rv:120.0) Gecko/120.0 Firefox/120.0",
            "Tablet, Android, Firefox",
        ),
        (WINDOWS, "Desktop, Windows, Chrome"),
        (f"{WINDOWS} Edg/120.0.2210.91", "Desktop, Windows, Edge"),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Version/17.1"
            " Safari/605.1.15",
            "Desktop, macOS, Safari",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            "Desktop, Linux, Firefox",
        ),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:120.0) Gecko/20100101"
            " Firefox/120.0",
            "Desktop, Linux, Firefox",
        ),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36",
            "Desktop, Chrome OS, Chrome",
        ),
        (
            "Opera/8.77.(X11; Linux x86_64; lb-LU) Presto/2.9.170",
            "Desktop, Linux, Opera",
        ),
        (
            "Mozilla/5.0 (compatible; MSIE 9.0; Windows CE; Trident/3.1)",
            "Mobile, Windows, IE",
        ),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/538.1 (KHTML, like"
            " Gecko) Version/5.0 TV Safari/538.1",
            "Other, Tizen, Safari",
        ),
        (
            f"Mozilla/5.0 (PlayStation; PlayStation 5/2.26) {WEBKIT} Version/13.0"
            " Safari/605.1.15",
            "Other, Unknown, Safari",
        ),
        (f"Mozilla/5.0 ({GOOGLEBOT})", "Bot, Unknown, Googlebot"),
        (
            f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {CHROME} Mobile"
            f" Safari/537.36 ({GOOGLEBOT})",
            "Bot, Android, Googlebot",
        ),
        ("", "Unknown, Unknown, Unknown"),
        ("Mozilla/5.0", "Unknown, Unknown, Unknown"),
        ("no browser", "Unknown, Unknown, Unknown"),
        ("x\0y", "Unknown, Unknown, Unknown"),
        ("ü" * 10_000, "Unknown, Unknown, Unknown"),
    ],
)
def test_a_device_is_recognised(user_agent: str, device: str) -> None:
    assert Device.from_user_agent(user_agent) == Device(*device.split(", "))


def test_each_session_has_the_device_of_its_user_agent() -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table sessions (session_id text, user_agent text, _batch_id text)"
        )
        connection.executemany(
            "insert into sessions values (?, ?, 'b1')",
            [["s1", IPHONE], ["s2", WINDOWS], ["s3", IPHONE], ["s4", None], ["s5", ""]],
        )
        found = devices(connection, connection.table("sessions"))
        assert found.columns == [
            *("session_id", "device_type", "operating_system", "browser", "_batch_id")
        ]
        assert found.order("session_id").fetchall() == [
            ("s1", "Mobile", "iOS", "Safari", "b1"),
            ("s2", "Desktop", "Windows", "Chrome", "b1"),
            ("s3", "Mobile", "iOS", "Safari", "b1"),
            ("s4", "Unknown", "Unknown", "Unknown", "b1"),
            ("s5", "Unknown", "Unknown", "Unknown", "b1"),
        ]
        none = devices(connection, connection.table("sessions").filter("false"))
        assert none.columns == found.columns
        assert none.types == found.types
        assert none.fetchall() == []
