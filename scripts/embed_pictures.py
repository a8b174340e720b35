"""Embed the pictures into the docs' overview: `python scripts/embed_pictures.py`.

dbt's docs site shows a picture only if the text holds it whole. The last lines of the
overview do; `models/pictures/` has the sources, which the README shows too.
"""

import base64
import re
import sys

from deftunes.settings import PROJECT

OVERVIEW = PROJECT / "models" / "overview.md"
PICTURES = PROJECT / "models" / "pictures"

_EMBEDDED = re.compile(r"^\[(\w+)\]: data:image/svg\+xml;base64,\S*$", re.MULTILINE)


def embed(overview: str) -> str:
    """Return the overview with each picture that it embeds as its file is now.

    Args:
        overview: the text, with a line `[<name>]: data:image/svg+xml;base64,…` for
            each picture `models/pictures/<name>.svg`.

    Raises:
        FileNotFoundError: there is no picture of that name.

    """

    def whole(line: re.Match[str]) -> str:
        picture = (PICTURES / f"{line[1]}.svg").read_bytes()
        encoded = base64.b64encode(picture).decode()
        return f"[{line[1]}]: data:image/svg+xml;base64,{encoded}"

    return _EMBEDDED.sub(whole, overview)


def main() -> int:
    """Rewrite the overview and return the exit code."""
    OVERVIEW.write_text(embed(OVERVIEW.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
