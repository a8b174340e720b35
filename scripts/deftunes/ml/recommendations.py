"""Recommends ten songs that a user does not own, each with a reason.

Item-to-item similarity (Sarwar et al., "Item-Based Collaborative Filtering
Recommendation Algorithms", 2001): each song, and each artist, that a buyer owns votes
for the songs that the same people buy. How much is the cosine of the two sets of
buyers, shrunk so that few common buyers count less. An artist of whom a buyer owns n
songs has n * n votes. It was chosen as `evaluate` measures, on the demo's data of
three seeds and up to a million items, over matrix factorization and EASE; it also
costs least.
Users for whom nothing is similar get best-sellers, which `int_song_candidates` adds.

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
    MOST_MEASURED,
    NOTHING_BOUGHT,
    Evaluation,
    Floats,
    Metrics,
    Training,
    compare,
)

# A change of what is learned, or how, needs a new version in `int_trainings`.
MODEL_NAME = "song_recommendations"

INPUTS = ("buyer_index", "song_index", "artist_index")
"""The columns of `int_learned_purchases` that it learns from."""

SONGS = 10
"""How many songs are recommended to each user."""

FEWEST_MEASURED = 100
"""How many buyers there must be, before and after the evaluation date, to measure."""

_SHRINKAGE = 10.0  # buyers
_FEWEST_COMMON = 2  # buyers: a reason speaks of people
_MOST_SIMILAR = 50  # songs, of each song and artist
_BATCH = 32_768  # buyers: what memory has to hold at a time
_ITEM_BATCH = 4_096  # songs and artists, likewise

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
    """Learn from what was bought before a date, and see what is bought from then on.

    Orders are hidden whole: all that a buyer bought from the date on for the first
    time.

    Args:
        purchases: rows of `int_learned_purchases`.
        training: what it learns from.

    Returns:
        The evaluation: the share of buyers who bought one of the ten, and how high up
        what they bought stands (NDCG); without figures where there are too few buyers.

    """
    buyers, songs, artists, is_later = _columns(purchases)
    first, date, end = (
        training.first_purchase_date,
        training.evaluation_date,
        training.scoring_date,
    )
    # They are numbered by a hash, so the first are a sample.
    measured = np.intersect1d(buyers[~is_later], buyers[is_later])[:MOST_MEASURED]
    evaluation = Evaluation(
        training_id=training.training_id,
        model_name=MODEL_NAME,
        figures=[],
        training_dates=(first, date) if first and date else None,
        evaluation_dates=(date, end) if first and date and end else None,
        offered_training_dates=(first, end) if first and end else None,
        training_count=int((~is_later).sum()),
        evaluation_count=len(measured),
        offered_training_count=len(songs),
        parameters={
            "shrinkage": _SHRINKAGE,
            "fewest_common_buyers": _FEWEST_COMMON,
            "most_similar_songs": _MOST_SIMILAR,
        },
    )
    if not first:
        return replace(evaluation, unmeasured_reason=NOTHING_BOUGHT)
    if len(measured) < FEWEST_MEASURED:
        return replace(
            evaluation,
            unmeasured_reason=f"too few buyers: {len(measured)} bought before {date},"
            f" and something new from then to {end}; it takes {FEWEST_MEASURED}",
        )
    song_count = songs.max() + 1
    owned = _items(buyers[~is_later], songs[~is_later], artists[~is_later], song_count)
    similar = _similar_songs(owned, song_count)
    owned = owned[measured]
    popularity = np.bincount(songs[~is_later], minlength=song_count)
    later = _matrix(buyers[is_later], songs[is_later], (buyers.max() + 1, song_count))
    later = later[measured]
    # The artists of whom a buyer owns most songs first; of those, what sells best.
    songs_of_artists = _matrix(
        artists[artists >= 0],
        songs[artists >= 0],
        (artists.max() + 1, song_count),
    )
    songs_of_artists.data[:] = 1
    owned_songs = owned[:, :song_count]
    by_artist = owned_songs @ songs_of_artists.T @ songs_of_artists
    by_artist.data += (popularity / (popularity.max() + 1))[by_artist.indices]

    def metrics(scores: Any) -> Metrics:  # noqa: ANN401 - a sparse matrix
        return _metrics(_filled_up(scores, owned_songs, popularity), later)

    return replace(
        evaluation,
        figures=compare(
            metrics(_votes(owned) @ similar),
            {"popularity": metrics(later * 0), "owned artists": metrics(by_artist)},
            len(measured),
        ),
    )


def similar_songs(
    connection: DuckDBPyConnection,
    purchases: DuckDBPyRelation,
    training_id: str | None,
) -> DuckDBPyRelation:
    """Find for each song and artist the songs that the same people bought.

    Args:
        connection: where the relation is.
        purchases: rows of `int_learned_purchases`.
        training_id: what is learned; None for nothing.

    Returns:
        Rows of `ml_similar_songs`.

    """
    if training_id is None:
        purchases = purchases.limit(0)
    purchases = _temporary(connection, "learned_purchases", purchases)
    buyers, songs, artists, _ = _columns(purchases)
    song_count = int(songs.max(initial=-1)) + 1
    items = _items(buyers, songs, artists, song_count)
    similar = _similar_songs(items, song_count).tocoo()
    similar_items = pa.table(
        {
            "item_index": pa.array(similar.row, pa.int64()),
            "song_index": pa.array(similar.col, pa.int64()),
            "similarity": pa.array(similar.data, pa.float64()),
        }
    )
    _temporary(connection, "similar_items", connection.from_arrow(similar_items))
    return connection.sql(
        """
        with

        keys as (select distinct song_index, song_key from learned_purchases),

        artists as (
            select distinct artist_index, artist_key
            from learned_purchases
            where artist_index is not null
        )

        select
            owned.song_key as owned_song_key,
            artists.artist_key as owned_artist_key,
            keys.song_key,
            similar_items.similarity,
            cast($training_id as varchar) as training_id
        from similar_items
        inner join keys on similar_items.song_index = keys.song_index
        left join keys as owned on similar_items.item_index = owned.song_index
        left join artists
            on similar_items.item_index - $song_count = artists.artist_index
        """,
        params={"training_id": training_id, "song_count": song_count},
    )


def rankings(
    connection: DuckDBPyConnection,
    users: DuckDBPyRelation,
    purchases: DuckDBPyRelation,
    similar: DuckDBPyRelation,
) -> DuckDBPyRelation:
    """Rank for each user the songs that they do not own, the nearest first.

    Args:
        connection: where the relations are.
        users: rows of `int_user_profiles`.
        purchases: rows of `int_purchased_works`.
        similar: rows of `int_similar_works`.

    Returns:
        Rows of `int_song_rankings`: up to ten per user, and one without a work for a
        user for whom nothing is similar.

    """
    users = _temporary(
        connection,
        "users",
        users.select("*, row_number() over (order by person_key) - 1 as buyer_number"),
    )
    similar = _temporary(connection, "similar_works", similar)
    ranked_songs = _temporary(
        connection, "ranked_songs", connection.from_arrow(_RANKED_SONGS.empty_table())
    )
    works = purchases.select("person_key, work_key, artist_key").distinct()
    artists = works.filter("artist_key is not null")
    owned_items = works.select("person_key, work_key as item_key").union(
        artists.select("person_key, hash(artist_key) as item_key")
    )
    # Works and artists that matter to nobody's score are left out. Of a song and an
    # artist that weigh the same, the song is the reason.
    items = _temporary(
        connection,
        "numbered_items",
        similar.select("item_key, is_artist")
        .union(similar.select("work_key as item_key, false as is_artist"))
        .distinct()
        .select(
            "item_key,"
            " row_number() over (order by is_artist, item_key) - 1 as item_number"
        ),
    )
    ((count,),) = users.aggregate("count(*)").fetchall()
    ((item_count,),) = items.aggregate("count(*)").fetchall()
    if count and item_count:
        owned = _temporary(
            connection,
            "owned_items",
            owned_items.join(users, "person_key")
            .join(items, "item_key")
            .select("buyer_number, item_number"),
        )
        pairs = (
            similar.join(items, "item_key")
            .join(
                items.select("item_key as work_key, item_number as song_number"),
                "work_key",
            )
            .select("item_number, song_number, similarity")
            .fetchnumpy()
        )
        matrix = _matrix(
            pairs["item_number"],
            pairs["song_number"],
            (item_count, item_count),
            pairs["similarity"],
        )
        for first in range(0, count, _BATCH):
            last = first + _BATCH - 1
            of_batch = owned.filter(f"buyer_number between {first} and {last}")
            connection.from_arrow(_ranked(matrix, of_batch)).insert_into(
                "temp.ranked_songs"
            )
    works = items.select("item_number as song_index, item_key as work_key")
    reasons = items.select("item_number as reason_index, item_key as reason_item_key")
    return (
        users.join(ranked_songs, "buyer_number", how="left")
        .join(works, "song_index", how="left")
        .join(reasons, "reason_index", how="left")
        .select(
            "person_key, country_code, coalesce(song_rank, 1) as song_rank, work_key,"
            " reason_item_key, score, training_id, _profile_checksum"
        )
    )


def _temporary(
    connection: DuckDBPyConnection, name: str, relation: DuckDBPyRelation
) -> DuckDBPyRelation:
    """Store a relation that is read several times in a temporary table."""
    connection.sql(f"create or replace temporary table {name} as from relation")
    return connection.table(f"temp.{name}")


def _columns(purchases: DuckDBPyRelation) -> list[Any]:
    """Return buyers, songs, artists (-1 if unknown) and whether it was later."""
    columns = purchases.select(
        "buyer_index, song_index, coalesce(artist_index, -1) as artist_index, is_later"
    ).fetchnumpy()
    return [
        np.asarray(values, bool if name == "is_later" else np.int64)
        for name, values in columns.items()
    ]


def _matrix(
    rows: Indices,
    columns: Indices,
    shape: tuple[int, int],
    values: Any = None,  # noqa: ANN401 - an array
) -> Any:  # noqa: ANN401
    """Return a sparse matrix; ones where there are no values, added up."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    if values is None:
        values = np.ones(len(rows), np.float32)
    matrix = csr_matrix((values, (rows, columns)), shape, np.float32)
    matrix.sum_duplicates()
    return matrix


def _items(buyers: Indices, songs: Indices, artists: Indices, song_count: int) -> Any:  # noqa: ANN401
    """Return how much of each item buyers own: first songs, then artists, by songs."""
    known = artists >= 0
    return _matrix(
        np.concatenate([buyers, buyers[known]]),
        np.concatenate([songs, artists[known] + song_count]),
        (
            buyers.max(initial=-1) + 1,
            song_count + artists.max(initial=-1) + 1,
        ),
    )


def _similar_songs(items: Any, song_count: int) -> Any:  # noqa: ANN401
    """Return how similar the songs most similar to each item are to it.

    Args:
        items: what buyers own, a sparse matrix of shape (buyers, items); how much does
            not matter.
        song_count: how many of the items are songs; they come first.

    Returns:
        A sparse matrix of shape (items, songs).

    """
    items = items.sign()
    counts = np.bincount(items.indices, minlength=items.shape[1])
    buyers, songs = items.T.tocsr(), items[:, :song_count]
    found = []
    for first in range(0, items.shape[1], _ITEM_BATCH):
        common = (buyers[first : first + _ITEM_BATCH] @ songs).tocoo()
        item = common.row + first
        is_similar = (common.data >= _FEWEST_COMMON) & (item != common.col)
        common.data /= _SHRINKAGE + np.sqrt(counts[item] * counts[common.col])
        common.data[~is_similar] = 0
        row, song, _, similarity = _largest(common.tocsr(), _MOST_SIMILAR)
        found.append((row + first, song, similarity))
    nothing = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
    item, song, similarity = map(np.concatenate, zip(nothing, *found, strict=True))
    return _matrix(item, song, (items.shape[1], song_count), similarity)


def _votes(items: Any) -> Any:  # noqa: ANN401
    """Return how much each item of a buyer counts: a song once, artists by songs."""
    return items.power(2)


def _largest(matrix: Any, count: int) -> tuple[Indices, Indices, Indices, Any]:  # noqa: ANN401
    """Return the largest values of each row, the largest first.

    Args:
        matrix: sparse, its values at least zero; zeros are removed from it.
        count: how many of a row at most.

    Returns:
        Rows, columns, places from 0, and values. Of equal ones the first column comes
        first.

    """
    matrix.eliminate_zeros()
    matrix.sort_indices()
    counts = np.diff(matrix.indptr)
    rows = np.repeat(np.arange(len(counts)), counts)
    columns, values = matrix.indices, matrix.data
    # One number to sort by is much quicker than two.
    order = np.argsort(rows - values / (2.0 * values.max(initial=1)), kind="stable")
    places = np.arange(len(rows)) - np.repeat(matrix.indptr[:-1], counts)
    kept = places < count
    order = order[kept]
    return rows[kept], columns[order].astype(np.int64), places[kept], values[order]


def _without(scores: Any, owned: Any) -> Any:  # noqa: ANN401
    """Return the scores, with 0 for the songs that a buyer owns."""
    return scores - scores.multiply(owned)


def _filled_up(scores: Any, owned: Any, popularity: Indices) -> Indices:  # noqa: ANN401
    """Return the ten songs with the highest scores, and then the most popular ones.

    Args:
        scores: a sparse matrix of shape (buyers, songs).
        owned: what buyers own, of the same shape.
        popularity: how many bought each song, shape (songs,).

    Returns:
        Shape (buyers, 10); -1 where no song is left.

    """
    rows, songs, places, _ = _largest(_without(scores, owned), SONGS)
    best = np.full((owned.shape[0], SONGS), -1)
    best[rows, places] = songs
    popular = np.argsort(-popularity, kind="stable")
    for row in np.flatnonzero(best[:, -1] < 0):
        known = owned.indices[owned.indptr[row] : owned.indptr[row + 1]]
        taken = np.concatenate([known, best[row][best[row] >= 0]])
        fillers = popular[: SONGS + len(taken)]
        fillers = fillers[~np.isin(fillers, taken)]
        free = np.flatnonzero(best[row] < 0)[: len(fillers)]
        best[row, free] = fillers[: len(free)]
    return best


def _ranked(similar: Any, owned_items: DuckDBPyRelation) -> pa.Table:  # noqa: ANN401
    """Rank songs for buyers who own something.

    The reason is the owned song or artist that adds most to the score.

    Args:
        similar: as `_similar_songs` returns it, of shape (items, items).
        owned_items: columns buyer_number and item_number; an artist is there once for
            each song.

    Returns:
        The columns of `_RANKED_SONGS`.

    """
    columns = owned_items.fetchnumpy()
    numbers, rows = np.unique(columns["buyer_number"], return_inverse=True)
    owned = _matrix(rows, columns["item_number"], (len(numbers), similar.shape[0]))
    votes = _votes(owned)
    buyer, song, place, score = _largest(_without(votes @ similar, owned), SONGS)
    # What the buyers own, once for each of their songs.
    counts = np.diff(owned.indptr)[buyer]
    first = np.cumsum(counts) - counts
    position = np.arange(counts.sum()) + np.repeat(owned.indptr[buyer] - first, counts)
    items = owned.indices[position]
    if len(buyer):
        weights = np.asarray(similar[items, np.repeat(song, counts)]).ravel()
        weights *= votes.data[position]
        best = np.repeat(np.maximum.reduceat(weights, first), counts)
        candidates = np.where(weights == best, np.arange(len(items)), len(items))
        reason = items[np.minimum.reduceat(candidates, first)]
    else:
        reason = items
    return pa.table(
        [numbers[buyer], place + 1, song, reason, score], schema=_RANKED_SONGS
    )


def _metrics(places: Indices, later: Any) -> Metrics:  # noqa: ANN401
    """Measure who bought one of the ten, and how high up what they bought stands.

    Args:
        places: the songs that are recommended, shape (buyers, 10); -1 for none.
        later: what they bought, a sparse matrix of shape (buyers, songs).

    """
    rows = np.repeat(np.arange(len(places)), SONGS)
    bought = np.asarray(later[rows, places.ravel()]).reshape(places.shape) > 0
    discounts = 1 / np.log2(np.arange(2, 2 + SONGS))
    hits = bought & (places >= 0)
    best_gains = np.cumsum(discounts)[np.minimum(np.diff(later.indptr), SONGS) - 1]
    gains = hits @ discounts / best_gains

    def measure(weights: Floats) -> dict[str, Floats]:
        counts = weights.sum(axis=1)
        return {
            "hit_rate_at_10": weights @ hits.any(axis=1) / counts,
            "ndcg_at_10": weights @ gains / counts,
        }

    return measure
