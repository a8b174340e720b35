"""SQL text for statements that take no parameters, such as ATTACH, COPY and views."""

from pathlib import Path


def literal(value: str | Path) -> str:
    """Return a text or path as a SQL string literal."""
    return "'" + str(value).replace("'", "''") + "'"
