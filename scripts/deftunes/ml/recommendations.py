"""Recommends ten songs that a user does not own, each with a reason.

Matrix factorization of who bought what (Hu, Koren and Volinsky, "Collaborative
Filtering for Implicit Feedback Datasets", 2008, in the package implicit): the songs
that a buyer owns give a vector, and the songs with the nearest vectors are recommended.
Users without such songs get best-sellers, which `int_song_candidates` adds.

The same title by the same artist under several ids is one work (`int_works`), so that
nobody is offered what they own under another id.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from deftunes.ml.evaluations import (
    NOTHING_BOUGHT,
    Evaluation,
    Floats,
    Metrics,
    Training,
    compare,
)

# A change of what is learned, or how, needs a new version in `int_trainings`.
MODEL_NAME = "song_recommendations"

SONGS = 10
"""How many songs are recommended to each user."""

FEWEST_MEASURED = 100
"""How many buyers of two songs there must be for the model to be measured."""

_PARAMETERS = {"factors": 32, "regularization": 4.0, "alpha": 2.0, "iterations": 15}
_SEED = 1
_MOST_MEASURED = 20_000  # buyers
_BATCH = 32_768  # buyers: what memory has to hold at a time
_EXCLUDED_SCORE = np.finfo(np.float32).min  # of songs that only fill up a row

_RANKED_SONGS = pa.schema(
    [
        ("buyer_number", pa.int64()),
        ("song_rank", pa.int32()),
        ("song_index", pa.int64()),
        ("reason_index", pa.int64()),
        ("score", pa.float64()),
    ]
)

Indices = npt.NDArray[np.int64]


def evaluate(purchases: DuckDBPyRelation, training: Training) -> Evaluation:
    """Hide the last song of each buyer, and see whether it is recommended.

    Args:
        purchases: rows of `int_learned_purchases`.
        training: what it learns from.

    Returns:
        The evaluation: the share of hidden songs among the ten, and how high up (NDCG);
        without metrics where there are too few buyers.

    """
    columns = (
        purchases.select("buyer_index, song_index, recency_rank")
        .order("buyer_index, song_index")
        .fetchnumpy()
    )
    buyers, songs = columns["buyer_index"], columns["song_index"]
    hidden = (columns["recency_rank"] == 1) & (np.bincount(buyers)[buyers] > 1)
    measured = hidden & (buyers < _MOST_MEASURED)
    first_day, end_day = training.first_purchase_date, training.scoring_date
    period = (first_day, end_day) if first_day and end_day else None
    evaluation = Evaluation(
        training_id=training.training_id,
        model_name=MODEL_NAME,
        figures=[],
        training_dates=period,
        evaluation_dates=period,
        offered_training_dates=period,
        training_count=int((~hidden).sum()),
        evaluation_count=int(measured.sum()),
        offered_training_count=len(songs),
        parameters=_PARAMETERS,
    )
    if not period:
        return replace(evaluation, unmeasured_reason=NOTHING_BOUGHT)
    if evaluation.evaluation_count < FEWEST_MEASURED:
        return replace(
            evaluation,
            unmeasured_reason=f"too few buyers: {evaluation.evaluation_count} bought"
            f" two songs or more before {end_day}, and it takes {FEWEST_MEASURED}",
        )
    owned = _owned(buyers[~hidden], songs[~hidden], buyers.max() + 1, songs.max() + 1)
    model = _fit(owned)
    rows, answers = owned[buyers[measured]], songs[measured]
    learned, scores = _nearest(model, rows)
    # A buyer who owns almost all songs gets some of them to fill up the row.
    learned = np.where(scores > _EXCLUDED_SCORE, learned, -1)
    # The songs are numbered by how many bought them.
    popular = np.vstack(
        [np.setdiff1d(np.arange(SONGS + row.nnz), row.indices)[:SONGS] for row in rows]
    )
    return replace(
        evaluation,
        figures=compare(
            _metrics(answers, learned),
            {"popularity": _metrics(answers, popular)},
            len(answers),
        ),
    )


def song_factors(
    connection: DuckDBPyConnection,
    purchases: DuckDBPyRelation,
    training_id: str | None,
) -> DuckDBPyRelation:
    """Fit the factors of the songs.

    Args:
        connection: where the relation is.
        purchases: rows of `int_learned_purchases`.
        training_id: what is learned; None for nothing.

    Returns:
        Columns song_key, song_index (from 0, by how many bought it), factors and
        training_id.

    """
    if training_id is None:
        purchases = purchases.limit(0)
    purchases = _temporary(
        connection, "learned_purchases", purchases.order("buyer_index, song_index")
    )
    columns = purchases.select("buyer_index, song_index").fetchnumpy()
    buyers, songs = columns["buyer_index"], columns["song_index"]
    keys = purchases.select("song_index, cast(song_key as varchar) as song_key")
    song_keys = dict(keys.distinct().order("song_index").fetchall())
    factors = np.empty((0, 0), np.float32)
    if song_keys:
        model = _fit(_owned(buyers, songs, buyers.max() + 1, songs.max() + 1))
        factors = model.item_factors
    table = pa.table(
        {
            "song_key": pa.array(song_keys.values(), pa.string()),
            "song_index": pa.array(song_keys, pa.int64()),
            "factors": pa.array(list(factors), pa.list_(pa.float32())),
            "training_id": pa.array([training_id] * len(song_keys), pa.string()),
        }
    )
    return connection.from_arrow(table).select(
        "cast(song_key as uuid) as song_key, song_index, factors, training_id"
    )


def rankings(
    connection: DuckDBPyConnection,
    users: DuckDBPyRelation,
    purchases: DuckDBPyRelation,
    factors: DuckDBPyRelation,
) -> DuckDBPyRelation:
    """Rank for each user the songs that they do not own, the nearest first.

    Args:
        connection: where the relations are.
        users: rows of `int_user_profiles`.
        purchases: rows of `int_purchased_works`.
        factors: rows of `ml_song_factors`, each with its `work_key`.

    Returns:
        Rows of `int_song_rankings`: up to ten per user, and one without a work for a
        user who owns no song that was learned of.

    """
    users = _temporary(
        connection,
        "users",
        users.select("*, row_number() over (order by buyer_key) - 1 as buyer_number"),
    )
    ranked_songs = _temporary(
        connection, "ranked_songs", connection.from_arrow(_RANKED_SONGS.empty_table())
    )
    ((count,),) = users.aggregate("count(*)").fetchall()
    if count:
        owned = _temporary(
            connection,
            "owned_songs",
            purchases.join(users, "buyer_key")
            .join(factors, "work_key")
            .select("buyer_number, song_index")
            .distinct()
            .order("buyer_number, song_index"),
        )
        # Only the vectors: Python would make an object of each key.
        vectors = np.array(
            list(factors.order("song_index").select("factors").fetchnumpy()["factors"]),
            np.float32,
        )
        for first in range(0, count, _BATCH):
            last = first + _BATCH - 1
            of_batch = owned.filter(f"buyer_number between {first} and {last}")
            connection.from_arrow(_ranked(vectors, of_batch)).insert_into(
                "temp.ranked_songs"
            )
    works = factors.select("song_index, work_key")
    reasons = works.select("song_index as reason_index, work_key as reason_work_key")
    return (
        users.join(ranked_songs, "buyer_number", how="left")
        .join(works, "song_index", how="left")
        .join(reasons, "reason_index", how="left")
        .select(
            "buyer_key, country_code, coalesce(song_rank, 1) as song_rank, work_key,"
            " reason_work_key, score, training_id, _profile_checksum"
        )
    )


def _temporary(
    connection: DuckDBPyConnection, name: str, relation: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Store a relation that is read several times in a temporary table."""
    connection.sql(f"create or replace temporary table {name} as from relation")
    return connection.table(f"temp.{name}")


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
        at most `_EXCLUDED_SCORE`.

    """
    with _one_blas_thread():
        songs, scores = model.recommend(
            np.arange(owned.shape[0]),
            owned,
            N=min(SONGS, owned.shape[1]),
            recalculate_user=True,
        )
    return songs, scores


def _ranked(vectors: Any, owned_songs: DuckDBPyRelation) -> pa.Table:  # noqa: ANN401
    """Rank songs for buyers who own songs that were learned of.

    The reason is the owned song that the recommended one is most like.

    Args:
        vectors: the songs' factors, shape (songs, factors).
        owned_songs: columns buyer_number and song_index.

    Returns:
        The columns of `_RANKED_SONGS`.

    """
    columns = owned_songs.fetchnumpy()
    numbers, rows = np.unique(columns["buyer_number"], return_inverse=True)
    if not len(numbers):
        return _RANKED_SONGS.empty_table()
    owned = _owned(rows, columns["song_index"], len(numbers), len(vectors))
    model = _model()
    model.item_factors = vectors
    songs, scores = _nearest(model, owned)
    reasons = _most_similar_owned(vectors, owned, songs)
    kept = scores > _EXCLUDED_SCORE
    buyer, place = np.nonzero(kept)
    return pa.table(
        [numbers[buyer], place + 1, songs[kept], reasons[kept], scores[kept]],
        schema=_RANKED_SONGS,
    )


def _most_similar_owned(vectors: Any, owned: Any, songs: Indices) -> Indices:  # noqa: ANN401
    """Return for each recommended song the owned one with the most similar direction.

    Args:
        vectors: the songs' factors, shape (songs, factors).
        owned: what the buyers own, a CSR matrix of shape (buyers, songs); at least one.
        songs: what they are recommended, shape (buyers, at most ten).

    Returns:
        Of the shape of `songs`; of several owned songs that are equal, the first.

    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, 1e-12)
    reasons = np.empty_like(songs)
    first, counts = owned.indptr[:-1], np.diff(owned.indptr)
    for column, recommended in enumerate(songs.T):
        # A row's owned songs lie side by side; so do their similarities to one song.
        similarity = np.einsum(
            "ij,ij->i",
            directions[owned.indices],
            np.repeat(directions[recommended], counts, axis=0),
        )
        best = np.repeat(np.maximum.reduceat(similarity, first), counts)
        position = np.arange(len(similarity))
        candidates = np.where(similarity == best, position, len(similarity))
        reasons[:, column] = owned.indices[np.minimum.reduceat(candidates, first)]
    return reasons


def _metrics(answers: Indices, places: Indices) -> Metrics:
    """Measure how often the answer is among the places, and how high up (NDCG)."""
    hits = places == answers[:, None]
    gains = (hits / np.log2(np.arange(2, 2 + hits.shape[1]))).sum(axis=1)

    def measure(weights: Floats) -> dict[str, Floats]:
        counts = weights.sum(axis=1)
        return {
            "hit_rate_at_10": weights @ hits.any(axis=1) / counts,
            "ndcg_at_10": weights @ gains / counts,
        }

    return measure
