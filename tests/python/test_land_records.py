"""JSON records are parsed without losing or silently changing a value."""

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from deftunes.landing import json_parsing
from deftunes.landing.api import SESSIONS, USERS
from deftunes.landing.json_parsing import BodyError, split, to_table
from hypothesis import given
from hypothesis import strategies as st

SESSION = {
    "session_id": "s",
    "user_id": "u",
    "user_agent": "a",
    "session_start_time": "2024-01-05T08:29:54.970697",
}
ITEM = {"song_id": "TR1", "price": 1.03, "currency": "USD", "liked": False}


def read(body: str | bytes, schema: pa.Schema = SESSIONS) -> list[dict[str, Any]]:
    """Read a JSON array and return its rows in order."""
    body = body if isinstance(body, bytes) else body.encode()
    rows: list[dict[str, Any]] = to_table(split(body), schema).to_pylist()
    return sorted(rows, key=lambda row: row["_position"])


def read_items(*items: str) -> list[dict[str, Any]]:
    """Read one session with these items' texts and return its items."""
    (row,) = read(f'[{{"session_id": "s", "session_items": [{", ".join(items)}]}}]')
    assert row["_payload"] is None
    assert row["session_id"] == "s"
    found: list[dict[str, Any]] = row["session_items"]
    return found


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row's fields that have a value."""
    return {name: value for name, value in row.items() if value is not None}


def test_a_record_that_fits_is_read_as_it_is() -> None:
    (row,) = read(json.dumps([SESSION | {"session_items": [ITEM]}], indent=1))
    (item,) = row.pop("session_items")
    assert without_nulls(row) == SESSION | {"_position": 0}
    assert without_nulls(item) == ITEM


def test_an_empty_array_is_a_table_with_the_full_schema() -> None:
    empty, one = to_table([], SESSIONS), to_table([b"{}"], SESSIONS)
    odd = to_table([b"1"], SESSIONS)
    assert empty.num_rows == 0
    assert empty.schema == one.schema == odd.schema


def test_missing_and_null_fields_are_null() -> None:
    rows = read('[{}, {"session_items": null, "user_id": null}]')
    assert list(map(without_nulls, rows)) == [{"_position": 0}, {"_position": 1}]


@pytest.mark.parametrize(
    "text",
    [
        '{"session_id": 1}',
        '{"session_id": true}',
        '{"session_id": {}}',
        '{"session_start_time": 1704441600}',
        '{"session_items": {}}',
        '{"session_items": "none"}',
        '{"session_id": "\\ud800"}',
        '{"session_id": "a", "session_id": "b"}',
        "null",
        "1",
        '"text"',
        "[]",
        '[{"session_id": "s"}]',
        '{"session_id": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"session_id": ' + "1" * 5000 + "}",
    ],
)
def test_a_record_of_a_wrong_type_keeps_its_text_only(text: str) -> None:
    before, row, after = read(f'[{{"session_id": "1"}},{text} , {{"session_id": "2"}}]')
    assert without_nulls(row) == {"_position": 1, "_payload": text}
    assert (before["session_id"], after["session_id"]) == ("1", "2")


@pytest.mark.parametrize(
    "text",
    [
        '{"price": "1.03"}',
        '{"price": true}',
        '{"price": NaN}',
        '{"price": -Infinity}',
        '{"price": 1e999}',
        '{"price": 1.7976931348623159e308}',
        '{"price": ' + "9" * 5000 + "}",
        '{"price": {"usd": 1}}',
        '{"liked": 1}',
        '{"liked": "true"}',
        '{"song_id": 7}',
        '{"price": 1, "price": 2}',
        '{"song_name": "\\ud83d"}',
        "null",
        "1",
        '"TR1"',
        "[]",
    ],
)
def test_an_item_of_a_wrong_type_keeps_its_text_and_place(text: str) -> None:
    items = read_items('{"song_id": "1"}', text, '{"song_id": "2"}')
    assert list(map(without_nulls, items)) == [
        {"song_id": "1"},
        {"_payload": text},
        {"song_id": "2"},
    ]


def test_a_user_with_a_place_that_is_not_text_keeps_its_text_only() -> None:
    texts = ['{"user_location": ["1", 2]}', '{"user_location": ["1", null]}']
    rows = read(f"[{', '.join(texts)}]", USERS)
    assert [row["_payload"] for row in rows] == texts
    assert [row["user_location"] for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("text", "price"),
    [
        *(("1", 1.0), ("0.1", 0.1), ("-0.0", 0.0), ("5e0", 5.0), ("1E-4", 0.0001)),
        *(("0.30000000000000004", 0.1 + 0.2), ("1.50000000000000000000", 1.5)),
        *(("9007199254740992", 2.0**53), ("1e22", 1e22), ("5e-324", 5e-324)),
    ],
)
def test_any_number_that_a_double_holds_is_a_price(text: str, price: float) -> None:
    (item,) = read_items(f'{{"price": {text}}}')
    assert without_nulls(item) == {"price": price}


@pytest.mark.parametrize(
    "text",
    [
        *("1.0000000000000000001", "0.10000000000000000001", "9007199254740993"),
        *("12345678901234567890123", "12345678901234567.89", "-1.00000000000000001"),
        *("1e-400", "0.3000000000000000444", "123456789012345678e-2", "1.7e-323"),
    ],
)
@pytest.mark.parametrize("name", ["price", "pr\\u0069ce", "\\u0070rice"])
def test_a_price_that_a_double_would_round_is_rescued(text: str, name: str) -> None:
    member = f'"{name}" : {text}'
    odd = f'{{"song_id": "TR1", {member}}}'
    assert list(map(without_nulls, read_items('{"price": 1.5}', odd))) == [
        {"price": 1.5},
        {"song_id": "TR1", "_rescued": f'{{"{name}": {text}}}'},
    ]


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_no_price_is_ever_another_one(number: Decimal, places: int) -> None:
    for text in (f"{number:e}", f"{number:.{places}f}"[:300]):
        (item,) = read_items(f'{{"price": {text}}}')
        if item["price"] is not None:
            assert Decimal(text) == Decimal(repr(item["price"]))
        else:
            assert text in (item["_rescued"] or item["_payload"])


@pytest.mark.parametrize(
    ("member", "kept"),
    [
        ('"tags": ["x", {"y": 1.10}]', '"tags": ["x", {"y": 1.10}]'),
        ('"a,]}\\"": 12345678901234567890', '"a,]}\\"": 12345678901234567890'),
        ('"_payload": "x"', '"_payload": "x"'),
        ('"_position": 3', '"_position": 3'),
        ('"none": null', '"none": null'),
        ('"share": NaN', '"share": "NaN"'),
    ],
)
def test_unknown_fields_are_rescued_as_delivered(member: str, kept: str) -> None:
    (row,) = read(
        f'[{{"session_id": "s", {member}, '
        f'"session_items": [{{"song_id": "TR1", {member}}}]}}]'
    )
    assert row["_rescued"] == row["session_items"][0]["_rescued"] == f"{{{kept}}}"
    assert row["_payload"] is row["session_items"][0]["_payload"] is None
    assert row["session_id"] == "s"
    assert row["session_items"][0]["song_id"] == "TR1"


def test_text_may_hold_anything() -> None:
    text = "\0 \n \u2028 ]}, 一青窈 \U0001f3b5"
    (row,) = read(json.dumps([{"session_id": text}]))
    assert row["session_id"] == text


def test_a_record_that_is_not_utf8_keeps_what_can_be_kept() -> None:
    first, second = read(b'[{"session_id": "\xff"}, {"session_id": "s"}]')
    assert first["_payload"] == '{"session_id": "\N{REPLACEMENT CHARACTER}"}'
    assert second["session_id"] == "s"


@pytest.mark.parametrize(
    "body",
    [
        *("", "{}", "null", "<html>", '{"detail": "no"}', '[{"a": 1}', "[1] [2]"),
        *("[1,]", "[tru]", "[NaN}", '[{"a": NaN}', '[{"a": NaN}, {"b": }]'),
        '[{"a": "\n"}]',
    ],
)
def test_what_is_no_json_array_is_refused(body: str) -> None:
    with pytest.raises(BodyError):
        split(body.encode())


def test_every_record_keeps_its_position_among_odd_ones() -> None:
    texts = [
        f'{{"session_id": {number if number % 97 == 0 else json.dumps(str(number))}}}'
        for number in range(2000)
    ]
    for position, row in enumerate(read(f"[{','.join(texts)}]")):
        odd = position % 97 == 0
        assert row["_position"] == position
        assert row["session_id"] == (None if odd else str(position))
        assert row["_payload"] == (texts[position] if odd else None)


PRICES = st.decimals(-1000, 1000, places=4).map(float)
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def records_of(odd: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Return a strategy for records with the right fields and any values."""
    item = st.fixed_dictionaries(
        {},
        optional={
            "song_id": TEXTS | odd,
            "price": PRICES | st.floats(allow_nan=False, allow_infinity=False) | odd,
            "liked": st.booleans() | odd,
        },
    )
    return st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "session_id": TEXTS | odd,
                "session_items": st.lists(item | odd, max_size=3) | odd,
            },
        )
        | odd,
        max_size=8,
    )


@given(records_of(st.nothing()))
def test_the_fast_and_the_careful_way_agree(delivered: list[Any]) -> None:
    kind = pa.struct(list(to_table([], SESSIONS).schema))
    texts = split(json.dumps(delivered).encode())
    careful = [json_parsing._row(text, kind) for text in texts]
    fast = to_table(texts, SESSIONS).sort_by("_position").to_pylist()
    full = pa.array(careful, kind).to_pylist()
    for row in (*fast, *full):
        del row["_position"]
    assert fast == full
    assert all(row["_payload"] is None for row in fast)


@given(records_of(ANYTHING))
def test_no_record_is_lost_and_none_crashes(delivered: list[Any]) -> None:
    rows = read(json.dumps(delivered))
    assert [row["_position"] for row in rows] == list(range(len(delivered)))
    for row, record in zip(rows, delivered, strict=True):
        if row["_payload"] is not None:
            assert row["_payload"] == json.dumps(record)
        else:
            assert row["session_id"] == record.get("session_id")
            assert len(row["session_items"] or ()) == len(
                record.get("session_items") or ()
            )
