"""What each role gets, what a rollback restores, and what upkeep does not change."""

import json
import os
import re
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import WITHOUT_TESTS, Lakehouse
from dbt_process import fork
from deftunes.dbt_plugin.publications import RECORD
from deftunes.settings import PROJECT
from demo_sources.generator import Generator
from test_pipeline import commits

DAYS = [date(2023, 3, number) for number in (1, 3, 5)]
SHOP: Any = {"seed": 5, "items": 400, "start": DAYS[0], "end": DAYS[-1], "damage": 0.02}
ROLES = ("analyst", "finance", "marketing")

Tables = dict[str, list[Any]]


@dataclass(frozen=True)
class Shop:
    """A lakehouse whose databases are written without compression.

    Attributes:
        lakehouse: the lakehouse.
        profiles: the folder of a profile that says so.

    """

    lakehouse: Lakehouse
    profiles: Path

    @property
    def serving(self) -> Path:
        """Return the folder of the published files."""
        return self.lakehouse.home / "serving"

    @property
    def publications(self) -> Path:
        """Return the folder of the publications."""
        return self.serving / "publications"

    def start(self, *arguments: str) -> Any:  # noqa: ANN401 - a process
        """Start dbt."""
        profile = f"--profiles-dir={self.profiles}"
        command = self.lakehouse.command(*arguments, profile)[1:]
        return fork(command, self.lakehouse.environment(), self.said)

    @property
    def said(self) -> Path:
        """Return the file for dbt's output."""
        return self.lakehouse.home.parent / "said.log"

    def dbt(self, *arguments: str) -> str:
        """Run dbt, check that it passes, and return its output."""
        process = self.start(*arguments)
        process.join(timeout=900)
        said = self.said.read_text()
        assert process.exitcode == 0, said
        return said

    def publish(self, *arguments: str) -> str:
        """Publish the current lake."""
        return self.dbt(
            *("run-operation", "publish_lake", "--args", "{passed: 7, warned: 1}"),
            *arguments,
        )

    def rollback(self) -> str:
        """Roll back."""
        return self.dbt("run-operation", "rollback")

    def tables(self, form: str = "deftunes.duckdb") -> Tables:
        """Return the rows of all tables and views of a published file."""
        with opened(self.serving / form) as connection:
            return rows_of(connection)


@contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a published database or catalogue read-only."""
    with duckdb.connect() as connection:
        kind = "ducklake:" if path.suffix == ".ducklake" else ""
        connection.load_extension("ducklake")
        connection.execute(f"attach '{kind}{path}' as published (read_only)")
        connection.execute("use published.marts")
        yield connection


def rows_of(connection: duckdb.DuckDBPyConnection) -> Tables:
    """Return the rows of all tables and views, by name."""
    names = connection.execute(
        "select schema_name || '.' || table_name from duckdb_tables()"
        " where database_name = 'published' union all"
        " select schema_name || '.' || view_name from duckdb_views()"
        " where database_name = 'published' and not internal order by all"
    ).fetchall()
    return {
        name: connection.sql(f"from published.{name} order by all").fetchall()
        for (name,) in names
    }


def uncompressed(folder: Path) -> Path:
    """Write profiles with which DuckDB does not compress, and return their folder."""
    profile = (PROJECT / "profiles.yml").read_text()
    setting = "TimeZone: UTC"
    assert setting in profile
    (folder / "profiles.yml").write_text(
        profile.replace(
            setting, f"{setting}\n          force_compression: uncompressed"
        )
    )
    return folder


@pytest.fixture(scope="module")
def shop(
    lakehouses: Callable[[Path], Lakehouse],
    rates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Shop:
    """Publish twice; the second publication has more rows."""
    profiles = uncompressed(tmp_path_factory.mktemp("profiles"))
    shop = Shop(lakehouses(rates), profiles)
    generator = Generator(**SHOP)
    for start, end in pairwise(DAYS):
        shop.lakehouse.land(generator, generator.song_tables(), start, end)
        shop.dbt("build", *WITHOUT_TESTS)
        assert "Published" in shop.publish()
    return shop


# Who sees what


@dataclass(frozen=True)
class Secrets:
    """What a file may not hold, as bytes.

    Attributes:
        names: the names of people, also of those whose record was rejected.
        places: the places they live at.
        coordinates: the latitudes of some who stand one after the other.
        money: the prices in dollars of some purchases, likewise.
        records: the rejected records.

    """

    names: set[bytes]
    places: set[bytes]
    coordinates: set[bytes]
    money: set[bytes]
    records: set[bytes]


@pytest.fixture(scope="module")
def secrets(shop: Shop) -> Secrets:
    """Return the secrets of the shop."""
    return secrets_of(shop.serving)


def secrets_of(serving: Path) -> Secrets:
    """Return the secrets, without texts that also occur in a song or a time zone."""
    with opened(serving / "deftunes.duckdb") as connection:

        def texts(query: str) -> set[bytes]:
            rows = connection.execute(query).fetchall()
            found = {text for row in rows for text in row if text}
            return {text.encode() for text in found if len(text) > 5}

        def stored(query: str, form: str) -> set[bytes]:
            values = [int(value) for (value,) in connection.execute(query).fetchall()]
            return {
                struct.pack(f"<8{form}", *values[place : place + 8])
                for place in range(0, len(values) - 8, 8)
            }

        innocent = b"\n".join(
            texts("select song_title, release from dim_songs")
            | texts("select artist_name from dim_artists")
            | texts("select distinct timezone || ' ' || country_name from dim_users")
        )

        def telling(query: str) -> set[bytes]:
            return {text for text in texts(query) if text not in innocent}

        return Secrets(
            telling(
                "select user_name, user_lastname from dim_users union all"
                " select payload ->> 'user_name', payload ->> 'user_lastname'"
                " from published.quality.rejected_records"
            ),
            telling("select place_name from dim_users"),
            stored(
                "select latitude * 1000000 from dim_users where latitude is not null",
                "i",
            ),
            stored("select price_usd * 1000000 from fact_order_items", "q"),
            texts("select payload from published.quality.rejected_records"),
        )


def held(path: Path, secrets: set[bytes]) -> set[bytes]:
    """Return the secrets that a file contains."""
    content = path.read_bytes()
    return {secret for secret in secrets if secret in content}


SEEN = {
    "analyst": {"money"},
    "finance": {"money"},
    "marketing": {"names", "places"},
}


@pytest.mark.parametrize("role", SEEN)
def test_a_role_gets_what_it_may_see_and_no_byte_of_anything_else(
    shop: Shop, secrets: Secrets, role: str
) -> None:
    check_the_bytes_of(role, shop.serving, secrets)


def check_the_bytes_of(role: str, serving: Path, secrets: Secrets) -> None:
    """Check that a role's file holds what the role may see, and no other secret."""
    for name, texts in vars(secrets).items():
        assert len(texts) > 2
        assert held(serving / "deftunes.duckdb", texts) == texts, name
        found = held(serving / "roles" / f"{role}.duckdb", texts)
        assert found == (texts if name in SEEN[role] else set()), name


def test_an_analyst_sees_the_region_only(shop: Shop) -> None:
    query = "select user_key, {0}, {1} from dim_users order by all"
    with opened(shop.serving / "deftunes.duckdb") as connection:
        exact = connection.execute(query.format("round(latitude)", "round(longitude)"))
        expected = exact.fetchall()
    with opened(shop.serving / "roles" / "analyst.duckdb") as connection:
        assert (
            connection.execute(query.format("latitude", "longitude")).fetchall()
            == expected
        )
        (comment,) = connection.execute(
            "select comment from duckdb_columns() where column_name = 'latitude'"
        ).fetchone() or [None]
    assert comment == "Degrees north. Rounded to a whole number."


def test_what_holds_everything_is_for_the_team_alone(shop: Shop) -> None:
    def mode(name: str) -> int:
        return stat.S_IMODE((shop.serving / name).stat().st_mode)

    assert mode("deftunes.duckdb") == mode("deftunes.ducklake") == 0o600
    for role in ROLES:
        assert mode(f"roles/{role}.duckdb") == 0o640
    for path in (shop.lakehouse.home / "lake", shop.lakehouse.home / "landing"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o750


def test_the_documented_connection_reads_what_it_may_and_nothing_else(
    shop: Shop,
) -> None:
    readme = (PROJECT / "README.md").read_text()
    settings = re.findall(r"\bset \w+ = \w+", readme)
    assert len(settings) == 2
    path = shop.serving / "roles" / "analyst.duckdb"
    with duckdb.connect(str(path), read_only=True) as connection:
        for setting in settings:
            connection.execute(setting)
        assert connection.table("marts.fact_order_items").limit(1).fetchall()
        for forbidden in (
            "drop table marts.fact_order_items",
            f"from read_text('{PROJECT / 'README.md'}')",
            f"attach '{shop.serving / 'deftunes.duckdb'}'",
            "set enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(forbidden)


# When, what, and back again


def publications(shop: Shop) -> list[tuple[Any, ...]]:
    """Return the rows of `quality.publications`."""
    with shop.lakehouse.lake() as connection:
        return connection.execute(
            "select is_rollback, snapshot_id, passed_count, warned_count,"
            " publication_id from quality.publications order by publication_id"
        ).fetchall()


def test_each_form_holds_the_same_and_says_what_it_is(shop: Shop) -> None:
    copy, catalogue = shop.tables(), shop.tables("deftunes.ducklake")
    assert copy == catalogue
    known = publications(shop)
    assert len(copy["quality.publications"]) == len(known)
    assert (shop.serving / "current").readlink().name == known[-1][-1]
    assert {row[:1] + row[2:4] for row in known} == {(False, 7, 1)}
    with shop.lakehouse.lake() as connection:
        for (*_, at, _, _, _), count in zip(known, (0, 1), strict=True):
            assert connection.execute(
                f"select count(*) from quality.publications at (version => {at})"  # noqa: S608
            ).fetchall() == [(count,)]
    for role in ROLES:
        seen = shop.tables(f"roles/{role}.duckdb")
        assert len(seen["marts.fact_order_items"]) == len(
            copy["marts.fact_order_items"]
        )
        assert "quality.rejected_records" not in seen


def test_with_nothing_new_nothing_is_published(shop: Shop) -> None:
    # As after upkeep has forgotten the snapshot of their last refresh.
    with shop.lakehouse.writing() as lake:
        lake.execute("update lake.operations.materialized_views set snapshot_id = 0")
    assert "recomputed" in shop.dbt("run-operation", "refresh_materialized_views")
    before, current = commits(shop.lakehouse), (shop.serving / "current").readlink()
    assert "Nothing new to publish" in shop.publish()
    assert commits(shop.lakehouse) == before
    assert (shop.serving / "current").readlink() == current


def test_a_rollback_brings_everything_back_and_the_next_one_undoes_it(
    shop: Shop,
) -> None:
    forms = (
        "deftunes.duckdb",
        "deftunes.ducklake",
        *(f"roles/{r}.duckdb" for r in ROLES),
    )
    new = {form: shop.tables(form) for form in forms}
    # The clock was ahead when the first one was published.
    with shop.lakehouse.writing() as lake:
        lake.execute(
            "update lake.quality.publications"
            " set published_at = published_at + interval 1 year"
            " where publication_id ="
            " (select min(publication_id) from lake.quality.publications)"
        )
    shop.rollback()
    old = {form: shop.tables(form) for form in forms}
    for form in forms:
        name = "marts.fact_order_items"
        assert 0 < len(old[form][name]) < len(new[form][name])
        # It is as it was, the table of publications too.
        assert len(old[form]["quality.publications"]) == 1
    assert "Nothing new to publish" in shop.publish()
    shop.rollback()
    assert {form: shop.tables(form) for form in forms} == new
    known = publications(shop)
    assert [row[0] for row in known] == [False, False, True, True]
    assert [row[1] for row in known[2:]] == [row[1] for row in known[:2]]
    assert len([*shop.publications.iterdir()]) == 2


def test_upkeep_leaves_what_publications_name(shop: Shop) -> None:
    published = shop.tables("deftunes.ducklake")
    with shop.lakehouse.writing() as lake:
        # Every file is replaced while publishing lags.
        tables = lake.execute(
            "select concat(schema_name, '.', table_name) from duckdb_tables()"
        ).fetchall()
        for name in published:
            if (name,) in tables:
                lake.execute(f"create temporary table held as from lake.{name}")
                lake.execute(f"truncate lake.{name}")
                lake.execute(f"insert into lake.{name} from held")
                lake.execute("drop table held")
    with opened(shop.serving / "deftunes.ducklake") as reader:
        reader.table("dim_date").fetchall()
        shop.dbt("run-operation", "upkeep", "--vars", "{retention_days: 0}")
        assert rows_of(reader) == published
    assert shop.tables("deftunes.ducklake") == published
    shop.rollback()
    assert shop.tables("deftunes.ducklake") == shop.tables() != published
    shop.rollback()
    assert shop.tables("deftunes.ducklake") == published


def test_upkeep_leaves_the_last_snapshot_of_each_day(shop: Shop) -> None:
    ids = "select snapshot_id from ducklake_snapshots('lake') order by all"
    count = "select count(*) from lake.marts.fact_order_items at (version => {})"
    # The last two publications are kept.
    states = []
    for _ in "abcd":
        with shop.lakehouse.writing() as lake:
            held = [id for (id,) in lake.execute(ids).fetchall()]
            states.append((held[-1], lake.execute(count.format(held[-1])).fetchall()))
        publish_changes(shop, MORE_FACTS)
    states = states[:2]
    with closing(
        sqlite3.connect(shop.lakehouse.home / "lake" / "catalog.sqlite")
    ) as catalogue:
        for age, (last, _) in zip((8, 9), reversed(states), strict=True):
            moment = datetime.now(timezone.utc) - timedelta(days=age)
            catalogue.execute(
                "update ducklake_snapshot set snapshot_time = ? where snapshot_id <= ?",
                [f"{moment:%Y-%m-%d %H:%M:%S+00}", last],
            )
        catalogue.commit()
    shop.dbt("run-operation", "upkeep")
    with shop.lakehouse.writing() as lake:
        left = [id for (id,) in lake.execute(ids).fetchall()]
        assert [id for id in left if id <= states[1][0]] == [id for id, _ in states]
        assert {*held} - {*left} == {
            id for id in held if id < states[1][0] and id != states[0][0]
        }
        for id, counted in states:
            assert lake.execute(count.format(id)).fetchall() == counted
    published = shop.tables("deftunes.ducklake")
    assert published == shop.tables()


# Only what has changed is written

FORMS = ("deftunes.duckdb", *(f"roles/{role}.duckdb" for role in ROLES))
MORE_FACTS = (
    "insert into lake.marts.fact_order_items select * replace (uuid() as fact_key)"
    " from lake.marts.fact_order_items order by all limit 3"
)
ONE_MORE_SONG = (
    "insert into lake.reports.sales_per_song_mv"
    " from lake.reports.sales_per_song_mv order by all limit 1"
)
# What lies behind the free space keeps DuckDB from cutting it off.
MOSTLY_FREE = (
    "create table junk as select hash(range) as noise from range(6000000); checkpoint;"
    " create table kept as select hash(range) as noise from range(100000); checkpoint;"
    " drop table junk; checkpoint"
)


def publish_changes(shop: Shop, *changes: str) -> tuple[str, dict[str, dict[str, str]]]:
    """Change the lake, and publish it.

    Returns:
        Why all was written anew, if it was; and what became of each table of each file.

    """
    with shop.lakehouse.writing() as lake:
        for change in changes:
            lake.execute(change)
    said = shop.publish("--log-level", "debug")
    assert shop.tables() == shop.tables("deftunes.ducklake")
    found: dict[str, dict[str, str]] = {}
    for file, way, names in re.findall(r"(\S+\.duckdb), ([a-z ]+): (.*)", said):
        found.setdefault(file, {}).update(
            {name.removeprefix("lake."): way for name in names.split(", ")}
        )
    return "".join(re.findall("All tables are rewritten: (.*)", said)), found


def test_files_that_keep_losing_rows_are_written_anew(shop: Shop) -> None:
    more = (
        "insert into lake.marts.dim_artists"
        " select distinct on (artist_key) * from lake.marts.dim_artists"
        " order by artist_key limit 3"
    )
    lost = (
        "delete from lake.marts.dim_artists where artist_key ="
        " (select min(artist_key) from lake.marts.dim_artists)"
    )

    def files_with_lost_rows() -> int:
        with shop.lakehouse.lake() as lake:
            ((count,),) = lake.execute(
                "select delete_file_count from ducklake_table_info('lake')"
                " where table_name = 'dim_artists'"
            ).fetchall()
            return int(count)

    publish_changes(shop, *[more] * 11, lost)
    assert files_with_lost_rows() == 12
    publish_changes(shop, *[more] * 2, lost)
    assert files_with_lost_rows() == 0
    assert publish_changes(shop) == ("", {})


def test_what_has_changed_is_published_as_if_all_were_written_anew(shop: Shop) -> None:
    publish_changes(shop, MORE_FACTS)
    reason, done = publish_changes(
        shop,
        MORE_FACTS,
        "update lake.marts.fact_order_items set liked_since = null, price_usd = 7"
        " where session_id = (select max(session_id) from lake.marts.fact_order_items)",
        "delete from lake.marts.fact_order_items"
        " where session_id = (select min(session_id) from lake.marts.fact_order_items)",
        "update lake.marts.dim_users set latitude = 12.34, place_name = 'Elsewhere'"
        " where user_id = (select max(user_id) from lake.marts.dim_users)",
        ONE_MORE_SONG,
        ONE_MORE_SONG,
    )
    assert not reason
    assert {*done} == {*FORMS}
    for tables in done.values():
        assert {
            "marts.fact_order_items": "updated",
            "marts.dim_users": "updated",
            "reports.sales_per_song_mv": "updated",
            "marts.dim_songs": "unchanged",
            "marts.dim_date": "unchanged",
            "reports.revenue_per_day_vw": "rewritten",
        }.items() <= tables.items()
    # Of three rows that are the same two go; of a table most rows change.
    reason, done = publish_changes(
        shop,
        "create temporary table one as select distinct * from ("
        " from lake.reports.sales_per_song_mv order by all limit 1)",
        "delete from lake.reports.sales_per_song_mv"
        " where song_key = (select song_key from one)",
        "insert into lake.reports.sales_per_song_mv from one",
        "update lake.marts.dim_users set longitude = null, latitude = null"
        " where user_id = (select min(user_id) from lake.marts.dim_users)",
        "update lake.marts.dim_artists set artist_hotness = 0.5",
    )
    assert not reason
    for tables in done.values():
        assert tables["reports.sales_per_song_mv"] == "updated"
        assert tables["marts.dim_users"] == "updated"
        assert tables["marts.dim_artists"] == "rewritten"
    # What was there before is in other files by now.
    reason, done = publish_changes(
        shop,
        "delete from lake.marts.fact_order_items"
        " where session_id = (select min(session_id) from lake.marts.fact_order_items)",
        "call ducklake_rewrite_data_files('lake', delete_threshold => 0)",
        MORE_FACTS,
    )
    assert not reason
    for tables in done.values():
        assert tables["marts.fact_order_items"] == "updated"
        assert tables["marts.dim_songs"] == "unchanged"
    reason, done = publish_changes(
        shop, "call ducklake_merge_adjacent_files('lake')", MORE_FACTS
    )
    assert not reason
    for tables in done.values():
        assert tables["marts.fact_order_items"] == "rewritten"
        assert tables["marts.dim_songs"] == "unchanged"
    # The one after that starts from before it.
    publish_changes(shop, MORE_FACTS)
    reason, done = publish_changes(
        shop,
        MORE_FACTS,
        "update lake.marts.dim_users set longitude = 1, latitude = 2"
        " where user_id = (select min(user_id) from lake.marts.dim_users)",
    )
    assert not reason
    for tables in done.values():
        assert tables["marts.fact_order_items"] == "updated"
        assert tables["marts.dim_users"] == "updated"
    published = {form: shop.tables(form) for form in FORMS}
    described = {form: comments(shop, form) for form in FORMS}
    # What is rolled back to is written anew from its catalogue.
    shop.rollback()
    shop.rollback()
    assert {form: shop.tables(form) for form in FORMS} == published
    assert {form: comments(shop, form) for form in FORMS} == described


def comments(shop: Shop, form: str) -> list[Any]:
    """Return names, types and comments of all tables and columns of a file."""
    with opened(shop.serving / form) as connection:
        return connection.execute(
            "select schema_name, table_name, '', '', comment from duckdb_tables()"
            " union all select schema_name, table_name, column_name, data_type, comment"
            " from duckdb_columns() where database_name = 'published' order by all"
        ).fetchall()


def test_in_doubt_all_is_written_anew(shop: Shop) -> None:
    for _ in "ab":
        shop.rollback()
    reason, _ = publish_changes(shop, MORE_FACTS)
    assert reason == "a rollback is published"

    reason, _ = publish_changes(
        shop,
        "create or replace table lake.marts.dim_date as from lake.marts.dim_date",
    )
    assert reason == "lake.marts.dim_date was altered or replaced"

    with shop.lakehouse.writing() as lake:
        lake.execute(MORE_FACTS)
        (between,) = lake.execute(
            "select id from ducklake_current_snapshot('lake')"
        ).fetchone() or [None]
    expire = "call ducklake_expire_snapshots('lake', {})".format
    reason, _ = publish_changes(shop, MORE_FACTS, expire(f"versions => [{between}]"))
    assert reason == "a snapshot since then has expired"

    reason, _ = publish_changes(shop, MORE_FACTS, expire("older_than => 'infinity'"))
    assert reason.startswith("no earlier publication has the same definition")


def databases(shop: Shop) -> dict[str, dict[str, int]]:
    """Return the inodes of the databases of each publication."""
    return {
        folder.name: {form: (folder / form).stat().st_ino for form in FORMS}
        for folder in shop.publications.iterdir()
    }


def test_the_databases_of_the_publication_before_the_last_are_brought_up_to_date(
    shop: Shop,
) -> None:
    publish_changes(shop, MORE_FACTS)
    publish_changes(shop, MORE_FACTS)
    before = databases(shop)
    last = (shop.serving / "current").readlink().name
    (older,) = before.keys() - {last}
    reason, done = publish_changes(shop, MORE_FACTS)
    assert not reason
    for tables in done.values():
        assert tables["marts.fact_order_items"] == "updated"
        assert tables["marts.dim_songs"] == "unchanged"
    after = databases(shop)
    assert after[(shop.serving / "current").readlink().name] == before[older]
    assert after[last] == before[last]


def test_whoever_still_reads_an_older_publication_keeps_it(shop: Shop) -> None:
    publish_changes(shop, MORE_FACTS)
    with opened((shop.serving / "roles" / "finance.duckdb").resolve()) as reader:
        held = rows_of(reader)
        publish_changes(shop, MORE_FACTS)
        before = databases(shop)
        reason, done = publish_changes(shop, MORE_FACTS)
        assert not reason
        assert rows_of(reader) == held
    assert done["roles/finance.duckdb"]["marts.dim_songs"] == "unchanged"
    inodes = {inode for forms in before.values() for inode in forms.values()}
    current = databases(shop)[(shop.serving / "current").readlink().name]
    assert not inodes & {*current.values()}


def test_a_file_that_is_no_use_is_written_anew(shop: Shop) -> None:
    publish_changes(shop, MORE_FACTS)
    last = (shop.serving / "current").readlink().name
    (older,) = databases(shop).keys() - {last}
    with duckdb.connect(str(shop.publications / older / FORMS[1])) as connection:
        connection.execute("create table mine as select 'is not published'")
    sizes = {form: (shop.serving / form).stat().st_size for form in FORMS}
    copy, analyst, finance, marketing = (
        (shop.serving / form).resolve() for form in FORMS
    )
    with duckdb.connect(str(copy)) as connection:
        connection.execute(MOSTLY_FREE)
    hide_writing(copy)
    assert copy.stat().st_size > 3 * sizes[FORMS[0]]
    with duckdb.connect(str(analyst)) as connection:
        connection.execute("create table mine as select 'is not published'")
    finance.unlink()
    # What should not happen: somebody has written, and nobody can tell.
    with duckdb.connect(str(marketing)) as connection:
        connection.execute("delete from marts.dim_date where month = 2")
        connection.execute("delete from marts.fact_order_items")
    hide_writing(marketing)

    reason, done = publish_changes(shop, MORE_FACTS)
    assert not reason
    for form in FORMS[:3]:
        assert {*done[form].values()} == {"rewritten"}
        assert (shop.serving / form).stat().st_size < 2 * sizes[form]
        assert not {"main.mine", "main.kept"} & {*shop.tables(form)}
    seen = done["roles/marketing.duckdb"]
    assert seen["marts.dim_songs"] == "unchanged"
    assert seen["marts.dim_date"] == seen["marts.fact_order_items"] == "rewritten"
    for name in ("marts.dim_date", "marts.fact_order_items"):
        assert len(shop.tables("roles/marketing.duckdb")[name]) == len(
            shop.tables()[name]
        )


def hide_writing(path: Path) -> None:
    """Restore a file's recorded modification time, to hide a change."""
    (file,) = (folder / RECORD for folder in path.parents if (folder / RECORD).exists())
    held, record = path.stat(), json.loads(file.read_text())
    record[str(path.relative_to(file.parent))] = [held.st_size, held.st_mtime_ns]
    file.write_text(json.dumps(record))


# Damage


def test_what_is_damaged_is_published_again_and_not_rolled_back_to(shop: Shop) -> None:
    before = {form: shop.tables(form) for form in FORMS}
    for folder in shop.publications.iterdir():
        shutil.rmtree(folder)
    said = shop.publish()
    assert "Publishing again: " in said
    assert before.keys() == {form for form in FORMS if shop.tables(form)}
    publish_changes(shop, MORE_FACTS)
    last = (shop.serving / "current").readlink().name
    (older,) = databases(shop).keys() - {last}
    truncated = shop.publications / older / "deftunes.ducklake"
    os.truncate(truncated, 12_000)
    (shop.serving / FORMS[1]).unlink()

    process = shop.start("run-operation", "rollback")
    process.join(timeout=900)
    refusal = shop.said.read_text()
    assert process.exitcode == 1
    assert f"There is nothing to roll back to: {truncated} was changed" in refusal
    assert "Traceback" not in refusal

    missing = shop.publications / last / FORMS[1]
    said = shop.publish()
    assert f"Publishing again: {missing} is missing." in said
    assert shop.tables(FORMS[1])["marts.dim_date"] == shop.tables()["marts.dim_date"]
    assert "Nothing new to publish" in shop.publish()


# Kills

_READER = """
import json, select, sys, duckdb
paths, seen, errors = sys.argv[1:], [], []
while not select.select([sys.stdin], [], [], 0.01)[0]:
    for path in paths:
        try:
            with duckdb.connect() as connection:
                connection.load_extension("ducklake")
                connection.execute(f"attach '{path}' as published (read_only)")
                found = connection.execute(
                    "select (select count(*) from published.marts.fact_order_items),"
                    " (select sum(item_count)::int"
                    " from published.reports.revenue_per_day_vw),"
                    " (select max(publication_id) from published.quality.publications)"
                ).fetchone()
        except duckdb.Error as error:
            errors.append(str(error))
        else:
            seen.append(found)
print(json.dumps([seen, errors]))
"""


@contextmanager
def reading(shop: Shop) -> Iterator[list[Any]]:
    """Open and query all published files while the block runs; yield what was read."""
    found: list[Any] = []
    with subprocess.Popen(
        [
            *(
                sys.executable,
                "-c",
                _READER,
                f"ducklake:{shop.serving}/deftunes.ducklake",
            ),
            *(
                f"{shop.serving}/{name}.duckdb"
                for name in ("deftunes", "roles/analyst")
            ),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield found
        said, _ = process.communicate(timeout=60)
    found += json.loads(said)


MOMENTS: dict[str, Callable[[Shop], bool]] = {
    "begun": lambda shop: (shop.publications / ".begun").exists(),
    "catalogue": lambda shop: any(shop.publications.glob(".building/*.ducklake")),
    "last file": lambda shop: any(
        shop.publications.glob(".building/*/marketing.duckdb")
    ),
    "renamed": lambda shop: len([*shop.publications.glob("[!.]*")]) > 2,
}


@pytest.mark.usefixtures("long_mode")
def test_a_killed_publication_is_mended_by_the_same_command(
    shop: Shop, proven: dict[str, str]
) -> None:
    forms = ("deftunes.duckdb", "deftunes.ducklake", "roles/analyst.duckdb")
    killed = 0
    with reading(shop) as found:
        for name, has_come in MOMENTS.items():
            before, known = (shop.serving / "current").readlink(), publications(shop)
            versions = [shop.tables(form) for form in forms]
            process = shop.start("run-operation", "rollback")
            while process.is_alive() and not has_come(shop):
                time.sleep(0.001)
            process.kill()
            process.join()
            killed += process.exitcode == -9
            if (shop.serving / "current").readlink() == before:
                assert [shop.tables(form) for form in forms] == versions, name
            shop.rollback()
            current = (shop.serving / "current").readlink()
            assert current != before
            assert [shop.tables(form) for form in forms] != versions, name
            assert [row[-1] for row in publications(shop)] == [
                *(row[-1] for row in known),
                current.name,
            ]
            assert {path.name for path in shop.publications.iterdir()} == {
                current.name,
                before.name,
            }
    seen, errors = found
    assert not errors
    assert all(facts == reported > 0 for facts, reported, _ in seen)
    assert killed
    proven["kills of publications that were mended"] = f"{killed}"
    proven["times a reader opened a published form meanwhile"] = (
        f"{len(seen):,}, no error, no mix"
    )


def test_without_the_copy_the_catalogue_and_the_roles_are_published(shop: Shop) -> None:
    said = shop.publish("--vars", "{publish_copy: false}", "--log-level", "debug")
    assert "All tables are rewritten: no earlier publication has the same" in said
    assert f"Published {shop.serving / 'deftunes.ducklake'}" in said
    assert not (shop.serving / "deftunes.duckdb").is_symlink()
    assert {*shop.tables("deftunes.ducklake")} > {*shop.tables("roles/analyst.duckdb")}


def test_a_column_that_has_no_class_is_in_no_file_of_a_role(shop: Shop) -> None:
    with shop.lakehouse.writing() as lake:
        lake.execute("alter table lake.marts.dim_songs add column thoughtless integer")
    shop.publish()
    for form in FORMS:
        with opened(shop.serving / form) as connection:
            columns = connection.table("dim_songs").columns
        assert "song_title" in columns
        assert ("thoughtless" in columns) == (form == FORMS[0])


def test_a_lakehouse_that_was_moved_is_published_where_it_is(shop: Shop) -> None:
    home = shop.lakehouse.home
    moved = replace(shop.lakehouse, home=home.rename(home.with_name("moved")))
    there = replace(shop, lakehouse=moved)
    reason, done = publish_changes(there)
    assert "no earlier publication has the same definition" in reason
    assert {*done} == {*FORMS}
    assert publish_changes(there) == ("", {})
    # The publication before that names the place where the files were.
    there.rollback()
    frozen = there.tables("deftunes.ducklake")
    assert there.tables()["marts.dim_songs"] == frozen["marts.dim_songs"]
