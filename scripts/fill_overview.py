"""Update the overview page of the dbt docs: `python scripts/fill_overview.py`.

dbt's docs site shows a picture only if the page embeds it, and it cannot include text
from other files. So this script copies two things into `models/overview.md`: the
pictures of `models/pictures/`, and the metrics of `models/semantic/metrics.yml`.
"""

import base64
import re
import sys
from typing import Any

import yaml  # type: ignore[import-untyped]
from deftunes.settings import PROJECT

OVERVIEW = PROJECT / "models" / "overview.md"
PICTURES = PROJECT / "models" / "pictures"
METRICS = PROJECT / "models" / "semantic" / "metrics.yml"

_PICTURE = re.compile(r"^\[(\w+)\]: data:image/svg\+xml;base64,\S*$", re.MULTILINE)
_METRICS = re.compile(r"(^\| \[[^]]*\]\(#!/metric/.*\n)+", re.MULTILINE)


def fill(overview: str) -> str:
    """Return the overview with the current pictures and metrics.

    Args:
        overview: the text, with a line `[<name>]: data:image/svg+xml;base64,…` for
            each picture `models/pictures/<name>.svg`, and a table of metrics.

    Raises:
        FileNotFoundError: there is no picture of that name.

    """
    metrics = yaml.safe_load(METRICS.read_text("utf-8"))["metrics"]
    rows = "".join(map(_row, metrics))
    return _PICTURE.sub(_embedded, _METRICS.sub(lambda _: rows, overview))


def _row(metric: dict[str, Any]) -> str:
    name, meta = metric["name"], metric["config"]["meta"]
    link = f"[{metric['label']}](#!/metric/metric.deftunes.{name})"
    return f"| {link} | {metric['description']} | {meta['unit']} | {meta['owner']} |\n"


def _embedded(line: re.Match[str]) -> str:
    picture = (PICTURES / f"{line[1]}.svg").read_bytes()
    encoded = base64.b64encode(picture).decode()
    return f"[{line[1]}]: data:image/svg+xml;base64,{encoded}"


def main() -> int:
    """Rewrite the overview and return the exit code."""
    OVERVIEW.write_text(fill(OVERVIEW.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
