"""Ten songs for each user that they do not own, each with a reason.

Matrix factorization of who bought what (Hu, Koren and Volinsky, "Collaborative
Filtering for Implicit Feedback Datasets", 2008, as the package implicit has it): what a
buyer owns gives their place among the songs, and the nearest ones are recommended. Who
owns nothing that was learned from gets what sells best in their country.

The same title by the same artist under several ids is one work, so that nobody is
offered what they own under another id. Its best-selling song stands for it.
"""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from deftunes.ml.evaluations import NOTHING_BOUGHT, Evaluation
from deftunes.ml.features import fingerprint
from deftunes.privacy.erasure_registry import PSEUDONYM

MODEL_NAME = "song_recommendations"

SONGS = 10
"""How many songs are recommended to each user."""

FEWEST_MEASURED = 100
"""How many buyers of two songs there must be for the model to be measured."""

_PARAMETERS = {"factors": 32, "regularization": 4.0, "alpha": 2.0, "iterations": 15}
_SEED = 1
_MOST_BUYERS = 100_000  # to learn from
_MOST_SONGS = 50_000  # to learn of
_MOST_MEASURED = 20_000  # buyers
_BATCH = 32_768  # buyers: what memory has to hold at a time
_NONE = np.finfo(np.float32).min  # the score of what must not be recommended

_RANKED = pa.schema(
    [
        ("buyer_number", pa.int64()),
        ("place", pa.int64()),
        ("song_index", pa.int64()),
        ("owned_index", pa.int64()),
        ("score", pa.float64()),
    ]
)

Indices = npt.NDArray[np.int64]

_SALES_BEFORE = """
    select
        items.song_key,
        count(*) as item_count
    from items
    inner join before on items.session_start_time < before.col0
    group by items.song_key
"""
# What says which songs are one work.
_SONGS_CHECKSUM = """
    select
        coalesce(cast(sum(hash(
            songs.song_key,
            songs.artist_key,
            songs.artist_id is null,
            songs.has_title,
            lower(songs.song_title)
        )) as varchar), '')
    from songs
    inner join sales on songs.song_key = sales.song_key
"""
_WORKS = """
    select
        songs.song_key,
        first_value(songs.song_key) over (
            partition by
                if(
                    songs.has_title and songs.artist_id is not null,
                    concat(songs.artist_key, lower(songs.song_title)),
                    cast(songs.song_key as varchar)
                )
            order by coalesce(sales.item_count, 0) desc, songs.song_key
        ) as work_key
    from songs
    left join sales on songs.song_key = sales.song_key
"""
# The buyers are a sample, the same one each time. Songs are numbered by how many bought
# them, those of a buyer ranked from the last one back.
_PURCHASES = f"""
    with

    bought_before as (

        select
            items.buyer_key,
            items.song_key,
            items.session_start_time
        from items
        inner join before on items.session_start_time < before.col0

    ),

    buyers as (

        select
            buyer_key,
            row_number() over (order by hash(buyer_key), buyer_key) - 1 as buyer_index
        from (select distinct buyer_key from bought_before)
        qualify buyer_index < {_MOST_BUYERS}

    ),

    bought as (

        select
            buyers.buyer_index,
            works.work_key,
            min(bought_before.session_start_time) as bought_at
        from bought_before
        inner join buyers on bought_before.buyer_key = buyers.buyer_key
        inner join works on bought_before.song_key = works.song_key
        group by buyers.buyer_index, works.work_key

    ),

    sold as (

        select
            work_key,
            row_number() over (order by count(*) desc, work_key) - 1 as song_index
        from bought
        group by work_key
        qualify song_index < {_MOST_SONGS}

    )

    select
        bought.work_key,
        bought.buyer_index,
        sold.song_index,
        row_number() over (
            partition by bought.buyer_index
            order by bought.bought_at desc, bought.work_key
        ) as recency
    from bought
    inner join sold on bought.work_key = sold.work_key
    order by bought.buyer_index, sold.song_index
"""  # noqa: S608 - of constants
# Another song may stand for a work by now than when it was learned of.
_KNOWN_WORKS = """
    select
        coalesce(works.work_key, factors.song_key) as song_key,
        factors.song_index,
        factors.factors
    from factors
    left join works on factors.song_key = works.song_key
    order by factors.song_index
"""
# The buyers come first, so that of the many items only theirs are joined.
_OWNED = """
    with

    bought as (

        select distinct
            users_in_need.buyer_number,
            items.song_key
        from items
        inner join users_in_need on items.buyer_key = users_in_need.buyer_key

    )

    select distinct
        bought.buyer_number,
        works.work_key,
        factors.song_index
    from bought
    inner join works on bought.song_key = works.song_key
    left join factors on works.work_key = factors.song_key
    order by bought.buyer_number, factors.song_index
"""
_USERS_IN_NEED = f"""
    with

    training as (

        select coalesce(any_value(training_id), '') as training_id
        from factors

    ),

    profiles as (

        select
            users.buyer_key,
            users.country_code,
            training.training_id,
            hash(purchases.items_checksum, users.country_code) as _profile_checksum
        from users
        cross join training
        left join purchases on users.buyer_key = purchases.buyer_key
        where
            users.is_current
            and users.user_id <> ''
            and not starts_with(users.user_id, '{PSEUDONYM}')

    )

    select *
    from profiles
    anti join held
        on
            -- The first of the ten says what all of them would.
            held.recommendation_rank = 1
            and profiles.buyer_key = held.buyer_key
            and profiles.training_id = held.training_id
            and profiles._profile_checksum = held._profile_checksum
"""  # noqa: S608 - of constants
_BEST_SELLERS = """
    select
        works.work_key as song_key,
        row_number() over (order by sum(sales.item_count) desc, works.work_key) as place
    from sales
    inner join works on sales.song_key = works.song_key
    group by works.work_key
"""
_CHOSEN_TABLE = """
    create or replace temporary table kept_chosen (
        buyer_number bigint,
        recommendation_rank integer,
        song_key uuid,
        reason_song_key uuid,
        score double,
        country_name varchar
    )
"""
_CHOSEN = f"""
    with

    learned as (

        select
            ranked.buyer_number,
            factors.song_key,
            reasons.song_key as reason_song_key,
            ranked.place,
            ranked.score,
            null as country_name
        from ranked
        inner join factors on ranked.song_index = factors.song_index
        inner join factors as reasons on ranked.owned_index = reasons.song_index

    ),

    short as (

        select
            buyers.buyer_number,
            any_value(buyers.country_code) as country_code,
            (
                select count(*)
                from owned
                where owned.buyer_number = buyers.buyer_number
            ) as owned_count
        from buyers
        left join learned on buyers.buyer_number = learned.buyer_number
        group by buyers.buyer_number
        having count(learned.song_key) < {SONGS}

    ),

    places as (

        select
            buyer_number,
            unnest(range(1, {2 * SONGS} + owned_count + 1)) as place
        from short

    ),

    offers as (

        select * from learned

        union all

        select
            short.buyer_number,
            works.work_key as song_key,
            null as reason_song_key,
            {SONGS} + min(country_sales.song_rank) as place,
            null as score,
            country_sales.country_name
        from short
        inner join country_sales on short.country_code = country_sales.country_code
        inner join works on country_sales.song_key = works.song_key
        group by short.buyer_number, works.work_key, country_sales.country_name

        union all

        select
            places.buyer_number,
            best_sellers.song_key,
            null as reason_song_key,
            1000 + best_sellers.place as place,
            null as score,
            null as country_name
        from places
        inner join best_sellers on places.place = best_sellers.place

    )

    select
        offers.buyer_number,
        row_number() over (
            partition by offers.buyer_number order by offers.place, offers.song_key
        ) as recommendation_rank,
        offers.song_key,
        offers.reason_song_key,
        offers.score,
        offers.country_name
    from (
        select *
        from offers
        qualify
            row_number() over (partition by buyer_number, song_key order by place) = 1
    ) as offers
    anti join owned
        on
            offers.buyer_number = owned.buyer_number
            and offers.song_key = owned.work_key
    qualify recommendation_rank <= {SONGS}
"""  # noqa: S608 - of constants
_RECOMMENDATIONS = """
    select
        users_in_need.buyer_key,
        chosen.recommendation_rank,
        chosen.song_key,
        chosen.reason_song_key,
        case
            when reason_songs.artist_key = songs.artist_key
                then format(
                    'More by {}, whose "{}" they own',
                    reason_artists.artist_name, reason_songs.song_title
                )
            when chosen.reason_song_key is not null
                then format(
                    'Bought by people who own "{}" by {}',
                    reason_songs.song_title, reason_artists.artist_name
                )
            when chosen.country_name is not null
                then 'A best-seller in ' || chosen.country_name
            else 'A best-seller'
        end as reason,
        chosen.score,
        users_in_need.training_id,
        users_in_need._profile_checksum
    from chosen
    inner join users_in_need on chosen.buyer_number = users_in_need.buyer_number
    inner join songs on chosen.song_key = songs.song_key
    left join songs as reason_songs on chosen.reason_song_key = reason_songs.song_key
    left join artists as reason_artists
        on reason_songs.artist_key = reason_artists.artist_key
"""


def training_id(before: date, purchases_checksum: str, songs_checksum: str) -> str:
    """Return what tells one training from another: its data, its code, its date.

    Args:
        before: what was bought from this day on does not count.
        purchases_checksum: that of all that was bought before.
        songs_checksum: as `songs_checksum_of` gives it of the songs bought before.

    """
    return fingerprint(
        MODEL_NAME, Path(__file__), before, purchases_checksum, songs_checksum
    )


def sales_before(
    connection: DuckDBPyConnection, items: DuckDBPyRelation, day: date
) -> DuckDBPyRelation:
    """Return how often each song was bought before a day.

    Args:
        connection: where the relation is.
        items: rows of `fact_order_items`.
        day: what was bought from this day on does not count.

    Returns:
        Columns song_key and item_count.

    """
    before = connection.values([day])
    return connection.sql(_SALES_BEFORE)


def songs_checksum_of(
    connection: DuckDBPyConnection, songs: DuckDBPyRelation, sales: DuckDBPyRelation
) -> str:
    """Return a checksum of what says which songs are one work; empty without sales.

    Args:
        connection: where the relations are.
        songs: rows of `dim_songs`.
        sales: the songs that count, by song_key.

    """
    ((checksum,),) = connection.sql(_SONGS_CHECKSUM).fetchall()
    return str(checksum)


def works_of(
    connection: DuckDBPyConnection, songs: DuckDBPyRelation, sales: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Say which work each song is.

    Args:
        connection: where the relations are.
        songs: rows of `dim_songs`.
        sales: rows of `sales_per_song_mv`, or of `sales_before`.

    Returns:
        Columns song_key and work_key, the key of the song that stands for the work.

    """
    return connection.sql(_WORKS)


def evaluate(
    connection: DuckDBPyConnection,
    items: DuckDBPyRelation,
    works: DuckDBPyRelation,
    before: date,
    training_id: str,
) -> Evaluation:
    """Hide the last song of each buyer, and see whether it is recommended.

    Args:
        connection: where the relations are.
        items: rows of `fact_order_items`.
        works: as `works_of` gives them.
        before: what was bought from this day on does not count.
        training_id: as the function of that name gives it.

    Returns:
        The evaluation: the share of hidden songs among the ten, and how high up (NDCG);
        without metrics where there are too few buyers.

    """
    buyers, songs, recency, _ = _purchases(connection, items, works, before)
    hidden = (recency == 1) & (np.bincount(buyers)[buyers] > 1)
    measured = hidden & (buyers < _MOST_MEASURED)
    ((first,),) = items.aggregate("cast(min(session_start_time) as date)").fetchall()
    dates = (first, before) if first else None
    evaluation = Evaluation(
        training_id=training_id,
        model_name=MODEL_NAME,
        baseline_name="popularity",
        metrics={},
        training_dates=dates,
        evaluation_dates=dates,
        training_count=int((~hidden).sum()),
        evaluation_count=int(measured.sum()),
        parameters={
            **_PARAMETERS,
            "most_buyers": _MOST_BUYERS,
            "most_songs": _MOST_SONGS,
        },
    )
    if not first:
        return replace(evaluation, unmeasured_reason=NOTHING_BOUGHT)
    if evaluation.evaluation_count < FEWEST_MEASURED:
        return replace(
            evaluation,
            unmeasured_reason=f"too few buyers: {evaluation.evaluation_count} bought"
            f" two songs or more before {before}, and it takes {FEWEST_MEASURED}",
        )
    owned = _owned(buyers[~hidden], songs[~hidden], buyers.max() + 1, songs.max() + 1)
    model = _fit(owned)
    rows, answers = owned[buyers[measured]], songs[measured]
    learned, scores = _nearest(model, rows)
    # Who owns almost all songs gets some of them as filling.
    learned = np.where(scores > _NONE, learned, -1)
    # The songs are numbered by how many bought them.
    popular = np.vstack(
        [np.setdiff1d(np.arange(SONGS + row.nnz), row.indices)[:SONGS] for row in rows]
    )
    figures = [_figures(answers, places) for places in (learned, popular)]
    return replace(
        evaluation,
        metrics={name: (figures[0][name], figures[1][name]) for name in figures[0]},
    )


def song_factors(
    connection: DuckDBPyConnection,
    items: DuckDBPyRelation,
    works: DuckDBPyRelation,
    before: date,
) -> DuckDBPyRelation:
    """Learn where the songs stand.

    Args:
        connection: where the relations are.
        items: rows of `fact_order_items`.
        works: as `works_of` gives them.
        before: what was bought from this day on does not count.

    Returns:
        Columns song_key, song_index (from 0, by how many bought it) and factors.

    """
    buyers, songs, _, keys = _purchases(connection, items, works, before)
    factors = np.empty((0, 0), np.float32)
    if len(songs):
        model = _fit(_owned(buyers, songs, buyers.max() + 1, songs.max() + 1))
        factors = model.item_factors
    table = pa.table(
        {
            "song_key": pa.array(keys, pa.string()),
            "song_index": pa.array(range(len(keys)), pa.int64()),
            "factors": pa.array(list(factors), pa.list_(pa.float32())),
        }
    )
    return connection.from_arrow(table).select(
        "cast(song_key as uuid) as song_key, song_index, factors"
    )


def users_in_need(
    connection: DuckDBPyConnection,
    users: DuckDBPyRelation,
    purchases: DuckDBPyRelation,
    factors: DuckDBPyRelation,
    held: DuckDBPyRelation | None,
) -> DuckDBPyRelation:
    """Say to whom songs must be recommended anew.

    Args:
        connection: where the relations are.
        users: rows of `dim_users`.
        purchases: rows of `int_purchases_per_buyer`.
        factors: rows of `ml_song_factors`.
        held: rows of `ml_song_recommendations`; None without any.

    Returns:
        Columns buyer_key, country_code, training_id and _profile_checksum, as
        `recommend` takes them.

    """
    if held is None:
        held = connection.sql(
            "select null::uuid as buyer_key, 1 as recommendation_rank,"
            " '' as training_id, null::ubigint as _profile_checksum limit 0"
        )
    return connection.sql(_USERS_IN_NEED)


def recommend(
    connection: DuckDBPyConnection,
    users: DuckDBPyRelation,
    items: DuckDBPyRelation,
    songs: DuckDBPyRelation,
    artists: DuckDBPyRelation,
    sales: DuckDBPyRelation,
    country_sales: DuckDBPyRelation,
    factors: DuckDBPyRelation,
) -> DuckDBPyRelation:
    """Recommend songs.

    Args:
        connection: where the relations are.
        users: to whom; columns buyer_key, country_code, training_id and
            _profile_checksum.
        items: rows of `fact_order_items`.
        songs: rows of `dim_songs`.
        artists: rows of `dim_artists`.
        sales: rows of `sales_per_song_mv`.
        country_sales: rows of `top_songs_per_country_mv`.
        factors: as `song_factors` gives them.

    Returns:
        A row per user and song, as `models/ml/ml_song_recommendations.yml` says.

    """
    users_in_need = _kept(
        connection,
        "kept_users",
        users.select("*, row_number() over (order by buyer_key) - 1 as buyer_number"),
    )
    ((count,),) = users_in_need.aggregate("count(*)").fetchall()
    if not count:
        items, songs, sales, factors = (
            held.limit(0) for held in (items, songs, sales, factors)
        )
    works = _kept(connection, "kept_works", works_of(connection, songs, sales))
    factors = _kept(connection, "kept_factors", connection.sql(_KNOWN_WORKS))
    all_owned = _kept(connection, "kept_owned", connection.sql(_OWNED))
    best_sellers = _kept(connection, "kept_best_sellers", connection.sql(_BEST_SELLERS))
    connection.sql(_CHOSEN_TABLE)
    # Without the keys, of which Python would make objects one by one.
    numbered = factors.project("song_index, factors").order("song_index")
    vectors = np.array(list(numbered.fetchnumpy()["factors"]), np.float32)
    for first in range(0, count, _BATCH):
        of_batch = f"buyer_number between {first} and {first + _BATCH - 1}"
        buyers, owned = users_in_need.filter(of_batch), all_owned.filter(of_batch)
        ranked = _ranked(vectors, owned)
        connection.sql(f"insert into kept_chosen {_CHOSEN}")
    chosen = connection.table("kept_chosen")
    return connection.sql(_RECOMMENDATIONS)


def _kept(
    connection: DuckDBPyConnection, name: str, relation: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Keep a relation that is read several times, under a name of its own."""
    connection.sql(f"create or replace temporary table {name} as from relation")
    return connection.table(name)


def _purchases(
    connection: DuckDBPyConnection,
    items: DuckDBPyRelation,
    works: DuckDBPyRelation,
    day: date,
) -> tuple[Indices, Indices, Indices, list[str]]:
    """Return who bought what, how recently, and the keys of the songs, by number."""
    before = connection.values([day])
    purchases = _kept(connection, "kept_purchases", connection.sql(_PURCHASES))
    columns = purchases.project("buyer_index, song_index, recency").fetchnumpy()
    keys = connection.sql(
        "select distinct on (song_index) cast(work_key as varchar) from kept_purchases"
        " order by song_index"
    ).fetchall()
    return (
        columns["buyer_index"],
        columns["song_index"],
        columns["recency"],
        [key for (key,) in keys],
    )


def _owned(buyers: Indices, songs: Indices, height: int, width: int) -> Any:  # noqa: ANN401
    """Return the matrix of shape (height, width) with ones where a buyer has a song."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    ones = np.ones(len(buyers), np.float32)
    return csr_matrix((ones, (buyers, songs)), shape=(height, width))


def _model() -> Any:  # noqa: ANN401
    # A second to import, and only where something is learned or recommended.
    from implicit.cpu.als import (  # type: ignore[import-untyped]
        AlternatingLeastSquares,
    )

    with _one_blas_thread():
        return AlternatingLeastSquares(random_state=_SEED, **_PARAMETERS)


def _one_blas_thread() -> Any:  # noqa: ANN401
    """Have BLAS use one thread, as the package asks; its own loops use all cores."""
    from threadpoolctl import (  # type: ignore[import-untyped]
        threadpool_limits,
    )

    return threadpool_limits(1, "blas")


def _fit(owned: Any) -> Any:  # noqa: ANN401
    model = _model()
    with _one_blas_thread():
        model.fit(owned, show_progress=False)
    return model


def _nearest(model: Any, owned: Any) -> tuple[Indices, Any]:  # noqa: ANN401
    """Return the songs that buyers lack, the nearest first, and their scores.

    Args:
        model: with `item_factors`.
        owned: what the buyers own, shape (buyers, songs).

    Returns:
        Both of shape (buyers, at most ten); a song that fills up a row has a score of
        at most `_NONE`.

    """
    with _one_blas_thread():
        songs, scores = model.recommend(
            np.arange(owned.shape[0]),
            owned,
            N=min(SONGS, owned.shape[1]),
            recalculate_user=True,
        )
    return songs, scores


def _ranked(vectors: Any, owned_works: DuckDBPyRelation) -> pa.Table:  # noqa: ANN401
    """Return what is recommended to some buyers who own songs that were learned of.

    The reason is the owned song that the recommended one is most like.

    Args:
        vectors: the songs' factors, shape (songs, factors).
        owned_works: columns buyer_number and song_index, null for what was not learned
            of.

    Returns:
        The columns of `_RANKED`.

    """
    learned = owned_works.filter("song_index is not null")
    columns = learned.project("buyer_number, song_index").fetchnumpy()
    numbers, rows = np.unique(columns["buyer_number"], return_inverse=True)
    if not len(numbers):
        return _RANKED.empty_table()
    owned = _owned(rows, columns["song_index"], len(numbers), len(vectors))
    model = _model()
    model.item_factors = vectors
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, 1e-12)
    songs, scores = _nearest(model, owned)
    reasons = np.empty_like(songs)
    first, counts = owned.indptr[:-1], np.diff(owned.indptr)
    for column, recommended in enumerate(songs.T):
        # A buyer's owned songs lie side by side; so do the likenesses to one song.
        likeness = np.einsum(
            "ij,ij->i",
            directions[owned.indices],
            np.repeat(directions[recommended], counts, axis=0),
        )
        most = np.repeat(np.maximum.reduceat(likeness, first), counts)
        candidates = np.where(likeness == most, np.arange(len(likeness)), len(likeness))
        reasons[:, column] = owned.indices[np.minimum.reduceat(candidates, first)]
    kept = scores > _NONE
    buyer, place = np.nonzero(kept)
    return pa.table(
        [numbers[buyer], place, songs[kept], reasons[kept], scores[kept]],
        schema=_RANKED,
    )


def _figures(answers: Indices, places: Indices) -> dict[str, float]:
    """Measure how often the answer is among the places, and how high up (NDCG)."""
    _, position = np.nonzero(places == answers[:, None])
    return {
        "hit_rate_at_10": len(position) / len(answers),
        "ndcg_at_10": float((1 / np.log2(position + 2)).sum()) / len(answers),
    }
