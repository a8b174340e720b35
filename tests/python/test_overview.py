"""The docs' overview says and shows what is there."""

import re
from xml.etree import ElementTree

import pytest
import yaml  # type: ignore[import-untyped]
from deftunes.settings import PROJECT
from embed_pictures import OVERVIEW, PICTURES, embed

SVG = {"svg": "http://www.w3.org/2000/svg"}
STAR = ["dim_artists", "dim_date", "dim_songs", "dim_users", "fact_order_items"]


@pytest.fixture(scope="module")
def overview() -> str:
    return OVERVIEW.read_text("utf-8")


def test_the_overview_embeds_the_pictures_as_they_are(overview: str) -> None:
    assert embed(overview) == overview, "run `make docs` and commit models/overview.md"
    for picture in PICTURES.glob("*.svg"):
        assert f"][{picture.stem}]\n" in overview
        assert f"\n[{picture.stem}]: data:image/svg+xml;base64," in overview


def test_embedding_replaces_a_picture_that_is_not_as_its_file(overview: str) -> None:
    assert embed(re.sub(r"base64,\S*", "base64,b2xk", overview)) == overview


@pytest.mark.parametrize("table", STAR)
def test_the_star_shows_the_columns_that_the_tables_have(table: str) -> None:
    picture = ElementTree.parse(PICTURES / "star.svg")  # noqa: S314  our own file
    shown = [
        column
        for line in picture.iterfind(f".//svg:g[@id='{table}']/svg:text", SVG)
        if "column" in line.get("class", "")
        for column in (line.text or "").split(", ")
    ]
    model = yaml.safe_load((PROJECT / f"models/marts/{table}.yml").read_text("utf-8"))
    columns = [column["name"] for column in model["models"][0]["columns"]]
    assert sorted(shown) == sorted(
        column for column in columns if not column.startswith("_")
    )


def test_the_tests_that_keep_the_promises_exist(overview: str) -> None:
    named = set(re.findall(r"`((?:test|assert)_\w+)`", overview)) - {"test_"}
    python = "".join(path.read_text() for path in PROJECT.glob("tests/python/*.py"))
    there = set(re.findall(r"^def (test_\w+)", python, re.MULTILINE)) | {
        path.stem for path in PROJECT.glob("tests/**/*.sql")
    }
    assert named
    assert named <= there
