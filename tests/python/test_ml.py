"""The models for machine learning: what they know, how good they are, what they say."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import altair
import duckdb
import features
import notebook
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner
from conftest import WITHOUT_TESTS, Lakehouse
from deftunes.export import ExportError
from deftunes.features import export_features
from deftunes.landing.rates import SHIPPED
from deftunes.ml import churn, recommendations
from deftunes.ml.evaluations import (
    NOTHING_BOUGHT,
    Evaluation,
    Figure,
    Metrics,
    Training,
    compare,
    evaluations_table,
    trainings_of,
)
from deftunes.ml.model_cards import model_cards
from deftunes.privacy.erasure_registry import PSEUDONYM
from deftunes.settings import PROJECT, Settings
from demo_sources.generator import Generator
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

HORIZON = 90
_DRIFT = "assert_churn_inputs_are_stable"
_SOME_DAY = "2000-01-03"
"""The as-of date that models are compiled for; each star puts its own in its place."""

START, END = date(2023, 1, 1), date(2024, 1, 1)
SCORING = date(2023, 12, 25)
"""The Monday of the last week of what is bought in between."""

# What the star makes of the API's answers, as far as the models look.
_STAR = """
    create table items as
    select distinct on (fact_key)
        md5(concat_ws(' ', session_id, number))::uuid as fact_key,
        md5(item.song_id)::uuid as song_key,
        user_id::uuid as person_key,
        user_id::uuid as user_key,
        md5(item.artist_id)::uuid as artist_key,
        session_id,
        item.price::decimal(18, 6) as price_usd,
        item.liked as liked,
        item.liked_since::timestamp as liked_since,
        start as session_start_time,
        isodow(start)::integer as local_day_of_week,
        hour(start)::integer as local_hour,
        item
    from (
        select
            user_id,
            session_id,
            session_start_time::timestamp as start,
            unnest(session_items) as item,
            generate_subscripts(session_items, 1) as number
        from sessions
    );
    create table songs as
    select
        song_key,
        artist_key,
        any_value(item.artist_id) as artist_id,
        any_value(item.song_name) as song_title,
        any_value(item.song_name) <> '' as has_title
    from items
    group by all;
    create table artists as
    select
        artist_key,
        any_value(item.artist_name) as artist_name,
        any_value(item.artist_id) as artist_id
    from items
    group by artist_key;
    create table users as
    select distinct on (user_id)
        user_id,
        user_id::uuid as person_key,
        user_id::uuid as user_key,
        user_location[4] as country_code,
        true as is_current
    from listed;
"""
_REPORTS = """
    create or replace table orders as
    select
        * exclude (
            fact_key, user_key, song_key, artist_key, price_usd, liked, liked_since,
            item
        ),
        count(*)::integer as item_count,
        sum(price_usd)::decimal(18, 6) as revenue_usd
    from items group by all;
    create or replace table sales as
    select song_key, count(*) as item_count from items group by song_key;
    create or replace table country_sales as
    select
        song_key,
        country_code,
        'the land of ' || country_code as country_name,
        count(*) as item_count
    from items inner join users using (person_key)
    group by song_key, country_code
    qualify
        row_number() over (
            partition by country_code order by item_count desc, song_key
        ) <= 10;
    create or replace table days as
    select
        strftime(session_start_time, '%Y%m%d')::integer as date_key,
        sum(hash(fact_key, liked, liked_since)::decimal(20, 0)) as items_checksum
    from items group by date_key;
    create or replace table purchases as
    select person_key, sum(hash(fact_key)::decimal(20, 0)) as items_checksum
    from items group by person_key;
"""


# What the models read of the star, and the table here that it is.
_READ = {
    "marts.fact_order_items": "items",
    "marts.fact_orders": "orders",
    "marts.dim_songs": "songs",
    "marts.dim_artists": "artists",
    "marts.dim_users": "users",
    "reports.sales_per_song_mv": "sales",
    "reports.top_songs_per_country_mv": "country_sales",
    "intermediate.int_purchases_per_day": "days",
    "intermediate.int_purchases_per_buyer": "purchases",
}
_COMPILED: dict[str, tuple[str, str]] = {}
"""By name: the relation of each model written in SQL, and its query."""


_MANIFEST: dict[str, Any] = {}
"""dbt's manifest."""


@pytest.fixture(scope="module", autouse=True)
def _compiled_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Have dbt compile the models of machine learning."""
    shop = Lakehouse(tmp_path_factory.mktemp("compiled") / "home", "", SHIPPED)
    done = shop.dbt(
        *("compile", "--select", "path:models/ml", _DRIFT),
        *("--vars", f"{{as_of_date: {_SOME_DAY}}}"),
        environment={"DEFTUNES_WITHOUT_ML": "", "DBT_WRITE_JSON": "true"},
    )
    assert done.returncode == 0, done.stdout
    manifest = shop.home / "target" / "manifest.json"
    _MANIFEST.update(json.loads(manifest.read_text("utf-8")))
    compiled = shop.home / "target" / "compiled" / "deftunes" / "models" / "ml"
    for path in compiled.rglob("*.sql"):
        schema = "intermediate" if path.stem.startswith("int_") else "ml"
        _COMPILED[path.stem] = (f"lake.{schema}.{path.stem}", path.read_text())
    tests = shop.home / "target" / "compiled" / "deftunes" / "tests"
    _COMPILED[_DRIFT] = ("memory.main.drift", (tests / f"{_DRIFT}.sql").read_text())


@dataclass(frozen=True)
class Star:
    """A star in memory, and the models over it."""

    connection: DuckDBPyConnection

    def __getattr__(self, name: str) -> DuckDBPyRelation:
        """Return a table."""
        return self.connection.table(name)

    def refresh(self) -> None:
        """Bring the reports up to date."""
        self.connection.execute(_REPORTS)

    def model(self, name: str) -> DuckDBPyRelation:
        """Return what a model holds."""
        return self.connection.table(_COMPILED[name][0])

    def build(self, as_of_date: date, *names: str) -> None:
        """Build models as of a date."""
        for name in names:
            relation, query = _COMPILED[name]
            query = query.replace(_SOME_DAY, str(as_of_date))
            self.connection.execute(f"create or replace table {relation} as {query}")

    def train(self, as_of_date: date) -> dict[str, Training]:
        """Build what models learn from, and return what they are to learn."""
        self.build(
            as_of_date,
            *("int_as_of_dates", "ml_user_features", "int_works"),
            *("int_purchased_works", "int_trainings", "ml_churn_examples"),
            *("int_churn_examples", "int_learned_purchases"),
        )
        return trainings_of(self.model("int_trainings"))

    def features(self, as_of_date: date) -> DuckDBPyRelation:
        """Describe the buyers, and leave out what says what they had bought."""
        self.build(as_of_date, "int_as_of_dates", "ml_user_features")
        columns = "columns(c -> c <> '_purchases_checksum')"
        return self.model("ml_user_features").select(columns).order("all")

    def evaluate_churn(self, as_of_date: date) -> Evaluation:
        """Train and measure the churn model."""
        training = self.train(as_of_date)[churn.MODEL_NAME]
        return churn.evaluate(self.model("int_churn_examples"), training, HORIZON)

    def evaluate_recommendations(self, as_of_date: date) -> Evaluation:
        """Train and measure the model of recommendations."""
        training = self.train(as_of_date)[recommendations.MODEL_NAME]
        purchases = self.model("int_learned_purchases")
        return recommendations.evaluate(purchases, training)

    def offer(self, evaluations: list[Evaluation]) -> None:
        """Store evaluations, and say what is offered by them."""
        self.hold("lake.ml.ml_model_evaluations", evaluations_table(evaluations))
        self.build(SCORING, "int_offered_trainings")

    def hold(self, relation: str, rows: Any) -> None:  # noqa: ANN401 - any relation
        """Store what Python has made as a model's table."""
        self.connection.execute(f"create or replace table {relation} as from rows")

    def recommend(self, as_of_date: date) -> list[tuple[Any, ...]]:
        """Recommend songs to all, though the model may be no good."""
        self.train(as_of_date)
        purchases = self.model("int_learned_purchases")
        similar = recommendations.similar_songs(self.connection, purchases, "one")
        self.hold("lake.ml.ml_similar_songs", similar)
        self.build(as_of_date, "int_user_profiles", "int_similar_works")
        self.hold(
            "lake.intermediate.int_song_rankings",
            recommendations.rankings(
                self.connection,
                self.model("int_user_profiles"),
                self.model("int_purchased_works"),
                self.model("int_similar_works"),
            ),
        )
        self.build(
            as_of_date,
            *("int_best_sellers", "int_song_candidates", "ml_song_recommendations"),
        )
        made = self.model("ml_song_recommendations")
        self.hold("made", made)
        return made.order("person_key, recommendation_rank").fetchall()


def star_of(users: pa.Table, sessions: Iterator[pa.Table] | list[pa.Table]) -> Star:
    """Make a star."""
    connection = duckdb.connect()
    connection.register("listed", users)
    connection.register("sessions", pa.concat_tables(list(sessions)))
    connection.execute(_STAR)
    star = Star(connection)
    star.refresh()
    connection.execute("attach ':memory:' as lake")
    for schema in ("marts", "intermediate", "reports", "ml"):
        connection.execute(f"create schema lake.{schema}")
    for relation, table in _READ.items():
        connection.execute(f"create view lake.{relation} as from memory.main.{table}")
    return star


def made_up(seed: int) -> tuple[Generator, Star]:
    generator = Generator(seed=seed, items=20_000, start=START, end=END)
    users = pa.concat_tables(list(generator.user_tables()))
    return generator, star_of(users, generator.session_tables())


@pytest.fixture(scope="module")
def demo_star() -> tuple[Generator, Star]:
    return made_up(seed=1)


def test_features_do_not_know_the_future() -> None:
    _, star = made_up(seed=2)
    day = date(2023, 10, 2)

    def checksum() -> Any:  # noqa: ANN401 - a row
        dates = star.model("int_as_of_dates").filter("date_role = 'scoring'")
        return dates.select("_purchases_checksum").fetchall()

    # Of some it is not known whether they are liked.
    star.connection.execute(
        "update items set liked = null, liked_since = null where local_hour % 5 = 1"
    )
    star.refresh()
    before, checksum_before = star.features(day).fetchall(), checksum()
    star.connection.execute(
        """
        delete from items
        where session_start_time >= '2023-10-02' and local_hour % 2 = 0;
        insert into items by name
        select * replace (
            uuid() as fact_key,
            'later ' || session_id as session_id,
            price_usd + 7 as price_usd,
            '2023-10-02'::timestamp as session_start_time
        )
        from items;
        """
    )
    star.refresh()
    assert star.features(day).fetchall() == before
    # Not even a checksum tells of it, so nothing is computed anew.
    assert checksum() == checksum_before
    # Likes of old purchases that come, or go, later.
    star.connection.execute(
        "update items set liked = true, liked_since = '2023-10-02'::timestamp"
        " where liked is distinct from true and local_hour % 3 = 0;"
        "update items set liked = false, liked_since = null"
        " where liked_since >= '2023-10-02' and local_hour % 3 = 1;"
        "update items set liked = null, liked_since = null"
        " where liked_since >= '2023-10-02' and local_hour % 3 = 2"
    )
    star.refresh()
    assert star.features(day).fetchall() == before
    star.connection.execute(
        "delete from items where session_start_time < '2023-10-02' and local_hour = 20"
    )
    star.refresh()
    assert star.features(day).fetchall() != before
    assert checksum() != checksum_before


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_churn_beats_its_baselines_and_finds_who_has_left(seed: int) -> None:
    generator, star = made_up(seed)
    evaluation = star.evaluate_churn(SCORING)
    assert evaluation.withheld_reason is None
    trained_on = SCORING - timedelta(days=182)
    assert evaluation.training_dates == (START, trained_on + timedelta(days=90))
    # What scores has learned from what the other is measured on, the newest there is.
    assert evaluation.offered_training_dates == (
        START,
        SCORING - timedelta(days=91) + timedelta(days=90),
    )
    assert evaluation.offered_training_count == evaluation.evaluation_count
    rows = evaluations_table([evaluation]).to_pylist()
    assert rows[0]["training_end_date"] < rows[0]["evaluation_start_date"]
    assert {
        row["metric_name"]: row["is_better"]
        for row in rows
        if row["baseline_name"] == "recency alone"
    } == {"roc_auc": True, "brier_score": True, "calibration_error": True}
    for row in rows:
        assert not row["is_worse"]
        for name in ("metric", "baseline"):
            assert row[f"{name}_low"] < row[f"{name}_value"] < row[f"{name}_high"]
        difference = row["metric_value"] - row["baseline_value"]
        assert row["difference_low"] < difference < row["difference_high"]
    # Who has left for good by the generator's hidden truth is found, too.
    star.offer([evaluation])
    star.build(SCORING, "ml_churn_scores")
    scores = star.model("ml_churn_scores")
    # All that was learned is applied.
    _, query = _COMPILED["ml_churn_scores"]
    assert {*re.findall(r"->> '(\w+)'", query)} == {*(evaluation.fitted or ())}
    assert scores.filter(f"as_of_date <> '{SCORING}'").fetchall() == []
    # Buyers long gone are told from active ones, and get no score.
    ((wrong,),) = star.connection.sql(
        f"""
        select count(*)
        from scores
        full join (
            select person_key, max(session_start_time) >= '{SCORING}'::date - {HORIZON}
                as bought_lately
            from items
            where session_start_time < '{SCORING}'
            group by person_key
        ) using (person_key)
        where
            is_active is distinct from bought_lately
            or is_active is distinct from (churn_probability is not null)
            or is_active is distinct from (reasons is not null)
        """  # noqa: S608 - no value of others
    ).fetchall()
    assert wrong == 0
    assert {*scores.select("is_active").fetchall()} == {(True,), (False,)}
    truth = generator.truth()  # noqa: F841
    found = star.connection.sql(
        """
        select
            coalesce(churn_probability, 1) as churn_probability,
            is_active,
            coalesce(truth.churned_on <= scores.as_of_date, false) as has_left
        from scores
        inner join truth on scores.person_key = truth.user_id::uuid
        """
    ).fetchnumpy()
    probabilities, active = found["churn_probability"], found["is_active"]
    assert 0 < probabilities.min() < probabilities[active].max() < 1
    assert roc_auc_score(found["has_left"], probabilities) > 0.8
    assert roc_auc_score(found["has_left"][active], probabilities[active]) > 0.7


def test_a_score_names_what_weighs_most(demo_star: tuple[Generator, Star]) -> None:
    _, star = demo_star
    star.offer([star.evaluate_churn(SCORING)])
    star.build(SCORING, "ml_churn_scores")
    scored = star.connection.sql(
        "select person_key, reasons, churn_probability, order_count_30_days,"
        " order_count from lake.ml.ml_churn_scores"
        " inner join lake.ml.ml_user_features using (person_key, as_of_date)"
        " where is_active"
    ).fetchall()
    average = np.mean([np.log(row[2] / (1 - row[2])) for row in scored])
    for _, reasons, probability, orders_30_days, orders in scored:
        amounts = [float(text) for text in re.findall(r"\(([+-]\d+\.\d\d)\)", reasons)]
        assert len(amounts) == 3
        assert [*map(abs, amounts)] == sorted(map(abs, amounts), reverse=True)
        # Three of six inputs: together they nearly make the distance to the average.
        distance = np.log(probability / (1 - probability)) - average
        assert abs(distance - sum(amounts)) < 3 * abs(amounts[-1]) + 0.02
        facts = dict(re.findall(r"([^;(]+): ([\d.]+) \(", reasons))
        for name, value in (("in 30 days", orders_30_days), ("so far", orders)):
            said = [text for fact, text in facts.items() if fact.endswith(name)]
            assert said in ([], [str(value)])


def test_buyers_unlike_those_learned_from_are_noticed() -> None:
    _, star = made_up(seed=1)
    star.offer([star.evaluate_churn(SCORING)])
    star.build(SCORING, "ml_churn_scores", _DRIFT)
    assert star.drift.fetchall() == []
    star.connection.execute(
        "update lake.ml.ml_user_features set order_count_30_days = 0,"
        " recency_days = recency_days + 45, tenure_days = tenure_days + 45"
        " where as_of_date = ?",
        [SCORING],
    )
    star.build(SCORING, "ml_churn_scores", _DRIFT)
    noticed = {name for (name,) in star.drift.select("input_name").fetchall()}
    assert "log_orders_30_days" in noticed
    # While nothing is scored there is nothing to warn of.
    star.connection.execute("delete from lake.ml.ml_churn_scores")
    star.build(SCORING, _DRIFT)
    assert star.drift.fetchall() == []


def test_what_cannot_be_measured_is_withheld_and_says_why() -> None:
    generator = Generator(seed=1, items=500, start=START, end=END)
    users = pa.concat_tables(list(generator.user_tables()))
    star = star_of(users, generator.session_tables())
    evaluations = [
        star.evaluate_churn(SCORING),
        star.evaluate_recommendations(SCORING),
    ]
    assert [evaluation.figures for evaluation in evaluations] == [[], []]
    rows = evaluations_table(evaluations).to_pylist()
    assert [row["is_better"] for row in rows] == [None, None]
    assert re.fullmatch(
        rf"too few active buyers: \d+ left and \d+ stayed in the 90 days from"
        rf" {SCORING - timedelta(days=182)}, and it takes 50 of each",
        rows[0]["withheld_reason"],
    )
    assert re.fullmatch(
        rf"too few buyers: \d\d? bought before {SCORING - timedelta(days=91)},"
        rf" and something new from then to {SCORING}; it takes 100",
        rows[1]["withheld_reason"],
    )
    star.offer(evaluations)
    assert star.model("int_offered_trainings").fetchall() == []
    star.build(SCORING, "ml_churn_scores")
    assert star.model("ml_churn_scores").fetchall() == []
    # Best-sellers are recommended all the same where nothing is learned.
    made = star.recommend(START)
    assert {row[1] for row in made} == set(range(1, 11))
    assert {(row[3], row[5]) for row in made} == {(None, None)}


def odd_star(number: int, songs: int, days: int) -> Star:
    """Return people who each buy the same songs, as far as there are any, on a day."""
    people = [f"00000000-0000-0000-0000-{person:012}" for person in range(number)]
    sessions = [
        {
            "user_id": person,
            "session_id": f"{person} {day}",
            "session_start_time": f"2023-{1 + day:02}-01T12:00:00",
            "session_items": [
                {
                    "song_id": f"{song}",
                    "song_name": "",
                    "artist_id": "A",
                    "artist_name": "A",
                    "price": 0.0,
                    "liked": None,
                    "liked_since": None,
                }
                for song in range(songs)
            ],
        }
        for person in people
        for day in range(days)
    ]
    table = pa.Table.from_pylist(sessions) if sessions else None
    if table is None or not songs:
        full = odd_star(1, 1, 1)
        full.connection.execute("delete from items; delete from songs")
        full.refresh()
        return full
    return star_of(
        pa.table(
            {"user_id": people, "user_location": [["", "", "", "SE", ""]] * number}
        ),
        [table],
    )


@pytest.mark.parametrize(
    ("number", "songs", "days"),
    [(1, 0, 0), (1, 5, 1), (1, 20, 9), (250, 1, 9), (250, 2, 1), (250, 5, 9)],
)
def test_odd_shops_withhold_models_and_break_none(
    number: int, songs: int, days: int
) -> None:
    star = odd_star(number, songs, days)
    day = date(2023, 1 + max(days, 1), 1)
    evaluations = [star.evaluate_churn(day), star.evaluate_recommendations(day)]
    for row in evaluations_table(evaluations).to_pylist():
        assert row["withheld_reason"]
        # A share, also where there are fewer songs than places.
        assert 0 <= (row["metric_value"] or 0) <= 1
        for name in ("metric", "baseline"):
            value, low = row[f"{name}_value"], row[f"{name}_low"]
            assert (value is None) == (low is None)
            assert value is None or 0 <= low <= value <= row[f"{name}_high"] <= 1
        if not songs:
            assert row["withheld_reason"] == NOTHING_BOUGHT
    made = star.recommend(day)
    owned = {(row[0], row[2]) for row in made} & set(
        star.items.select("person_key, song_key").fetchall()
    )
    assert not owned


def test_in_the_first_week_nothing_can_be_measured_and_best_sellers_are_offered() -> (
    None
):
    star = odd_star(1, 20, 1)
    star.connection.execute(
        "insert into users by name select * replace (uuid() as person_key) from users"
    )
    # A Sunday and the Monday before it.
    ((bought_at,),) = star.items.aggregate("min(session_start_time)").fetchall()
    day = bought_at.date() - timedelta(days=6)
    evaluations = [star.evaluate_churn(day), star.evaluate_recommendations(day)]
    assert [evaluation.withheld_reason for evaluation in evaluations] == [
        "too few active buyers: 0 left and 0 stayed in the 90 days from"
        f" {day - timedelta(days=182)}, and it takes 50 of each",
        f"too few buyers: 0 bought before {day - timedelta(days=91)},"
        f" and something new from then to {day}; it takes 100",
    ]
    assert len(star.recommend(day)) == 10


def test_what_is_worse_than_a_baseline_beyond_chance_is_withheld() -> None:
    def withheld_reason(
        *values: tuple[str, float, float], error: float = 0.02
    ) -> str | None:
        return Evaluation(
            training_id="an id",
            model_name="churn",
            figures=[
                Figure(metric, "recency alone", value, baseline, 0.1, 0.1, error)
                for metric, value, baseline in values
            ],
            training_dates=(START, END),
            evaluation_dates=(START, END),
            offered_training_dates=(START, END),
            training_count=1,
            evaluation_count=1,
            offered_training_count=1,
            parameters={},
        ).withheld_reason

    better = ("brier_score", 0.1, 0.2)
    for value in (0.8, 0.7, 0.67):
        assert withheld_reason(("roc_auc", value, 0.7), better) is None
    for value in (0.65, float("nan")):
        assert withheld_reason(("roc_auc", value, 0.7), better) == (
            f"no better than its baseline: roc_auc {value:.4f} against 0.7000"
            " (recency alone)"
        )
    assert withheld_reason(("brier_score", 0.25, 0.2), ("roc_auc", 0.8, 0.7)) == (
        "no better than its baseline: brier_score 0.2500 against 0.2000 (recency alone)"
    )
    # What is like its baseline by all metrics is of no use.
    assert str(withheld_reason(("roc_auc", 0.7, 0.7), error=0)).startswith(
        "no better than its baseline: roc_auc 0.7000 against 0.7000"
    )
    assert withheld_reason(better, ("calibration_error", 0.9, 0.1)) is None


def mean_of(values: Any) -> Metrics:  # noqa: ANN401 - an array
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_intervals_contain_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    found = {"value": 0, "difference": 0, "worse": 0}
    for _ in range(300):
        shared = rng.normal(size=200)
        model = shared + rng.normal(0.5, 0.3, size=200)
        baseline = shared + rng.normal(0.5, 0.3, size=200)
        (figure,) = compare(mean_of(model), {"another": mean_of(baseline)}, 200)
        found["value"] += abs(figure.value - 0.5) < 1.96 * figure.value_error
        difference = figure.value - figure.baseline_value
        found["difference"] += abs(difference) < 1.96 * figure.difference_error
        found["worse"] += figure.is_worse
        # What both have in common is no reason to doubt the difference.
        assert figure.difference_error < figure.value_error
    assert 270 < found["value"] < 300
    assert 270 < found["difference"] < 300
    assert 0 < found["worse"] < 20


def test_songs_drawn_without_taste_are_no_better_than_best_sellers() -> None:
    star = clique_star(people_count=250, circles=1, bought=6)
    # Half of what they buy is bought before the evaluation date.
    found = star.evaluate_recommendations(date(2023, 1, 6) + timedelta(days=91))
    assert found.evaluation_count > 200
    assert str(found.withheld_reason).startswith("no better than its baseline")


def test_a_training_is_told_by_what_it_learns_from() -> None:
    star = clique_star()
    day = date(2023, 2, 1)

    def training_ids() -> tuple[str, str]:
        star.refresh()
        trainings = star.train(day)
        return (
            trainings[churn.MODEL_NAME].training_id,
            trainings[recommendations.MODEL_NAME].training_id,
        )

    churn_id, songs_id = training_ids()
    assert churn_id != songs_id
    # Songs that nobody has bought, and what is bought from that day on, change nothing.
    star.connection.execute(
        "insert into songs select uuid(), * exclude (song_key) from songs;"
        "insert into items by name select * replace (uuid() as fact_key,"
        " '2023-02-01'::timestamp as session_start_time) from items limit 9"
    )
    assert training_ids() == (churn_id, songs_id)
    # Which songs are one work matters to recommendations.
    star.connection.execute(
        "update songs set song_title = 'Song 1' where song_title = 'Song 2'"
    )
    assert training_ids()[0] == churn_id
    other_songs_id = training_ids()[1]
    assert other_songs_id != songs_id
    # What was bought before, and the date, matter to both.
    star.connection.execute(
        "delete from items where fact_key = (select min(fact_key) from items)"
    )
    fewer = training_ids()
    day = date(2023, 3, 1)
    later = training_ids()
    assert len({churn_id, fewer[0], later[0]}) == 3
    assert len({other_songs_id, fewer[1], later[1]}) == 3


def test_recommendations_beat_popularity(demo_star: tuple[Generator, Star]) -> None:
    generator, star = demo_star
    before = SCORING
    evaluation = star.evaluate_recommendations(before)
    assert evaluation.withheld_reason is None
    assert evaluation.training_dates == (START, before - timedelta(days=91))
    assert evaluation.evaluation_dates == (before - timedelta(days=91), before)
    assert evaluation.offered_training_dates == (START, before)
    for figure in evaluation.figures:
        if figure.baseline_name == "popularity":
            assert figure.value > 2 * figure.baseline_value
        assert figure.metric_name != "hit_rate_at_10" or figure.is_better
    again = star.evaluate_recommendations(before)
    assert again.figures == evaluation.figures
    # They are of the genre that the buyer likes by the generator's hidden truth.
    star.recommend(before)
    truth, genres = generator.truth(), generator.genres()  # noqa: F841
    ((learned, everybody),) = star.connection.sql(
        """
        select
            avg((genres.genre = truth.genre)::integer) filter (where score is not null),
            (
                select avg((genres.genre = truth.genre)::integer)
                from songs
                inner join genres using (artist_id)
                cross join truth
            )
        from made
        inner join songs using (song_key)
        inner join genres using (artist_id)
        inner join truth on made.person_key = truth.user_id::uuid
        """
    ).fetchall()
    assert learned > 3 * everybody


def test_a_reason_is_true(demo_star: tuple[Generator, Star]) -> None:
    _, star = demo_star
    star.recommend(SCORING)
    star.connection.execute(
        "create or replace view bought as select distinct person_key, works.*"
        " exclude (song_key) from items inner join lake.intermediate.int_works as works"
        " using (song_key)"
    )
    wrong = star.connection.sql(
        """
        select made.reason
        from made
        inner join lake.intermediate.int_works as offered using (song_key)
        left join lake.intermediate.int_works as owned
            on made.reason_song_key = owned.song_key
        where
            made.score is not null
            and (
                -- They own a song that the reason names, or a song by its artist,
                not exists (
                    select *
                    from bought
                    inner join artists using (artist_key)
                    where
                        bought.person_key = made.person_key
                        and (
                            bought.work_key = owned.work_key
                            or owned.work_key is null
                        )
                        and contains(made.reason, artists.artist_name)
                )
                -- and at least two others own it too, and what is recommended.
                or (
                    select count(distinct others.person_key)
                    from bought as others
                    inner join bought as wanted using (person_key)
                    inner join artists on others.artist_key = artists.artist_key
                    where
                        wanted.work_key = offered.work_key
                        and (
                            others.work_key = owned.work_key
                            or (
                                owned.work_key is null
                                and contains(made.reason, artists.artist_name)
                            )
                        )
                ) < 2
            )
        """
    ).fetchall()
    assert wrong == []
    reasons = {reason for (reason,) in star.made.select("reason").fetchall()}
    # Some titles have nothing in them that could be read.
    assert not [reason for reason in reasons if re.search(r'"[\s\x00-\x1f]*"', reason)]
    for words in ("More by ", "Bought by people who own songs by ", "A best-seller"):
        assert any(reason.startswith(words) for reason in reasons)


def test_everybody_gets_ten_songs_that_they_do_not_own(
    demo_star: tuple[Generator, Star],
) -> None:
    _, star = demo_star
    made = star.recommend(date(2023, 12, 25))
    assert made == star.recommend(date(2023, 12, 25))
    counts = star.connection.sql(
        "select count(*), count(distinct recommendation_rank), count(distinct song_key)"
        " from made right join users using (person_key) group by users.person_key"
    ).fetchall()
    assert set(counts) == {(10, 10, 10)}
    # Not under another id either.
    assert (
        star.connection.sql(
            """
            select *
            from made
            inner join songs as offered on made.song_key = offered.song_key
            inner join items on made.person_key = items.person_key
            inner join songs as owned on items.song_key = owned.song_key
            where
                offered.artist_key = owned.artist_key
                and lower(offered.song_title) = lower(owned.song_title)
                and (offered.has_title or offered.song_key = owned.song_key)
            """
        ).fetchall()
        == []
    )
    # Who never bought gets what sells in their country, as far as it does.
    (offers,) = star.connection.sql(
        """
        select array_agg((made.song_key, reason) order by recommendation_rank) as offers
        from made
        anti join items using (person_key)
        inner join users using (person_key)
        where country_code = 'US'
        group by person_key
        limit 1
        """
    ).fetchall()[0]
    assert {reason for _, reason in offers} == {"A best-seller in the land of US"}
    # By title, for the offered song is the one of a title that sells best.
    best = star.connection.sql(
        "select song_title from country_sales inner join songs using (song_key)"
        " where country_code = 'US' order by item_count desc, song_key"
    ).fetchall()
    titles = dict(star.songs.select("song_key, song_title").fetchall())
    assert [titles[song] for song, _ in offers] == [title for (title,) in best]


def clique_star(people_count: int = 40, circles: int = 2, bought: int = 8) -> Star:
    """Return circles of people, each of which buys its own dozen of songs."""
    rng = np.random.default_rng(1)
    sessions = []
    people = []
    for number in range(people_count):
        person = f"00000000-0000-0000-0000-{number:012}"
        people.append(person)
        circle = number % circles
        for song in rng.permutation(12)[:bought]:
            sessions.append(
                {
                    "user_id": person,
                    "session_id": f"{number} {song}",
                    "session_start_time": f"2023-01-{1 + song:02}T12:00:00",
                    "session_items": [
                        {
                            "song_id": f"{circle} {song}",
                            "song_name": f"Song {song}",
                            "artist_id": f"{circle} {song}",
                            "artist_name": f"Artist {circle} {song}",
                            "price": 1.0,
                            "liked": False,
                            "liked_since": None,
                        }
                    ],
                }
            )
    users = pa.table(
        {"user_id": people, "user_location": [["", "", "", "SE", ""]] * len(people)}
    )
    return star_of(users, [pa.Table.from_pylist(sessions)])


def test_recommendations_have_the_known_answer() -> None:
    star = clique_star()
    made = star.recommend(date(2023, 2, 1))
    assert len(made) == 40 * 10
    # The four songs that each lacks of their own circle come first, with a reason.
    wrong = star.connection.sql(
        """
        select *
        from made
        inner join songs using (song_key)
        where
            recommendation_rank <= 4
            and (
                songs.artist_id[1]::integer
                <> right(made.person_key::text, 2)::integer % 2
                or reason not like 'Bought by people who own "Song %" by Artist %'
            )
        """
    ).fetchall()
    assert wrong == []


def test_batches_of_buyers_are_recommended_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    star = clique_star()
    at_once = star.recommend(date(2023, 2, 1))
    monkeypatch.setattr(recommendations, "_BATCH", 7)
    in_batches = star.recommend(date(2023, 2, 1))
    without_score = slice(5)
    assert [row[without_score] for row in in_batches] == [
        row[without_score] for row in at_once
    ]


def test_what_a_user_owns_is_not_offered_under_another_id() -> None:
    star = clique_star()
    star.recommend(date(2023, 2, 1))
    ((buyer, song),) = star.connection.sql(
        "select person_key, song_key from made where recommendation_rank = 1"
        " order by person_key limit 1"
    ).fetchall()
    star.connection.execute(
        "insert into items by name select * replace (uuid() as fact_key,"
        " ?::uuid as person_key, '2023-02-02'::timestamp as session_start_time)"
        " from items where song_key = ? limit 1",
        [str(buyer), song],
    )
    # It sells best under another id by now.
    star.connection.execute(
        """
        insert into songs select uuid(), artist_key, artist_id, song_title, has_title
        from songs where song_key = ?
        """,
        [song],
    )
    star.refresh()
    star.connection.execute(
        "insert into sales"
        " select song_key, 1000 from songs anti join items using (song_key)"
    )
    made = star.recommend(date(2023, 2, 1))
    works = dict(star.model("int_works").select("song_key, work_key").fetchall())
    offered = [works[row[2]] for row in made if row[0] == buyer]
    assert len(offered) == 10
    assert works[song] not in offered


def test_who_was_forgotten_gets_no_offer() -> None:
    star = clique_star()
    star.connection.execute(
        "update users set user_id = ? || user_id"
        " where person_key = (select min(person_key) from users)",
        [PSEUDONYM],
    )
    made = star.recommend(date(2023, 2, 1))
    assert len({row[0] for row in made}) == 39


def test_who_owns_all_songs_keeps_no_offer() -> None:
    star = odd_star(2, 1, 1)
    star.connection.execute(
        "create table bought as from items order by person_key desc limit 1;"
        "delete from items where fact_key in (select fact_key from bought)"
    )
    star.refresh()
    ((buyer, *_),) = star.recommend(START)
    assert star.bought.filter(f"person_key = '{buyer}'").fetchall()
    star.connection.execute(
        "create table held as from made; insert into items from bought"
    )
    star.refresh()
    assert star.recommend(START) == []
    (model,) = yaml.safe_load(
        (PROJECT / "models" / "ml" / "ml_song_recommendations.yml").read_text("utf-8")
    )["models"]
    (hook,) = model["config"]["post_hook"]
    rankings = "{{ ref('int_song_rankings') }}"
    assert rankings in hook
    star.connection.execute(
        hook.replace("{{ this }}", "held").replace(
            rankings, "lake.intermediate.int_song_rankings"
        )
    )
    assert star.held.fetchall() == []


FOUR_WEEKS = "churn_days: 28"
"""Four months are enough where who buys nothing for four weeks has left."""


def build_models(
    shop: Lakehouse, *arguments: str, more: str = ""
) -> subprocess.CompletedProcess[str]:
    return shop.dbt(
        "build",
        *("--vars", f"{{{FOUR_WEEKS}{more}}}", *arguments),
        environment={"DEFTUNES_WITHOUT_ML": ""},
    )


@pytest.fixture(scope="module")
def shop(lakehouses: Callable[[Path], Lakehouse]) -> Lakehouse:
    """Return a lakehouse of which dbt has built the models, and nothing else."""
    made = lakehouses(SHIPPED)
    end = date(2023, 5, 1)
    generator = Generator(items=12_000, start=START, end=end)
    made.land(generator, generator.song_tables(), START, end)
    first = build_models(made, "--select", "+path:models/ml", *WITHOUT_TESTS)
    assert first.returncode == 0, first.stdout
    return made


@pytest.fixture(scope="module")
def published(shop: Lakehouse, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return settings of a home with what would be published of it, and no lake."""
    home = tmp_path_factory.mktemp("published")
    settings = Settings(home, None, None, None)
    settings.serving.mkdir()
    with shop.lake() as lake:
        lake.execute(f"attach '{settings.serving / 'deftunes.duckdb'}' as serving")
        for table in (
            *("marts.fact_orders", "marts.fact_order_items"),
            "ml.ml_model_evaluations",
        ):
            lake.execute(
                f"create schema if not exists serving.{table.partition('.')[0]};"
                f"create table serving.{table} as from lake.{table}"
            )
    return settings


def test_features_of_any_date_are_those_that_a_build_computes(
    shop: Lakehouse, published: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "features.parquet"
    training, other, evaluation, scoring = (
        *(date(2023, 2, 27), date(2023, 3, 8)),
        *(date(2023, 3, 27), date(2023, 4, 24)),
    )
    days = [other, training, evaluation, scoring]

    count = export_features(published, days, target, ("--vars", f"{{{FOUR_WEEKS}}}"))

    with shop.lake() as lake:
        lake.execute(f"create temp table file as from '{target}'")
        assert lake.sql("select count(*) from file").fetchall() == [(count,)]
        built = lake.sql(
            "select * exclude (date_role, training_id) from ml.ml_churn_examples"
            " order by as_of_date, person_key"
        )
        found = lake.execute(
            "from file where as_of_date in (?, ?)", [training, evaluation]
        )
        assert found.fetchall() == built.fetchall() != []
        # Who leaves after the newest date is not known yet.
        built = (
            lake.table("lake.ml.ml_user_features")
            .filter(f"as_of_date = '{scoring}'")
            .order("person_key")
            .select("* exclude (_purchases_checksum), null")
        )
        found = lake.execute(
            "select * exclude (is_active) from file where as_of_date = ?", [scoring]
        )
        assert found.fetchall() == built.fetchall() != []
        # A date of no build. What comes later tells who left, and nothing else.
        computed = lake.sql(
            """
            with

            later as (
                select distinct person_key
                from marts.fact_order_items
                where
                    session_start_time >= '2023-03-08'
                    and session_start_time < '2023-04-05'
            )

            select
                person_key,
                count(distinct session_id),
                count(*),
                sum(price_usd),
                count(*) filter (where liked_since < '2023-03-08') / count(*),
                max(session_start_time) >= '2023-02-08',
                person_key not in (from later)
            from marts.fact_order_items
            where session_start_time < '2023-03-08'
            group by person_key
            order by person_key
            """
        ).fetchall()
        found = lake.execute(
            "select person_key, order_count, item_count, revenue_usd, like_rate,"
            " is_active, has_churned from file where as_of_date = ?",
            [other],
        )
        assert found.fetchall() == computed
        assert {row[-2:] for row in computed} == {
            (active, churned) for active in (True, False) for churned in (True, False)
        }
    # Nothing else was written.
    assert [*tmp_path.iterdir()] == [target]
    files = [path for path in published.home.rglob("*") if path.is_file()]
    assert files == [published.serving / "deftunes.duckdb"]


def test_features_of_a_date_outside_of_the_data_are_refused(
    published: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "features.csv"
    for day in (START, date(2023, 5, 2)):
        with pytest.raises(
            ExportError,
            match=f"no features as of {day}: give a date from 2023-01-02 to 2023-05-01",
        ):
            export_features(published, [day], target)
    with pytest.raises(ExportError, match="`dbt build` publishes it"):
        export_features(Settings(tmp_path, None, None, None), [START], target)
    said = CliRunner().invoke(features.main, [str(target), "2023-02-30"])
    assert said.exit_code == 2
    assert "'2023-02-30' does not match the format '%Y-%m-%d'" in said.output
    assert not target.exists()


def test_a_model_card_says_how_good_the_published_model_is(
    published: Settings, tmp_path: Path
) -> None:
    database = published.serving / "deftunes.duckdb"
    cards = model_cards(_MANIFEST, database)
    _, churn_card, songs_card = re.split(r"^### ", cards, flags=re.MULTILINE)
    assert churn_card.startswith("churn\n")
    assert "from 2023-01-01 to before 2023-04-24" in churn_card
    assert "| log_recency | ln(1 + recency_days). |" in churn_card
    with duckdb.connect(str(database)) as connection:
        figures = connection.execute(
            "select model_name, metric_name, baseline_name, metric_value, metric_low,"
            " baseline_value, baseline_high from ml.ml_model_evaluations"
        ).fetchall()
        assert len(figures) == 10
        for model, metric, baseline, value, low, baseline_value, high in figures:
            card = churn_card if model == churn.MODEL_NAME else songs_card
            (line,) = re.findall(
                rf"^\| {metric} .*\| {baseline} \|.*", card, re.MULTILINE
            )
            assert f"| {value:.3f} ({low:.3f} to " in line
            assert f"| {baseline_value:.3f} (" in line
            assert f" to {high:.3f}) |" in line
        for card in (churn_card, songs_card):
            assert "**Offered.** Trained at " in card
            assert "**Intended use.** To " in card
            assert "**Out of scope.** " in card
        # A withheld one says why. One that was not measured has no figures.
        connection.execute(
            "update ml.ml_model_evaluations set metric_value = null,"
            " withheld_reason = 'too few' where model_name = 'churn'"
        )
    cards = model_cards(_MANIFEST, database)
    assert "**Withheld: too few.** Tried at " in cards
    assert cards.count("no figures, because nothing was measured") == 1
    with duckdb.connect(str(database)) as connection:
        connection.execute("drop table ml.ml_model_evaluations")
    for absent in (database, tmp_path / "no file"):
        assert "No model has been published yet" in model_cards(_MANIFEST, absent)
    assert "switched off" in model_cards({"nodes": {}}, database)


def test_models_are_built_and_left_alone_and_withheld(shop: Lakehouse) -> None:
    """The dbt models, over a star that dbt has built."""

    def build(*arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
        return build_models(shop, *arguments, more=more)

    with shop.lake() as lake:
        (good,) = lake.sql(
            "select bool_or(is_worse), count(withheld_reason),"
            " count(distinct model_name) from ml.ml_model_evaluations"
        ).fetchall()
        assert good == (False, 0, 2)
        ((scored, latest),) = lake.sql(
            "select count(*), count(*) filter (where as_of_date = '2023-04-24')"
            " from ml.ml_churn_scores"
        ).fetchall()
        assert scored == latest > 300
        kept = lake.sql(
            "select person_key, as_of_date, churn_probability, training_id"
            " from ml.ml_churn_scores where is_active order by all"
        ).fetchall()
        assert (
            lake.sql("from ml.ml_churn_score_history order by all").fetchall() == kept
        )
        counts = lake.sql(
            "select count(recommendation_rank) from marts.dim_users"
            " left join ml.ml_song_recommendations using (person_key)"
            " where is_current and user_id <> '' group by person_key"
        ).fetchall()
        assert set(counts) == {(10,)}
        known: dict[str, Any] = {"connection": lake, "alt": altair, "np": np}
        for name, cell in notebook.cells().items():
            if name.startswith(("churn-", "model-")):
                notebook.run(cell, known)
        assert known["auc"] > 0.6
        assert (
            lake.sql(
                "select * from ml.ml_song_recommendations"
                " semi join marts.fact_order_items using (person_key, song_key)"
            ).fetchall()
            == []
        )
        ((made,),) = lake.sql("from lake.current_snapshot()").fetchall()
    again = build("--select", "path:models/ml", *WITHOUT_TESTS)
    assert again.returncode == 0, again.stdout
    with shop.lake() as lake:
        assert lake.sql("from lake.current_snapshot()").fetchall() == [(made,)]
    held = shop.tables("ml")
    # Only who has changed is ranked again.
    with shop.writing() as lake:
        ((buyer,),) = lake.sql(
            "select min(person_key) from lake.ml.ml_churn_scores"
        ).fetchall()
        lake.execute(
            "update lake.intermediate.int_song_rankings set _profile_checksum = 0"
            " where person_key = ?",
            [buyer],
        )
        ((made,),) = lake.sql("from lake.current_snapshot()").fetchall()
    one = build("--select", "int_song_rankings+", *WITHOUT_TESTS)
    assert one.returncode == 0, one.stdout
    with shop.lake() as lake:
        ((latest,),) = lake.sql("from lake.current_snapshot()").fetchall()
        for schema, name, users in (
            ("intermediate", "int_song_rankings", [(buyer,)]),
            ("ml", "ml_song_recommendations", []),
        ):
            written = lake.execute(
                "select distinct person_key from ducklake_table_changes("
                "'lake', ?, ?, ?, ?)",
                [schema, name, made + 1, latest],
            ).fetchall()
            assert written == users
    assert shop.tables("ml") == held
    # An older lake lacks the last columns, and knows people who were erased since.
    with shop.writing() as lake:
        for column in ("is_current", "is_worse", "difference_low"):
            lake.execute(
                f"alter table lake.ml.ml_model_evaluations drop column {column}"
            )
        lake.execute(
            "insert into lake.ml.ml_churn_score_history"
            " select person_key, '2023-01-02', 0.5, 'earlier'"
            " from (values (uuid()), (?)) as earlier (person_key)",
            [buyer],
        )
    # As of a date with hardly anything before it, all models are withheld.
    models = ("--select", "path:models/ml", *WITHOUT_TESTS)
    early = build(*models, more=", as_of_date: 2023-01-04")
    assert early.returncode == 0, early.stdout
    for said in (
        "Withheld: churn is not offered: too few active buyers: 0 left and 0 stayed",
        "Withheld: song_recommendations is not offered: too few buyers: ",
    ):
        assert said in early.stdout
    withheld = shop.tables("ml")
    assert withheld["ml.ml_churn_scores"] == withheld["ml.ml_similar_songs"] == []
    earlier = (buyer, date(2023, 1, 2), 0.5, "earlier")
    assert [*withheld["ml.ml_churn_score_history"]] == [earlier, *kept]
    with shop.lake() as lake:
        assert lake.sql(
            "select distinct training_id, score from ml.ml_song_recommendations"
        ).fetchall() == [("", None)]
    # Nothing of it is left behind.
    back = build(*models)
    assert "Withheld" not in back.stdout
    after = shop.tables("ml")
    for tables in (held, after):
        tables.pop("ml.ml_churn_score_history")
    evaluations = after.pop("ml.ml_model_evaluations")
    # Its columns stand in another order by now.
    assert len(evaluations) == len(held.pop("ml.ml_model_evaluations")) + 2
    assert after == held
    # The tests notice what is offered though it is no better.
    with shop.writing() as lake:
        lake.execute(
            "update lake.ml.ml_model_evaluations"
            " set difference_high = -0.01, is_worse = true"
            " where is_current and metric_name = 'roc_auc'"
        )
    tests = (
        "assert_offered_models_beat_their_baselines",
        "assert_withheld_models_say_why",
    )
    for test in tests:
        worse = build("--select", test)
        assert worse.returncode == 1
        assert f"Failure in test {test}" in worse.stdout
