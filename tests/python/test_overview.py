"""The overview of the docs and ARCHITECTURE.md describe what exists."""

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dbt.task.docs
import pytest
from conftest import Lakehouse
from deftunes.landing.rates import SHIPPED
from deftunes.metrics import query_sql
from deftunes.settings import PROJECT
from fill_overview import OVERVIEW, PICTURES, fill
from style_docs import styled

SVG = {"svg": "http://www.w3.org/2000/svg"}
TABLES = ["dim_artists", "dim_date", "dim_songs", "dim_users"]
FACTS = ["fact_order_items", "fact_orders", "fact_sessions"]

Manifest = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def overview() -> str:
    return OVERVIEW.read_text("utf-8")


@pytest.fixture(scope="module")
def star() -> ElementTree.Element:
    return ElementTree.parse(PICTURES / "star.svg").getroot()  # noqa: S314  our own


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what dbt has parsed."""
    lakehouse = Lakehouse(tmp_path_factory.mktemp("docs"), "", SHIPPED)
    kept = {"DEFTUNES_WITHOUT_ML": "", "DBT_WRITE_JSON": "true"}
    done = lakehouse.dbt("parse", environment=kept)
    assert done.returncode == 0, done.stdout
    return lakehouse.home / "target"


@pytest.fixture(scope="module")
def manifest(target: Path) -> Manifest:
    """Return dbt's manifest of the project."""
    known: Manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    return known


@pytest.fixture(scope="module")
def semantics(target: Path) -> Path:
    """Return the file that MetricFlow reads."""
    return target / "semantic_manifest.json"


def test_the_overview_is_filled_with_pictures_and_metrics_as_they_are(
    overview: str, manifest: Manifest, semantics: Path
) -> None:
    assert fill(overview, semantics) == overview, (
        "run `make docs` and commit models/overview.md"
    )
    for picture in PICTURES.glob("*.svg"):
        assert f"][{picture.stem}]\n" in overview
        assert f"\n[{picture.stem}]: data:image/svg+xml;base64," in overview
    for metric in manifest["metrics"].values():
        assert f" `{metric['name']}` | {metric['description']} | " in overview
    for name in ("song__decade", "artist__hotness_band", "user__place_name"):
        assert f"| `{name}` | " in overview


def test_filling_replaces_what_is_not_as_its_file(
    overview: str, semantics: Path
) -> None:
    stale = re.sub(r"base64,\S*", "base64,b2xk", overview)
    stale = re.sub(r"Rule: .* \|", "Rule: another. |", stale)
    stale = re.sub(
        r"^\| `song__release_year`.*", "| `song__old` | a | b |", stale, flags=re.M
    )
    assert stale != overview
    assert fill(stale, semantics) == overview


@pytest.mark.parametrize("page", ["README.md", "models/overview.md"])
def test_every_example_of_mf_is_a_valid_query(page: str, semantics: Path) -> None:
    """Rows have an order, unless there is only one."""
    text = (PROJECT / page).read_text("utf-8")
    examples = re.findall(r"\bmf query (--[^`\n]*)", text)
    assert examples
    for example in examples:
        given = dict(re.findall(r"--([a-z-]+) ([^-\s]\S*|-\w\S*)", example))
        saved = given.get("saved-query")
        assert saved or "order" in given or "group-by" not in given, example
        names = {
            name: given[option].split(",") if option in given else None
            for name, option in (
                ("metric_names", "metrics"),
                ("group_by_names", "group-by"),
                ("order_by_names", "order"),
            )
        }
        if saved or given.get("metrics"):
            assert query_sql(semantics, saved_query_name=saved, **names)


def test_saved_queries_have_an_order(manifest: Manifest) -> None:
    for query in manifest["saved_queries"].values():
        assert query["query_params"]["order_by"], query["name"]


def test_tables_have_the_names_that_analysts_type(
    overview: str, manifest: Manifest
) -> None:
    told = overview.partition("## How to read the layers")[0]
    links = dict(re.findall(r"\[([\w.]+)\]\(#!/model/(model\.deftunes\.\w+)\)", told))
    published = {"marts", "reports", "ml", "quality"}
    for text, node in links.items():
        model = manifest["nodes"][node]
        if model["schema"] in published:
            assert text == f"{model['schema']}.{model['name']}"


def test_every_link_leads_to_a_page(overview: str, manifest: Manifest) -> None:
    links = re.findall(r"\]\(([^)]*)\)", overview)
    pages = {
        f"#!/{kind}/{name}"
        for section in manifest.values()
        for name, node in section.items()
        if isinstance(node, dict) and (kind := node.get("resource_type"))
    }
    assert links
    for link in links:
        page, _, graph = link.partition("?")
        assert page in pages | {"#!/overview"}, link
        assert re.fullmatch(r"(g_v=1(&g_i=(%2B)?\w+(%2B)?)?)?", graph), link


def test_every_word_metric_and_reader_is_linked(
    overview: str, manifest: Manifest
) -> None:
    words = re.findall(r"^\| \*\*[^*]*\*\* \|.*$", overview, re.MULTILINE)
    glossary = [word for word in words if "](#!/" in word]
    assert glossary == words
    assert len(glossary) > len(TABLES + FACTS)
    for kind in ("metrics", "exposures", "saved_queries"):
        for name in manifest[kind]:
            assert f"/{name})" in overview, name


@pytest.mark.parametrize("table", TABLES + FACTS)
def test_the_star_shows_the_columns_that_the_tables_have(
    table: str, star: ElementTree.Element, manifest: Manifest
) -> None:
    shown = [
        column
        for line in star.iterfind(f".//svg:g[@id='{table}']/svg:text", SVG)
        if "column" in line.get("class", "")
        for column in (line.text or "").split(", ")
    ]
    columns = manifest["nodes"][f"model.deftunes.{table}"]["columns"]
    assert sorted(shown) == sorted(name for name in columns if not name.startswith("_"))


def test_the_star_draws_the_relations_that_dbt_tests(
    star: ElementTree.Element, manifest: Manifest
) -> None:
    tested: dict[str, set[tuple[str, ...]]] = {}
    for node in manifest["nodes"].values():
        if node.get("test_metadata") and node["attached_node"]:
            of = f"{node['attached_node'].split('.')[-1]}.{node['column_name']}"
            asked = node["test_metadata"]["kwargs"]
            to = re.findall(r"\w+", asked.get("to", ""))[1:]
            related = (of, f"{to[0]}.{asked['field']}") if to else (of,)
            tested.setdefault(node["test_metadata"]["name"], set()).add(related)
    drawn = {
        (line.attrib["data-from"], line.attrib["data-to"])
        for line in star.iterfind("svg:path[@data-from]", SVG)
    }
    tables = {*TABLES, *FACTS}
    assert drawn == {
        (of, to)
        for of, to in tested["relationships"]
        if {of.split(".")[0], to.split(".")[0]} <= tables
    }
    # Exactly one, at the end of each line.
    enforced = {
        (f"{node['name']}.{column['name']}",)
        for node in manifest["nodes"].values()
        for column in node["columns"].values()
        if "not_null" in {one["type"] for one in column.get("constraints", ())}
    }
    several = {
        (f"{node['attached_node'].split('.')[-1]}.{column}",)
        for node in manifest["nodes"].values()
        if node.get("test_metadata", {}).get("name") == "columns_not_null"
        for column in node["test_metadata"]["kwargs"]["column_list"]
    }
    assert {(of,) for of, _ in drawn} <= tested["not_null"] | several | enforced
    assert {(to,) for _, to in drawn} <= tested["unique"]


def test_the_tests_that_keep_the_promises_exist(overview: str) -> None:
    promised = overview.partition("## What is promised")[2]
    promises = re.split(r"^\d\. ", promised, flags=re.MULTILINE)[1:]
    python = "".join(path.read_text() for path in PROJECT.glob("tests/python/*.py"))
    there = set(re.findall(r"^def (test_\w+)", python, re.MULTILINE))
    for promise in promises:
        named = set(re.findall(r"`(test_\w+)`", promise))
        assert named
        assert named <= there
    assert len(promises) == 6


def test_every_truth_of_the_pipeline_keeps_a_promise(overview: str) -> None:
    promised = overview.partition("## What is promised")[2]
    truths = {path.stem for path in PROJECT.glob("tests/assert_*.sql")}
    assert truths
    assert truths == set(re.findall(r"\[(assert_\w+)\]", promised))


def test_the_page_on_architecture_names_what_is_there() -> None:
    page = (PROJECT / "ARCHITECTURE.md").read_text("utf-8")
    paths = set(re.findall(r"`((?:macros|scripts)/[\w./]*)`", page))
    assert len(paths) > 15
    assert {path for path in paths if not (PROJECT / path).exists()} == set()
    folders = {
        f"{path.relative_to(PROJECT)}/"
        for room in ("macros/*", "scripts/*", "scripts/deftunes/*")
        for path in PROJECT.glob(room)
        if path.is_dir() and path.name != "__pycache__"
    }
    assert folders <= paths
    assert "(ARCHITECTURE.md)" in (PROJECT / "README.md").read_text("utf-8")


def test_the_docs_page_says_when_it_was_built_and_hides_nothing(overview: str) -> None:
    page = (Path(dbt.task.docs.__file__).parent / "index.html").read_text("utf-8")
    page += json.dumps(overview)
    cards = 'It says "</script>".\n'
    made = styled(page, datetime(2024, 2, 29, 6, 5, tzinfo=timezone.utc), cards)
    assert made.count("</script>") == page.count("</script>")
    assert r"\n\nIt says \"<\/script>\".\n\n\n## How" in made
    assert r"# DeFtunes lakehouse\n\n*Built on 2024-02-29 at 06:05 UTC.*\n" in made
    assert made.index("<style>") < made.index("</head>")
    # What the style changes is in dbt's page.
    assert "text-overflow: ellipsis; overflow-x: hidden; white-space: nowrap" in page
    assert 'class="table-responsive"' in page
    assert "min-width:960px" in page
    with pytest.raises(ValueError, match="dbt's page"):
        styled(overview, datetime.now(timezone.utc), "")
