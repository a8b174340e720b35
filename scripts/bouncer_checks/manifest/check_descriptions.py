"""Checks of descriptions that dbt-bouncer does not bring along; it calls them."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from dbt_bouncer.check_framework.decorator import (  # type: ignore[import-untyped]
    check,
    fail,
)


class Described(Protocol):
    """A column, or an argument of a macro."""

    name: str
    description: str | None


class Relation(Protocol):
    """A seed, a snapshot or a source."""

    name: str
    columns: Mapping[str, Described]


class Macro(Described, Protocol):
    """A macro."""

    original_file_path: str
    arguments: list[Described]


@check  # type: ignore[untyped-decorator]
def check_seed_columns_are_described(seed: Relation) -> None:
    """Require a description of every column of a seed."""
    _need_descriptions(seed.name, seed.columns.values())


@check  # type: ignore[untyped-decorator]
def check_snapshot_columns_are_described(snapshot: Relation) -> None:
    """Require a description of every column of a snapshot."""
    _need_descriptions(snapshot.name, snapshot.columns.values())


@check  # type: ignore[untyped-decorator]
def check_source_columns_are_described(source: Relation) -> None:
    """Require a description of every column that a source names."""
    _need_descriptions(source.name, source.columns.values())


@check  # type: ignore[untyped-decorator]
def check_macro_is_described(macro: Macro) -> None:
    """Require that a macro has its file's name, and that all of it is described.

    The bodies that a dispatched macro has for each engine stand in the file of the
    macro, whose description is theirs too.
    """
    stem = Path(macro.original_file_path).stem
    if re.fullmatch(f"[a-z]+__{stem}", macro.name):
        return
    is_materialization = re.fullmatch(f"{stem}_[a-z]+", macro.name)
    if macro.name != stem and not is_materialization:
        fail(f"`{macro.name}` stands in {macro.original_file_path}")
    _need_descriptions(
        macro.name, [macro, *([] if is_materialization else macro.arguments)]
    )


def _need_descriptions(owner: str, parts: Iterable[Described]) -> None:
    missing = [part.name for part in parts if not (part.description or "").strip()]
    if missing:
        fail(f"`{owner}`: no description of {', '.join(missing)}")
