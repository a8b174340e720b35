"""Make dbt's docs page easier to read: `python scripts/style_docs.py`.

dbt's own page shows only the beginning of a column's description, needs a wide screen,
and does not say when it was built. `make docs` runs this after `dbt docs generate`.
"""

import sys
from datetime import datetime, timezone

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


def styled(page: str, built_at: datetime) -> str:
    """Return dbt's page with a style of our own, and the date in the overview.

    Args:
        page: `static_index.html`, as dbt has written it.
        built_at: a time with a zone.

    Raises:
        ValueError: dbt writes its page in another form than expected.

    """
    if "</head>" not in page or _TITLE not in page:
        raise ValueError("dbt's page has no head, or not the title of the overview.")
    date = f"{_TITLE}\\n*Built on {built_at:%Y-%m-%d at %H:%M %Z}.*\\n"
    return page.replace("</head>", f"{_STYLE}</head>", 1).replace(_TITLE, date)


def main() -> int:
    """Rewrite the page and return the exit code."""
    page = Settings.from_environment().dbt_target / "static_index.html"
    now = datetime.now(timezone.utc)
    page.write_text(styled(page.read_text("utf-8"), now), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
