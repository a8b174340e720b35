"""Make dbt's docs page easier to read: `python scripts/style_docs.py`.

dbt's own page shows only the beginning of a column's description, needs a wide screen,
and does not say when it was built. It knows nothing of what models have learned: their
cards are written here. `make docs` runs this after `dbt docs generate`.
"""

import json
import sys
from datetime import datetime, timezone

from deftunes.ml.model_cards import model_cards
from deftunes.settings import Settings

_STYLE = """<style>
/* All columns, with their whole descriptions. */
.table-responsive { max-height: none !important; }
td[style*="ellipsis"] { white-space: normal !important; max-width: none !important; }
/* On a phone, the list of tables is above the page, and wide tables scroll. */
@media (max-width: 768px) {
  .app { min-width: 0 !important; flex-direction: column !important; }
  .app-menu { width: 100% !important; min-width: 0 !important; }
  .app-menu { flex-basis: 30% !important; }
  .app-content { min-height: 0; }
  .app-pad { padding: 10px !important; }
  .app-content table { display: block; overflow-x: auto; }
  td { padding: 5px !important; }
  td[style*="ellipsis"] { min-width: 14em; }
}
</style>
"""
# In the page, the overview is text in JSON.
_TITLE = r"# DeFtunes lakehouse\n"
_CARDS = "*`make docs` writes the cards here.*"


def styled(page: str, built_at: datetime, cards: str) -> str:
    """Return dbt's page with a style of our own; date and cards in the overview.

    Args:
        page: `static_index.html`, as dbt has written it.
        built_at: a time with a zone.
        cards: the model cards, as Markdown.

    Raises:
        ValueError: dbt writes its page in another form than expected.

    """
    date = f"{_TITLE}\\n*Built on {built_at:%Y-%m-%d at %H:%M %Z}.*\\n"
    # Nothing in it may end the script that the JSON is in.
    text = json.dumps(cards)[1:-1].replace("</", r"<\/")
    for mark, instead in (
        ("</head>", f"{_STYLE}</head>"),
        (_TITLE, date),
        (_CARDS, text),
    ):
        if mark not in page:
            raise ValueError(f"dbt's page has no {mark!r}.")
        page = page.replace(mark, instead, 1)
    return page


def main() -> int:
    """Rewrite the page and return the exit code."""
    settings = Settings.from_environment()
    page = settings.dbt_target / "static_index.html"
    manifest = json.loads((settings.dbt_target / "manifest.json").read_text("utf-8"))
    cards = model_cards(manifest, settings.serving / "deftunes.duckdb")
    now = datetime.now(timezone.utc)
    page.write_text(styled(page.read_text("utf-8"), now, cards), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
