"""The JSON Schemas of the API's answers describe what the loader and dbt expect."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
import requests
from deftunes.landing.api import JSON_SCHEMAS, SESSIONS, USERS
from demo_sources import service
from demo_sources.generator import Generator

SCHEMAS = {path: json.loads(file.read_text()) for path, file in JSON_SCHEMAS.items()}
ARROW = {"users": USERS, "sessions": SESSIONS}
NAMES = {pa.string(): "string", pa.float64(): "number", pa.bool_(): "boolean"}


def arrow_type(kind: pa.DataType) -> Any:  # noqa: ANN401 - nested
    """Return an Arrow type as names of JSON types."""
    if pa.types.is_list(kind):
        return [arrow_type(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: arrow_type(field.type) for field in kind}
    return NAMES[kind]


def json_type(schema: dict[str, Any]) -> Any:  # noqa: ANN401 - nested
    """Return a JSON Schema as names of JSON types, without null."""
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (kind,) = {*kinds} - {"null"}
    if kind == "array":
        return [json_type(schema["items"])]
    if kind == "object":
        return {name: json_type(each) for name, each in schema["properties"].items()}
    return kind


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Return the made-up API's answers for a year."""
    with service.running(Generator(items=2000, end=date(2024, 1, 1))) as api:
        return {
            path: requests.get(f"{api.url}/{path}", timeout=30).json()
            for path in SCHEMAS
        }


def changes(path: str, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield records that dbt would reject."""
    yield from ({**record, name: None} for name in SCHEMAS[path]["items"]["required"])
    if path == "users":
        place = record["user_location"]
        yield record | {"user_since": "yesterday"}
        yield from (record | {"user_location": each} for each in ([], place[:4]))
        yield record | {"user_location": ["north", *place[1:]]}
        return
    yield record | {"session_start_time": "2024-1-5"}
    item = record["session_items"][0]
    for change in (
        *({name: None} for name in ("song_id", "price", "currency")),
        *({"price": -1}, {"price": "1"}, {"song_id": ""}, {"liked_since": "now"}),
    ):
        yield record | {"session_items": [item | change]}


@pytest.mark.parametrize("path", SCHEMAS)
def test_schemas_and_the_loader_have_the_same_fields(path: str) -> None:
    assert [arrow_type(pa.struct(list(ARROW[path])))] == json_type(SCHEMAS[path])


@pytest.mark.parametrize("path", SCHEMAS)
def test_the_made_up_api_and_the_examples_match_their_schema(
    path: str, answers: dict[str, Any]
) -> None:
    schema = SCHEMAS[path]
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert len(answers[path]) > 100
    validator.validate(answers[path])
    (example,) = schema["examples"]
    validator.validate(example)
    # Each field is in the example.
    (record,) = example
    assert record.keys() == schema["items"]["properties"].keys()
    for changed in changes(path, record):
        assert not validator.is_valid([changed]), changed
    assert validator.is_valid([record | {"new": 1}])
