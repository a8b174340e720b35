"""Recognises devices for Spark: reads user agents in UTF-8 as hexadecimal digits, a
line each.

Writes a line per user agent: what it read, the type of the device, the operating system
and the browser, with tabs between them.
"""

import sys

from deftunes.devices import Device


def main() -> None:
    """Read from standard input, write to standard output."""
    for line in sys.stdin:
        encoded = line.rstrip("\n")
        user_agent = bytes.fromhex(encoded).decode("utf-8")
        device = Device.from_user_agent(user_agent)
        print(  # noqa: T201
            encoded,
            device.device_type,
            device.operating_system,
            device.browser,
            sep="\t",
        )


if __name__ == "__main__":
    main()
