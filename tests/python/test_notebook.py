"""The notebook runs against what the demo has published."""

from typing import Any

import notebook
import pytest
from conftest import Demonstration
from deftunes.settings import PROJECT

PNG = b"\x89PNG"


def test_no_outputs_are_committed() -> None:
    for cell in notebook.cells().values():
        assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]


def test_every_cell_runs_and_draws(
    demonstration: Demonstration, monkeypatch: pytest.MonkeyPatch
) -> None:
    lakehouse = demonstration.lakehouse
    monkeypatch.setenv("DEFTUNES_HOME", str(lakehouse.home))
    monkeypatch.setenv("DBT_TARGET_PATH", str(lakehouse.home / "target"))
    monkeypatch.chdir(PROJECT / "analyses")
    variables: dict[str, Any] = {}
    shown = {
        name: notebook.run(cell, variables) for name, cell in notebook.cells().items()
    }
    charts = {name for name in shown if hasattr(shown[name], "to_dict")}
    assert len(charts) >= 5
    for name in charts:
        picture, _ = shown[name]._repr_mimebundle_()
        assert picture["image/png"].startswith(PNG), name
    assert shown["metric-query"].columns[0] == "artist__hotness_band"
    ((revenue,),) = lakehouse.published(
        "select sum(price_usd)::double from marts.fact_order_items"
    )
    rows = shown["metric-query"].fetchall()
    assert float(sum(row[1] for row in rows)) == pytest.approx(revenue)
    assert sum(variables["features"]["revenue_usd"].to_pylist()) == pytest.approx(
        revenue
    )
