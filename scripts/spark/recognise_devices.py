"""Recognises devices for Spark.

Reads user agents, a line each: their bytes in UTF-8 as hexadecimal digits. Writes a
line for each one: what it read, the type of the device, the operating system and the
browser, with tabs between them.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from deftunes.devices import Device


def main() -> None:
    """Read from standard input, write to standard output."""
    for line in sys.stdin:
        encoded = line.rstrip("\n")
        device = Device.from_user_agent(bytes.fromhex(encoded).decode("utf-8"))
        fields = (device.device_type, device.operating_system, device.browser)
        print(encoded, *fields, sep="\t")


if __name__ == "__main__":
    main()
