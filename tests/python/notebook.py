"""Runs the cells of a notebook in this process, without a kernel of Jupyter."""

import ast
import json
from pathlib import Path
from typing import Any

from deftunes.settings import PROJECT

QUESTIONS = PROJECT / "analyses" / "questions.ipynb"


def cells(notebook: Path = QUESTIONS) -> dict[str, dict[str, Any]]:
    """Return the cells with code, by their ids."""
    parsed = json.loads(notebook.read_text("utf-8"))
    return {cell["id"]: cell for cell in parsed["cells"] if cell["cell_type"] == "code"}


def run(cell: dict[str, Any], variables: dict[str, Any]) -> Any:  # noqa: ANN401 - any
    """Run a cell and return the value that Jupyter would display.

    Args:
        cell: one of `cells`.
        variables: what earlier cells have defined; the cell's own are added.

    """
    source = "".join(cell["source"])
    body = ast.parse(source).body
    shown = ast.Expression(ast.Constant(None))
    if isinstance(body[-1], ast.Expr) and not source.endswith(";"):
        shown = ast.Expression(body.pop().value)  # type: ignore[attr-defined]
    ast.fix_missing_locations(shown)
    statements = compile(ast.Module(body, type_ignores=[]), cell["id"], "exec")
    exec(statements, variables)  # noqa: S102 - our own
    return eval(compile(shown, cell["id"], "eval"), variables)  # noqa: S307 - our own
