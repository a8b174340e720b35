"""JSON records to Arrow tables, without losing or silently changing any.

Nearly all records fit their types; those are parsed in C, all at once. The odd ones are
sorted out and taken apart one by one. What does not fit stays as it was delivered, as
text, beside empty typed columns.
"""

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.json  # type: ignore[import-untyped]

POSITION = pa.field("_position", pa.int32())
RESCUED = pa.field("_rescued", pa.string())
PAYLOAD = pa.field("_payload", pa.string())

_PIECE = 1000  # records
_BLOCK = 1 << 22  # bytes that one thread parses at a time

_SPACES_FOR_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_MEMBER = re.compile(r'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*(.*?)\s*', re.DOTALL)


class BodyError(Exception):
    """A text is not a JSON array; the message says in what way."""


class OtherBodyError(BodyError):
    """It is something else altogether, so that asking again brings the same."""


class _MisfitError(Exception):
    """A value does not fit its type."""


class _RoundedError(Exception):
    """A number has more digits than a double can hold."""


def split(body: bytes) -> list[bytes]:
    """Split the text of a JSON array into the texts of its elements.

    NaN and the infinities, which Python's own servers write, are let through, and so is
    what JSON allows but few readers can hold: lone surrogates, any depth.

    Args:
        body: the text, in UTF-8.

    Returns:
        The elements' texts as they were delivered.

    Raises:
        BodyError: the text is not JSON, or not an array.

    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return [
            bytes(element)
            for element in msgspec.json.decode(body, type=list[msgspec.Raw])
        ]
    except msgspec.ValidationError as error:
        raise OtherBodyError(f"The answer is JSON but not an array: {error}.") from None
    except (msgspec.DecodeError, RecursionError):
        pass  # either broken or one of the oddities above
    text = body.decode(errors="surrogateescape").strip()
    if text and text[0] != "[":
        raise OtherBodyError("The answer is not a JSON array.")
    if text[:1] + text[-1:] != "[]":
        raise BodyError("The answer is not a whole JSON array.")
    elements = list(_members(text))
    for element in elements:
        try:
            json.loads(element, parse_int=float)
        except RecursionError:
            pass
        except ValueError as error:
            raise BodyError(f"The answer is not JSON: {error}") from None
    return [element.encode(errors="surrogateescape") for element in elements]


def to_table(records: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """Read JSON records into a table.

    A record, or a struct within a list, that has fields which the schema lacks keeps
    them in `_rescued`, a JSON object. One that does not fit its types has its whole
    text in `_payload` and null everywhere else; the record around such a struct is
    fine. A number that a double would round is null, and kept in `_rescued` like an
    unknown field. An integer fits a double; nothing else is converted.

    Args:
        records: one JSON text each, as `split` returns them.
        schema: the fields to read, without the three that are added. Structs within
            lists get `_rescued` and `_payload` too.

    Returns:
        One row per record, in any order: the fields of the schema, `_position` (its
        place in `records`), `_rescued` and `_payload`.

    """
    target = _landed(schema)
    everything = range(len(records))
    table = _fast(records, everything, schema, target)
    if table is not None:
        return table
    fits = _checker(schema)
    odd = [position for position in everything if not fits(records[position])]
    tables = [target.empty_table()]
    for piece in _pieces(sorted({*everything} - {*odd})):
        table = _fast(records, piece, schema, target)
        if table is None:
            odd += piece  # something is odd that only Arrow minds
        else:
            tables.append(table)
    tables += [_careful(records, piece, target) for piece in _pieces(odd)]
    return pa.concat_tables(tables)


def fitting(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Bring records that fit their types into the shape that `to_table` gives them.

    Args:
        table: the records in order, with the fields of the schema.
        schema: the fields.

    Returns:
        What `to_table` makes of the same records as JSON.

    """
    return _without_oddities(
        table.select(schema.names), range(table.num_rows), _landed(schema)
    )


def _landed(schema: pa.Schema) -> pa.Schema:
    """Add the columns for what does not fit, at every level."""
    return pa.schema([*map(_with_oddities, schema), POSITION, RESCUED, PAYLOAD])


def _pieces(positions: list[int]) -> Iterator[list[int]]:
    """Yield positions, some at a time."""
    for start in range(0, len(positions), _PIECE):
        yield positions[start : start + _PIECE]


def _checker(schema: pa.Schema) -> Callable[[bytes], bool]:
    """Return what tells whether a record fits its types, to the letter."""
    decode = msgspec.json.Decoder(_python_type(pa.struct(list(schema)))).decode
    may_round = _may_round(schema)

    def fits(record: bytes) -> bool:
        if may_round(record):
            return False
        try:
            decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    return fits


def _may_round(schema: pa.Schema) -> Callable[[bytes], bool]:
    """Return what tells whether a text has numbers that doubles might round.

    A double holds any 15 digits. A name that is written with escapes might be the name
    of such a number.
    """
    names = [re.escape(name).encode() for name in _numbers(pa.struct(list(schema)))]
    patterns = [
        re.compile(rb'"%b"\s*:\s*-?(?:[\d.]{16,}|[\d.]+[eE])' % name) for name in names
    ]
    if names:
        patterns.append(re.compile(rb'\\[^"]*"\s*:'))
    return lambda text: any(pattern.search(text) for pattern in patterns)


def _numbers(kind: pa.DataType) -> Iterator[str]:
    """Yield the names of the numbers in a type, at any depth."""
    if pa.types.is_list(kind):
        yield from _numbers(kind.value_type)
    elif pa.types.is_struct(kind):
        for field in kind:
            if pa.types.is_floating(field.type):
                yield field.name
            yield from _numbers(field.type)


def _python_type(kind: pa.DataType) -> Any:  # noqa: ANN401 - a type
    """Return the type as msgspec knows it."""
    if pa.types.is_struct(kind):
        return msgspec.defstruct(
            "Record",
            [(field.name, _python_type(field.type) | None, None) for field in kind],
            forbid_unknown_fields=True,
        )
    if pa.types.is_list(kind):
        return list[_python_type(kind.value_type)]  # type: ignore[misc]
    return {pa.string(): str, pa.float64(): float, pa.bool_(): bool}[kind]


def _with_oddities(field: pa.Field) -> pa.Field:
    """Add the two columns for what does not fit to a list of structs."""
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return field.with_type(
            pa.list_(pa.struct([*field.type.value_type, RESCUED, PAYLOAD]))
        )
    return field


def _fast(
    records: Sequence[bytes],
    positions: Sequence[int],
    schema: pa.Schema,
    target: pa.Schema,
) -> pa.Table | None:
    """Read the records at some positions in C; None if any of them is odd."""
    table = _parse([records[position] for position in positions], schema)
    return None if table is None else _without_oddities(table, positions, target)


def _without_oddities(
    table: pa.Table, positions: Sequence[int], target: pa.Schema
) -> pa.Table:
    """Add the columns for what does not fit where everything does."""
    nothing = pa.nulls(table.num_rows, pa.string())
    table = table.append_column(POSITION, pa.array(positions, POSITION.type))
    table = table.append_column(RESCUED, nothing).append_column(PAYLOAD, nothing)
    return table.cast(target)


def _careful(
    records: Sequence[bytes], positions: Sequence[int], target: pa.Schema
) -> pa.Table:
    """Take the records at some positions apart one by one."""
    kind = pa.struct(list(target))
    rows = [
        _row(records[position], kind) | {POSITION.name: position}
        for position in positions
    ]
    return pa.Table.from_struct_array(pa.array(rows, kind))


def _parse(records: Sequence[bytes], schema: pa.Schema) -> pa.Table | None:
    """Parse records in C; None if there is anything odd about any of them."""
    # The parser reads other values than objects as rows of nulls, or crashes on them.
    if not records or not all(record.startswith(b"{") for record in records):
        return None
    lines = b"\n".join(records)
    if b"\r" in lines or lines.count(b"\n") >= len(records):
        lines = b"\n".join(
            record.translate(_SPACES_FOR_LINE_ENDS) for record in records
        )
    if _may_round(schema)(lines):
        return None
    block = max(_BLOCK, 2 * max(map(len, records)))
    try:
        table = pyarrow.json.read_json(
            pa.BufferReader(lines),
            read_options=pyarrow.json.ReadOptions(block_size=block),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=schema, unexpected_field_behavior="error"
            ),
        )
        table.validate(full=True)  # text is UTF-8
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    fits = table.num_rows == len(records) and all(map(_fits, table.columns))
    return table if fits else None


def _fits(values: pa.ChunkedArray | pa.Array) -> bool:
    """Tell whether there are no nulls in lists, NaN or infinities, at any depth."""
    if pa.types.is_floating(values.type):
        return pc.all(pc.is_finite(values), min_count=0).as_py() is not False
    if pa.types.is_list(values.type):
        elements = pc.list_flatten(values)
        return elements.null_count == 0 and _fits(elements)
    if pa.types.is_struct(values.type):
        return all(_fits(pc.struct_field(values, [i])) for i in range(len(values.type)))
    return True


def _row(record: bytes, kind: pa.StructType) -> dict[str, Any]:
    """Take one record apart."""
    try:
        return _object(record.decode(), kind)
    except UnicodeDecodeError:
        return {PAYLOAD.name: record.decode(errors="replace")}


def _object(text: str, kind: pa.StructType) -> dict[str, Any]:
    """Take one object apart; its whole text is the payload if that fails."""
    kinds = {field.name: field.type for field in kind if field.name[0] != "_"}
    row: dict[str, Any] = {}
    unknown = []
    try:
        for member in _members(text) if text.startswith("{") else [text]:
            match = _MEMBER.fullmatch(member)
            if match is None:
                raise _MisfitError
            key, value = match.groups()
            name = _value(key, pa.string())
            if name not in kinds:
                # Text that is no strict JSON is kept as a string.
                kept = value if _is_json(value) else json.dumps(value)
                unknown.append(f"{key}: {kept}")
            elif name in row:
                raise _MisfitError  # which of the two is meant is not ours to say
            else:
                try:
                    row[name] = _value(value, kinds[name])
                except _RoundedError:
                    row[name] = None
                    unknown.append(f"{key}: {value}")
    except _MisfitError:
        return {PAYLOAD.name: text}
    return row | {RESCUED.name: f"{{{', '.join(unknown)}}}" if unknown else None}


def _value(text: str, kind: pa.DataType) -> Any:  # noqa: ANN401 - any of the types
    """Read a value that must be of a type, or null.

    Raises:
        _MisfitError: it is of another type, or no Arrow value can hold it.
        _RoundedError: it is a number that a double would round.

    """
    if text == "null":
        return None
    if pa.types.is_list(kind) and text.startswith("["):
        if pa.types.is_struct(kind.value_type):
            return [_object(item, kind.value_type) for item in _members(text)]
        elements = [_value(element, kind.value_type) for element in _members(text)]
        if None not in elements:
            return elements
    elif pa.types.is_boolean(kind) and text in ("true", "false"):
        return text == "true"
    elif pa.types.is_floating(kind) and text[0] in "-0123456789":
        number = float(text)
        if math.isfinite(number):
            if Decimal(text) != Decimal(repr(number)):
                raise _RoundedError
            return number
    elif pa.types.is_string(kind) and text.startswith('"') and _is_json(text):
        return json.loads(text)
    raise _MisfitError


def _is_json(text: str) -> bool:
    """Tell whether a text is JSON that any reader takes."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _members(text: str) -> Iterator[str]:
    """Yield the texts between the commas of an array or object, at any depth.

    Raises:
        BodyError: a bracket is missing, or something follows the last one.

    """
    depth, start = 0, 1
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
            if depth == 0:
                if token.end() != len(text):
                    raise BodyError("Something follows the end of the answer.")
                last = text[start : token.start()].strip()
                if last or start > 1:
                    yield last
                return
        elif mark == "," and depth == 1:
            yield text[start : token.start()].strip()
            start = token.end()
    raise BodyError("The answer ends too early.")
