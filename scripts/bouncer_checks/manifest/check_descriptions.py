"""Checks of descriptions, for dbt-bouncer."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from dbt_bouncer.check_framework.decorator import (  # type: ignore[import-untyped]
    check,
    fail,
)


class Described(Protocol):
    """A column."""

    name: str
    description: str | None


class Relation(Protocol):
    """A seed, a snapshot or a source."""

    name: str
    columns: Mapping[str, Described]


@check  # type: ignore[untyped-decorator]
def check_seed_columns_are_described(seed: Relation) -> None:
    """Require a description of every column of a seed."""
    _require_descriptions(seed.name, seed.columns.values())


@check  # type: ignore[untyped-decorator]
def check_snapshot_columns_are_described(snapshot: Relation) -> None:
    """Require a description of every column of a snapshot."""
    _require_descriptions(snapshot.name, snapshot.columns.values())


@check  # type: ignore[untyped-decorator]
def check_source_columns_are_described(source: Relation) -> None:
    """Require a description of every column that is listed for a source."""
    _require_descriptions(source.name, source.columns.values())


def _require_descriptions(owner: str, columns: Iterable[Described]) -> None:
    missing = [
        column.name for column in columns if not (column.description or "").strip()
    ]
    if missing:
        fail(f"`{owner}`: no description of {', '.join(missing)}")
