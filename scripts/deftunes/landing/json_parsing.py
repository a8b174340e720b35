"""Parses JSON records into Arrow tables without losing or silently changing a value.

Nearly all records match the schema. They are parsed in bulk, in C. The irregular ones
are parsed one by one in Python. A record that does not match the schema is kept as text
in `_payload`, and its typed columns are null.
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

_CHUNK = 1000  # records
_BLOCK = 1 << 22  # bytes that one thread parses at a time

_BEGINNING = 100  # characters
_FIELDS = 8
_FIELD_NAME = "[A-Za-z_][A-Za-z0-9_]{0,29}"

_SPACES_FOR_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_MEMBER = re.compile(r'\s*("[^"\\]*(?:\\.[^"\\]*)*")\s*:\s*(.*?)\s*', re.DOTALL)


class BodyError(Exception):
    """A body cannot be parsed; the message says why."""


class PermanentBodyError(BodyError):
    """A body is complete, but of another type, so a retry would return the same."""


class _SchemaMismatchError(Exception):
    """A value does not match its type."""


class _PrecisionLossError(Exception):
    """A number has more digits than a double can hold."""


def split(body: bytes) -> list[bytes]:
    """Split the text of a JSON array into the texts of its elements.

    Also accepted: NaN and infinities, which Python's json module writes, and valid JSON
    that few parsers accept: lone surrogates and nesting of any depth.

    Args:
        body: the text, in UTF-8.

    Returns:
        The texts of the elements, unchanged.

    Raises:
        BodyError: the text is not JSON, or not an array.

    """
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return [
            bytes(element)
            for element in msgspec.json.decode(body, type=list[msgspec.Raw])
        ]
    except (msgspec.DecodeError, RecursionError):
        pass  # another type, broken, or one of the special cases above
    text = body.decode(errors="surrogateescape").strip()
    if not text:
        raise BodyError("The answer is empty.")
    if text[0] != "[":
        raise PermanentBodyError(_other_type(text))
    if text[:1] + text[-1:] != "[]":
        raise BodyError("The answer is not a complete JSON array.")
    elements = list(_members(text))
    for element in elements:
        try:
            json.loads(element, parse_int=float)
        except RecursionError:
            pass
        except ValueError as error:
            raise BodyError(f"The answer is not JSON: {error}") from None
    return [element.encode(errors="surrogateescape") for element in elements]


def beginning(text: str) -> str:
    """Return the first words of a text from a server, for a line of a log."""
    words = "".join(each if each.isprintable() else " " for each in text).split()
    line = " ".join(words)
    return line if len(line) <= _BEGINNING else f"{line[:_BEGINNING]}..."


def to_table(records: Sequence[bytes], schema: pa.Schema) -> pa.Table:
    """Parse JSON records into a table.

    This holds for each record, and for each struct within a list:

    - Fields that the schema lacks are kept in `_rescued`, as a JSON object.
    - A number that a double would round is null, and kept in `_rescued` as well.
    - If a value does not match its type, the whole text is kept in `_payload`, and all
      other fields are null. The record around such a struct is not affected.

    An integer matches a double; no other type is converted.

    Args:
        records: one JSON text each, as `split` returns them.
        schema: the fields to parse, without the three that are added. Structs within
            lists get `_rescued` and `_payload` too.

    Returns:
        One row per record, in any order: the fields of the schema, `_position` (its
        index in `records`), `_rescued` and `_payload`.

    """
    target = _landed(schema)
    positions = range(len(records))
    table = _parse_bulk(records, positions, schema, target)
    if table is not None:
        return table
    matches = _schema_matcher(schema)
    irregular = [position for position in positions if not matches(records[position])]
    tables = [target.empty_table()]
    for chunk in _chunks(sorted({*positions} - {*irregular})):
        table = _parse_bulk(records, chunk, schema, target)
        if table is None:
            irregular += chunk  # Arrow is stricter than msgspec in some cases
        else:
            tables.append(table)
    tables += [
        _parse_one_by_one(records, chunk, target) for chunk in _chunks(irregular)
    ]
    return pa.concat_tables(tables)


def add_landing_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Add the columns that `to_table` adds, to records that match the schema.

    Args:
        table: the records in order, with the fields of the schema.
        schema: the fields.

    Returns:
        What `to_table` returns for the same records as JSON.

    """
    return _add_columns(
        table.select(schema.names), range(table.num_rows), _landed(schema)
    )


def _other_type(text: str) -> str:
    """Return a sentence about a text that is not an array, without personal data."""
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        if text[0] == "{":
            return "The answer begins like a JSON object, so it is not an array."
        return "The answer is not JSON."
    if not isinstance(value, dict):
        return "The answer is JSON but not an array."
    # A key that does not look like a field's name might be a person's id.
    names = [name for name in value if re.fullmatch(_FIELD_NAME, name)][:_FIELDS]
    fields = f" with {', '.join(names)}" if names else ""
    more = " and more text after it" if text[end:].strip() else ""
    return f"The answer is a JSON object{fields}{more}, not an array."


def _landed(schema: pa.Schema) -> pa.Schema:
    """Return the schema with the added columns, at every level."""
    return pa.schema([*map(_with_added_fields, schema), POSITION, RESCUED, PAYLOAD])


def _chunks(positions: list[int]) -> Iterator[list[int]]:
    """Yield the positions in chunks."""
    for start in range(0, len(positions), _CHUNK):
        yield positions[start : start + _CHUNK]


def _schema_matcher(schema: pa.Schema) -> Callable[[bytes], bool]:
    """Return a function that checks whether a record matches the schema exactly."""
    decode = msgspec.json.Decoder(_python_type(pa.struct(list(schema)))).decode
    may_round = _may_round(schema)

    def matches(record: bytes) -> bool:
        if may_round(record):
            return False
        try:
            decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return True

    return matches


def _may_round(schema: pa.Schema) -> Callable[[bytes], bool]:
    """Return a function that checks whether a double might round a number in a text.

    A double can hold any 15 digits. A field name with escapes counts too: it might be
    the name of a number.
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
    """Return the Python type that msgspec decodes this Arrow type to."""
    if pa.types.is_struct(kind):
        return msgspec.defstruct(
            "Record",
            [(field.name, _python_type(field.type) | None, None) for field in kind],
            forbid_unknown_fields=True,
        )
    if pa.types.is_list(kind):
        return list[_python_type(kind.value_type)]  # type: ignore[misc]
    return {pa.string(): str, pa.float64(): float, pa.bool_(): bool}[kind]


def _with_added_fields(field: pa.Field) -> pa.Field:
    """Add `_rescued` and `_payload` to the structs of a list of structs."""
    if pa.types.is_list(field.type) and pa.types.is_struct(field.type.value_type):
        return field.with_type(
            pa.list_(pa.struct([*field.type.value_type, RESCUED, PAYLOAD]))
        )
    return field


def _parse_bulk(
    records: Sequence[bytes],
    positions: Sequence[int],
    schema: pa.Schema,
    target: pa.Schema,
) -> pa.Table | None:
    """Parse the records at these positions in C; None if one of them is irregular."""
    table = _parse([records[position] for position in positions], schema)
    return None if table is None else _add_columns(table, positions, target)


def _add_columns(
    table: pa.Table, positions: Sequence[int], target: pa.Schema
) -> pa.Table:
    """Add `_position`, and `_rescued` and `_payload` as null, at every level."""
    nothing = pa.nulls(table.num_rows, pa.string())
    table = table.append_column(POSITION, pa.array(positions, POSITION.type))
    table = table.append_column(RESCUED, nothing).append_column(PAYLOAD, nothing)
    return table.cast(target)


def _parse_one_by_one(
    records: Sequence[bytes], positions: Sequence[int], target: pa.Schema
) -> pa.Table:
    """Parse the records at these positions in Python."""
    kind = pa.struct(list(target))
    rows = [
        _row(records[position], kind) | {POSITION.name: position}
        for position in positions
    ]
    return pa.Table.from_struct_array(pa.array(rows, kind))


def _parse(records: Sequence[bytes], schema: pa.Schema) -> pa.Table | None:
    """Parse records with Arrow's JSON reader; None if one of them is irregular."""
    # Arrow reads values that are not objects as rows of nulls, or crashes.
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
        table.validate(full=True)  # fails on text that is not UTF-8
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    is_regular = table.num_rows == len(records) and all(map(_is_regular, table.columns))
    return table if is_regular else None


def _is_regular(values: pa.ChunkedArray | pa.Array) -> bool:
    """Return whether values have no null in a list, no NaN and no infinity."""
    if pa.types.is_floating(values.type):
        return pc.all(pc.is_finite(values), min_count=0).as_py() is not False
    if pa.types.is_list(values.type):
        elements = pc.list_flatten(values)
        return elements.null_count == 0 and _is_regular(elements)
    if pa.types.is_struct(values.type):
        return all(
            _is_regular(pc.struct_field(values, [number]))
            for number in range(len(values.type))
        )
    return True


def _row(record: bytes, kind: pa.StructType) -> dict[str, Any]:
    """Parse one record."""
    try:
        return _object(record.decode(), kind)
    except UnicodeDecodeError:
        return {PAYLOAD.name: record.decode(errors="replace")}


def _object(text: str, kind: pa.StructType) -> dict[str, Any]:
    """Parse one object; if it does not match its type, keep its text in `_payload`."""
    kinds = {field.name: field.type for field in kind if field.name[0] != "_"}
    row: dict[str, Any] = {}
    unknown = []
    try:
        for member in _members(text) if text.startswith("{") else [text]:
            match = _MEMBER.fullmatch(member)
            if match is None:
                raise _SchemaMismatchError
            key, value = match.groups()
            name = _value(key, pa.string())
            if name not in kinds:
                # A value that is not strict JSON is kept as a JSON string.
                json_value = value if _is_json(value) else json.dumps(value)
                unknown.append(f"{key}: {json_value}")
            elif name in row:
                raise _SchemaMismatchError  # a duplicate key is ambiguous
            else:
                try:
                    row[name] = _value(value, kinds[name])
                except _PrecisionLossError:
                    row[name] = None
                    unknown.append(f"{key}: {value}")
    except _SchemaMismatchError:
        return {PAYLOAD.name: text}
    return row | {RESCUED.name: f"{{{', '.join(unknown)}}}" if unknown else None}


def _value(text: str, kind: pa.DataType) -> Any:  # noqa: ANN401 - any of the types
    """Parse a value of the given type, or null.

    Raises:
        _SchemaMismatchError: it has another type, or no Arrow value can represent it.
        _PrecisionLossError: it is a number that a double would round.

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
                raise _PrecisionLossError
            return number
    elif pa.types.is_string(kind) and text.startswith('"') and _is_json(text):
        return json.loads(text)
    raise _SchemaMismatchError


def _is_json(text: str) -> bool:
    """Return whether a text is strict JSON."""
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _members(text: str) -> Iterator[str]:
    """Yield the texts of the members of a JSON array or object.

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
