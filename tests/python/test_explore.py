"""The boards with filters, served to a browser while the publications change."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import pytest
import requests
from conftest import Demonstration
from deftunes.dashboard import ANALYST, MADE_UP
from deftunes.landing.zone import DEMO_MARKER
from deftunes.settings import PROJECT

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
REQUIREMENTS = Path(__file__).parent / "browser" / "requirements.txt"

SALES = """
select price_usd, currency, date, country_name, artist_name
from marts.fact_order_items
inner join marts.dim_users using (user_key)
inner join marts.dim_artists using (artist_key)
inner join marts.dim_date using (date_key)
"""


@dataclass(frozen=True)
class Explorer:
    """The boards of a home, served.

    Attributes:
        home: has two publications, as a build leaves them.
        url: where the server is.

    """

    home: Path
    url: str

    def publish(self, name: str) -> None:
        """Switch the link to a publication, as a build does."""
        link = self.home / "serving" / "next"
        link.symlink_to(f"publications/{name}")
        link.replace(self.home / "serving" / "current")

    def board(self, name: str, **filters: str) -> str:
        """Return the text of a board with these filters."""
        answer = requests.get(f"{self.url}/{name}", filters, timeout=120)
        assert answer.ok, answer.text
        return text(answer.text)

    def follow(self, name: str, wanted: str) -> tuple[str, str]:
        """Follow the first link of a board with a filter; return its path and text."""
        page = requests.get(f"{self.url}/{name}", timeout=120).text
        links = re.findall(r'href="(/[^"]*)"', page)
        link = next(unescape(link) for link in links if f"{wanted}&" in unescape(link))
        answer = requests.get(self.url + link, timeout=120)
        assert answer.ok, answer.text
        return link.partition("?")[0], text(answer.text)


def text(html: str) -> str:
    """Return the text of a page, its parts separated by one space."""
    visible = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(visible))


@pytest.fixture(scope="module")
def explorer(
    demonstration: Demonstration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Explorer]:
    """Serve the demo's analysts' database; another publication lacks purchases."""
    home = tmp_path_factory.mktemp("explore")
    (home / "landing").mkdir()
    (home / "landing" / DEMO_MARKER).touch()
    for name in ("whole", "part"):
        copied = home / "serving" / "publications" / name / ANALYST
        copied.parent.mkdir(parents=True)
        shutil.copyfile(demonstration.settings.serving / ANALYST, copied)
    with duckdb.connect(str(copied)) as part:
        part.execute("delete from marts.fact_order_items where currency <> 'USD'")
    (home / "serving" / "roles").symlink_to("current/roles")
    (home / "serving" / "current").symlink_to("publications/whole")
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, PROJECT / "scripts" / "explore.py", "--port=8660"],
            env=os.environ | {"DEFTUNES_HOME": str(home), "PYTHONUNBUFFERED": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        running = None
        while running is None:
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.5)
            running = re.search(r"running on (http://\S+)", (home / "log").read_text())
        yield Explorer(home, running[1])
    finally:
        server.terminate()
        server.wait(60)
    # Nothing listens any longer.
    with pytest.raises(requests.ConnectionError):
        requests.get(running[1], timeout=5)


@pytest.fixture
def reader(demonstration: Demonstration) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the analysts' published database, as a BI tool does."""
    published = demonstration.settings.serving / ANALYST
    with duckdb.connect(str(published), read_only=True) as held:
        yield held


@pytest.fixture(scope="module")
def page(explorer: Explorer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Open the sales board in a headless Chromium that Playwright drives."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium or Chrome")
    folder = tmp_path_factory.mktemp("playwright")
    uv = Path(sys.executable).with_name("uv")
    installed = subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--system-certs"),
            *("--target", folder, "-r", REQUIREMENTS),
        ],
        check=False,
    )
    if installed.returncode:
        pytest.skip("Playwright cannot be installed")
    sys.path.append(str(folder))
    try:
        with import_module("playwright.sync_api").sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
            opened = browser.new_page()
            opened.set_default_timeout(120_000)
            opened.goto(f"{explorer.url}/sales")
            yield opened
            browser.close()
    finally:
        sys.path.remove(str(folder))


def figures(reader: duckdb.DuckDBPyConnection, condition: str) -> str:
    """Return the begin of two tiles of the sales board, by SQL of its own."""
    ((revenue, items),) = (
        reader.sql(SALES)
        .filter(condition)
        .aggregate("coalesce(sum(price_usd), 0)::decimal(18, 0)::bigint, count(*)")
        .fetchall()
    )
    return rf" \$ {revenue:,d} Revenue, .* {items:,d} Songs Bought, "


@pytest.mark.parametrize(
    ("filters", "condition", "period"),
    [
        ({"period": "Last 7 days"}, "date > '2023-02-21'", "22 Feb to 28 Feb 2023"),
        ({"period": "All days"}, "true", "1 Jan to 28 Feb 2023"),
        (
            {"from_date": "2023-01-10", "to_date": "2023-01-20"},
            "date between '2023-01-10' and '2023-01-20'",
            "10 Jan to 20 Jan 2023",
        ),
        ({"country": "Japan"}, "country_name = 'Japan'", "1 Jan to 28 Feb 2023"),
        ({"currency": "EUR"}, "currency = 'EUR'", "1 Jan to 28 Feb 2023"),
        (
            {"artist": "THE"},
            "artist_name ilike '%the%'",
            "1 Jan to 28 Feb 2023",
        ),
    ],
)
def test_a_filter_gives_the_figures_of_the_star(
    explorer: Explorer,
    reader: duckdb.DuckDBPyConnection,
    filters: dict[str, str],
    condition: str,
    period: str,
) -> None:
    sales = explorer.board("sales", **filters)
    assert f" Revenue, {period} " in sales
    assert re.search(figures(reader, condition), sales)
    assert MADE_UP.strip("* ") in sales


def test_a_change_is_that_from_as_many_days_before(
    explorer: Explorer, reader: duckdb.DuckDBPyConnection
) -> None:
    ((change,),) = reader.execute(
        "select format('{:+.1f}%', 100.0 * (count(*) filter (date > '2023-02-21')"
        " / count(*) filter (date <= '2023-02-21') - 1))"
        " from marts.fact_order_items inner join marts.dim_date using (date_key)"
        " where date > '2023-02-14'"
    ).fetchall()
    sales = explorer.board("sales", period="Last 7 days")
    bought = re.search(r"Songs Bought, 22 Feb to 28 Feb 2023 (\S+)", sales)
    assert bought is not None
    assert bought[1].replace("\N{MINUS SIGN}", "-") == change


@pytest.mark.parametrize("name", ["sales", "songs_and_artists", "buyers"])
def test_filters_that_nothing_matches_say_so(explorer: Explorer, name: str) -> None:
    empty = explorer.board(name, artist="nobody is called that")
    assert " No purchase matches these filters. " in empty
    whole = explorer.board(name)
    assert "No purchase" not in whole
    # What is not filtered has no period.
    assert " to 28 Feb 2023 " not in empty
    assert " to 28 Feb 2023 " in whole


def test_a_view_shows_the_newest_publication(
    explorer: Explorer, reader: duckdb.DuckDBPyConnection
) -> None:
    assert re.search(figures(reader, "true"), explorer.board("sales"))
    explorer.publish("part")
    assert re.search(figures(reader, "currency = 'USD'"), explorer.board("sales"))
    explorer.publish("whole")
    assert re.search(figures(reader, "true"), explorer.board("sales"))


def test_a_click_filters_a_board(
    page: Any,  # noqa: ANN401  Playwright is not installed where mypy runs
    explorer: Explorer,
    reader: duckdb.DuckDBPyConnection,
) -> None:
    ((country,),) = reader.execute(
        "select min(country_name) from reports.sales_per_country_mv"
    ).fetchall()
    page.goto(f"{explorer.url}/sales")

    choose(page, "Country", country)
    page.wait_for_url("**country=**")
    wait_for(page, figures(reader, f"country_name = '{country}'"))

    choose(page, "Period", "Last 28 days")
    page.wait_for_url("**period=**")
    recent = f"country_name = '{country}' and date > '2023-01-31'"
    wait_for(page, figures(reader, recent))


@pytest.fixture
def best_selling(reader: duckdb.DuckDBPyConnection) -> tuple[str, list[str], str]:
    """Return the artist with most revenue, three of their songs, and the country."""
    ((artist, country),) = reader.execute(
        "select (select artist_name from reports.sales_per_artist_mv group by all"
        " order by sum(revenue_usd) desc limit 1),"
        " (select country_name from reports.sales_per_country_mv group by all"
        " order by sum(revenue_usd) desc limit 1)"
    ).fetchall()
    songs = reader.execute(
        "select song_title from reports.sales_per_song_mv where artist_name = ?"
        " and song_title <> '' order by revenue_usd desc limit 3",
        [artist],
    ).fetchall()
    return artist, [song for (song,) in songs], country


def test_a_link_leads_from_an_artist_to_their_songs_and_from_a_country_to_its_months(
    explorer: Explorer,
    reader: duckdb.DuckDBPyConnection,
    best_selling: tuple[str, list[str], str],
) -> None:
    artist, songs, country = best_selling
    path, shown = explorer.follow("sales", f"artist={quote(artist)}")
    assert path == "/songs_and_artists"
    assert [song for song in songs if song not in shown] == []

    path, shown = explorer.follow("buyers", f"country={quote(country)}")
    assert path == "/sales"
    assert re.search(figures(reader, f"country_name = '{country}'"), shown)
    assert re.search(r"Months .* Feb 2023 .* Jan 2023", shown)


# In the short mode, the test above follows the same links without a browser.
@pytest.mark.usefixtures("long_mode")
def test_a_click_leads_from_an_artist_to_their_songs_and_from_a_country_to_its_months(
    page: Any,  # noqa: ANN401  Playwright is not installed where mypy runs
    explorer: Explorer,
    reader: duckdb.DuckDBPyConnection,
    best_selling: tuple[str, list[str], str],
) -> None:
    artist, songs, country = best_selling
    page.goto(f"{explorer.url}/sales")
    page.locator(f"a[href*='artist={quote(artist)}&']").first.dispatch_event("click")
    page.wait_for_url("**/songs_and_artists**artist=**")
    for song in songs:
        wait_for(page, re.escape(song))

    page.goto(f"{explorer.url}/buyers")
    page.locator(f"a[href*='country={quote(country)}&']").first.dispatch_event("click")
    page.wait_for_url("**/sales**country=**")
    wait_for(page, figures(reader, f"country_name = '{country}'"))
    wait_for(page, r"Months .* Feb 2023 .* Jan 2023")


def choose(page: Any, label: str, option: str) -> None:  # noqa: ANN401  as above
    """Choose a value of a filter with the mouse and the keyboard."""
    page.wait_for_load_state("load")
    control = page.get_by_role("combobox", name=label, exact=True)
    value = page.locator(f".dbt-select-option[data-value='{option}']:visible")

    def is_open() -> bool:
        control.focus()
        control.press("Enter")
        page.wait_for_timeout(300)
        return bool(value.count())

    retry(is_open)
    value.click()
    page.keyboard.press("Escape")


def wait_for(page: Any, pattern: str) -> None:  # noqa: ANN401  as above
    """Wait until the page's text contains a pattern."""
    retry(lambda: re.search(pattern, text(page.content())) is not None)


def retry(is_done: Callable[[], bool]) -> None:
    """Wait until something is so, for two minutes at most."""
    end = time.monotonic() + 120
    while not is_done():
        assert time.monotonic() < end
        time.sleep(0.3)
