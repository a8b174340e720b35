"""What a role's file reveals, and which leaks the linter finds before."""

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import ModuleType, SimpleNamespace
from typing import Any

import duckdb
import pytest
from conftest import Demonstration
from deftunes.settings import PROJECT

pytest.importorskip("dbt_bouncer")  # not on Python 3.10

PATH = PROJECT / "scripts" / "bouncer_checks" / "manifest" / "check_data_classes.py"
KEY_CLASSES = {"person", "record"}
LEAST = 5
HASHES = ("UBIGINT", "HUGEINT", "UHUGEINT", "UUID", "BLOB")
HASH = re.compile("[0-9a-f]{16}")

Models = dict[str, Any]


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """Import the module of the checks by its path, as dbt-bouncer does."""
    spec = importlib.util.spec_from_file_location("check_data_classes", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def compiled(demonstration: Demonstration) -> Models:
    """Return the models as the checks get them, with the SQL of a later build."""
    kept = {"DEFTUNES_WITHOUT_ML": "", "DBT_WRITE_JSON": "true"}
    done = demonstration.lakehouse.dbt(
        *("compile", "--select", "resource_type:model"), environment=kept
    )
    assert done.returncode == 0, done.stdout
    path = demonstration.lakehouse.home / "target" / "manifest.json"
    nodes = json.loads(path.read_text())["nodes"].values()

    def node(held: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(
            **{**held, "config": SimpleNamespace(meta=held["config"]["meta"])}
        )

    models = {}
    for held in nodes:
        if held["resource_type"] == "model":
            model = models[held["name"]] = node(held)
            model.depends_on = SimpleNamespace(**held["depends_on"])
            model.columns = {
                name: node(column) for name, column in held["columns"].items()
            }
    return models


@pytest.fixture
def models(compiled: Models) -> Models:
    """Return copies of the models, which tests may change."""
    return deepcopy(compiled)


def leaks(checks: ModuleType, models: Models) -> set[str]:
    """Return the names of the columns that lack a class of their sources."""
    found = checks.find_leaks(models.values(), KEY_CLASSES)
    return {line.split("`")[1] for line in found}


def test_nothing_that_is_published_lacks_a_class_of_what_it_is_made_of(
    checks: ModuleType, models: Models
) -> None:
    assert not leaks(checks, models)


@pytest.mark.parametrize(
    "name",
    [
        "ml_song_recommendations._profile_checksum",
        "ml_user_features._purchases_checksum",
        "ml_churn_scores.training_id",
        "top_songs_per_country_mv.song_rank",
        "sales_per_decade_vw.revenue_usd",
        "fact_order_items._batch_id",
    ],
)
def test_a_class_that_is_taken_away_is_missed(
    checks: ModuleType, models: Models, name: str
) -> None:
    model, column = name.split(".")
    models[model].columns[column].config.meta = {
        **models[model].columns[column].config.meta,
        "data_class": "general",
    }
    assert name in leaks(checks, models)


def test_a_class_that_is_called_harmless_needs_a_reason_for_each(
    checks: ModuleType, models: Models
) -> None:
    meta = models["ml_similar_songs"].columns["training_id"].config.meta
    meta |= {"data_class": "general", "declassified": {"record": "No hash."}}
    name = "ml_similar_songs.training_id"
    # Nothing says what a column of a Python model is made of: of all that it reads.
    assert name in leaks(checks, models)
    meta["derived_from"] = [
        "int_offered_trainings.training_id",
        "int_learned_purchases.buyer_index",
    ]
    assert name in leaks(checks, models)
    meta["declassified"]["person"] = "Not true, but said."
    assert name not in leaks(checks, models)
    meta["derived_from"] = ["int_learned_purchases.no_such_column"]
    assert "ml_similar_songs" in leaks(checks, models)


PRICES = {"lake.marts.sales": ["song", "price", "person"], "lake.marts.songs": ["song"]}


@pytest.mark.parametrize(
    ("query", "values", "rows"),
    [
        ("select hash(song, price) as x from sales", True, False),
        ("select min(price) as x from sales group by song", True, False),
        ("select rank() over (order by price) as x from sales", True, True),
        ("select song as x from sales", False, False),
        ("select count(*) as x from sales", False, False),
        ("select count(*) as x from sales where price > 5", False, True),
        ("select count(*) filter (where price > 5) as x from sales", True, False),
        ("select song as x from sales order by price", False, True),
        (
            "select song as x from sales group by song having max(price) > 5",
            False,
            True,
        ),
        (
            "select song as x from sales"
            " qualify row_number() over (partition by person order by price) = 1",
            False,
            True,
        ),
        (
            "select song as x, row_number() over (order by price) from sales",
            False,
            True,
        ),
        ("select x from (select *, price + 1 as x from sales)", True, False),
        (
            "with a as (select * from sales), b as (select * from a where price > 1)"
            " select count(*) as x from b",
            False,
            True,
        ),
        (
            "select song as x from songs union all"
            " select md5(cast(price as text)) from sales",
            True,
            False,
        ),
        ("select (select max(price) from sales) as x from songs", True, False),
        (
            "select songs.song as x from songs where song in"
            " (select s.song from sales as s where s.price > 5)",
            False,
            True,
        ),
        (
            "select songs.song as x from songs inner join sales"
            " on sales.price > 5 and songs.song = sales.song",
            False,
            True,
        ),
        ("select x from (select unnest([price]) as x from sales)", True, False),
        ("select x from sales, unnest([price]) as prices(x)", True, False),
    ],
)
def test_what_a_query_makes_of_a_column_is_found(
    checks: ModuleType, query: str, values: bool, rows: bool
) -> None:
    for name in ("sales", "songs"):
        query = re.sub(rf"(from|join) {name}\b", rf"\1 lake.marts.{name}", query)
    found = checks.column_origins(query, PRICES)["x"]
    price = ("lake.marts.sales", "price")
    assert (price in found.values, price in found.rows) == (values, rows)


def test_a_column_that_cannot_be_found_is_an_error(checks: ModuleType) -> None:
    with pytest.raises(ValueError, match="no_such"):
        checks.column_origins("select no_such as x from lake.marts.sales", PRICES)


def test_a_column_without_a_class_is_named() -> None:
    from dbt_bouncer.testing import check_fails, check_passes  # type: ignore

    columns: dict[str, Any] = {
        "song": {"name": "song", "config": {"meta": {"data_class": "general"}}}
    }
    where = {"custom_checks_dir": PATH.parents[1]}
    name = "check_columns_have_data_classes"
    check_passes(name, model={"columns": columns}, **where)
    columns["thoughtless"] = {"name": "thoughtless", "config": {"meta": {}}}
    check_fails(name, model={"columns": columns}, match="thoughtless", **where)


# The files themselves


@contextmanager
def opened(shown: Demonstration, role: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the file of a role; `deftunes` has everything."""
    name = "deftunes.duckdb" if role == "deftunes" else f"roles/{role}.duckdb"
    path = shown.lakehouse.home / "serving" / name
    with duckdb.connect(str(path), read_only=True) as connection:
        yield connection


def columns_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Return table, column and type of all columns of a file."""
    return connection.execute(
        "select schema_name || '.' || table_name, column_name, data_type"
        " from duckdb_columns() where not internal order by all"
    ).fetchall()


def guessed(connection: duckdb.DuckDBPyConnection) -> list[Any]:
    """Guess prices to the cent, and return those that a hash of the file confirms.

    Whoever has the file has the code too, which says how rows are hashed.
    """
    hashes = set()
    for table, column, kind in columns_of(connection):
        if kind in (*HASHES, "VARCHAR") or "DECIMAL" in kind:
            found = connection.sql(f"from {table}").select(
                duckdb.ColumnExpression(column)
            )
            hashes |= {str(value) for (value,) in found.distinct().fetchall()}
    guesses = connection.execute(
        """
        with

        single as (
            from marts.fact_order_items
            semi join (
                select person_key
                from marts.fact_order_items
                group by person_key
                having count(*) = 1
            ) using (person_key)
        ),

        guesses as (
            select
                single.*,
                cents / 100 as price,
                hash(
                    fact_key, song_key, person_key, artist_key,
                    cast(cents / 100 as decimal(18, 6)), liked, liked_since,
                    session_start_time, local_day_of_week, local_hour
                )::decimal(20, 0)::decimal(38, 0) as checksum
            from single, range(1, 3000) as guesses(cents)
            where currency = 'USD'
        )

        select
            fact_key,
            price,
            checksum::varchar,
            hash(
                checksum,
                country_code,
                (select max(as_of_date) from ml.ml_user_features)
            )::varchar,
            hash(checksum)::varchar
        from guesses
        inner join marts.dim_users using (user_key)
        """
    ).fetchall()
    assert len(guesses) >= 2 * 2_999
    return [guess for guess in guesses if hashes & {*guess[2:]}]


def test_no_price_is_guessed_from_a_file_without_money(
    demonstration: Demonstration,
) -> None:
    with opened(demonstration, "deftunes") as whole:
        assert guessed(whole)  # The attack is a good one.
    with opened(demonstration, "marketing") as connection:
        names = {name for _, name, _ in columns_of(connection)}
        assert not [name for name in names if "price" in name or "revenue" in name]
        assert not guessed(connection)


@pytest.mark.parametrize("role", ["analyst", "finance", "marketing"])
def test_the_only_hashes_of_a_role_are_keys_made_of_ids(
    demonstration: Demonstration, role: str
) -> None:
    with opened(demonstration, role) as connection:
        hashes = set()
        for table, column, kind in columns_of(connection):
            found = connection.sql(f"from {table}").select(
                duckdb.ColumnExpression(column)
            )
            is_text = kind.startswith("VARCHAR")
            if kind in HASHES or (
                is_text and HASH.search(str(found.distinct().fetchall()))
            ):
                hashes.add(column)
    ids = {
        *("fact_key", "song_key", "reason_song_key", "owned_song_key"),
        *("artist_key", "owned_artist_key", "favourite_artist_key"),
    }
    persons = {"user_key", "person_key"}
    # Of the code, and of who sees what.
    code = {"definition_version", "rules_version"}
    assert hashes <= ids | persons | code
    assert (persons <= hashes) == (role != "finance")


def test_a_role_without_persons_sees_no_row_of_few(
    demonstration: Demonstration,
) -> None:
    few = 0
    with (
        opened(demonstration, "finance") as seen,
        opened(demonstration, "deftunes") as whole,
    ):
        tables = {table for table, _, _ in columns_of(seen)}
        for table, count in (
            ("reports.buyer_cohorts_mv", "buyer_count"),
            ("reports.buyers_per_order_count_vw", "buyer_count"),
            ("reports.sales_per_month_vw", "buyer_count"),
            ("reports.retention_per_month_vw", "buyer_count"),
            ("reports.buyer_value_per_cohort_vw", "buyer_count"),
            ("reports.users_per_days_to_first_order_vw", "user_count"),
        ):
            shown, everything = (
                [
                    number
                    for (number,) in held.sql(f"from {table}").select(count).fetchall()
                ]
                for held in (seen, whole)
            )
            assert min(shown, default=LEAST) >= LEAST
            hidden = sum(everything) - sum(shown)
            assert not hidden or hidden >= LEAST or not shown
            few += any(number < LEAST for number in everything)
        persons = {
            *("ml.ml_churn_scores", "reports.top_songs_per_country_mv"),
            *("reports.revenue_per_order_type_vw", "reports.orders_per_month_mv"),
            "reports.sales_per_weekday_and_hour_mv",
        }
        users = seen.table("marts.dim_users").columns
        assert users == ["is_current", "has_known_country", "is_inferred"]
        assert few
        countries = whole.execute(
            """
            select country_name, month, year
            from marts.fact_order_items
            inner join marts.dim_users using (user_key)
            inner join marts.dim_date using (date_key)
            group by all
            having count(distinct marts.fact_order_items.person_key) >= $least
            order by all
            """,
            {"least": LEAST},
        ).fetchall()
        assert countries
        held = seen.sql("from reports.sales_per_country_mv order by all")
        assert held.select("country_name, month, year").fetchall() == countries
        assert not tables & persons
        # All sales are there, with no word of who bought.
        assert (
            seen.execute(
                "select count(*), sum(price_usd) from marts.fact_order_items"
            ).fetchall()
            == whole.execute(
                "select count(*), sum(price_usd) from marts.fact_order_items"
            ).fetchall()
        )
