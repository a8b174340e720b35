"""Checks of macros, for dbt-bouncer."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Protocol

from dbt_bouncer.check_framework.decorator import (  # type: ignore[import-untyped]
    check,
    fail,
)


class DependsOn(Protocol):
    """What a resource depends on.

    Attributes:
        macros: the ids of macros.

    """

    macros: list[str]


class Resource(Protocol):
    """A model, a test, a hook or a macro."""

    original_file_path: str
    depends_on: DependsOn


class Argument(Protocol):
    """An argument of a macro."""

    name: str
    description: str | None


class Macro(Resource, Protocol):
    """A macro.

    Attributes:
        macro_sql: its text, from `macro` to `endmacro`.
        arguments: those listed in the YAML; without YAML, those of the signature.

    """

    name: str
    unique_id: str
    description: str | None
    macro_sql: str
    arguments: list[Argument]


class Manifest(Protocol):
    """dbt's manifest of the project."""

    macros: Mapping[str, Macro]
    nodes: Mapping[str, Resource]


class Wrapped(Protocol):
    """dbt-bouncer's holder of the manifest."""

    manifest: Manifest


class Context(Protocol):
    """What dbt-bouncer passes to a check besides the macro."""

    manifest_obj: Wrapped


@check  # type: ignore[untyped-decorator]
def check_macro_calls_go_one_way(
    macro: Macro, ctx: Context, *, folders: list[str]
) -> None:
    """Require that a macro calls no macro of a folder that is listed after its own.

    Args:
        macro: the macro.
        ctx: has the manifest.
        folders: the folders below macros/; each may call those listed before it.

    """
    folder = _folder(macro)
    if folder not in folders:
        fail(f"{macro.original_file_path} is in none of {', '.join(folders)}")
    for called in _called(macro, ctx):
        if folders.index(_folder(called)) > folders.index(folder):
            fail(
                f"`{macro.name}` of {folder}/ calls `{called.name}` of"
                f" {_folder(called)}/, which is listed after it"
            )


@check  # type: ignore[untyped-decorator]
def check_macro_is_private_to_its_file(macro: Macro, ctx: Context) -> None:
    """Require that a macro named `_...` is called only in its own file."""
    for called in _called(macro, ctx):
        is_private = called.name.startswith("_")
        if is_private and called.original_file_path != macro.original_file_path:
            fail(f"`{macro.name}` calls `{called.name}`, which is private")


@check  # type: ignore[untyped-decorator]
def check_macro_is_called(
    macro: Macro, ctx: Context, *, entry_points: list[str]
) -> None:
    """Require that a macro is called, or overrides a macro of dbt or a package.

    dbt-bouncer's own check reports the implementation for another engine as unused.

    Args:
        macro: the macro.
        ctx: has the manifest.
        entry_points: the macros that dbt, a source or a person calls by name.

    """
    manifest = ctx.manifest_obj.manifest
    project = macro.unique_id.rpartition(".")[0]
    name = re.sub("^(default|duckdb|spark)__", "", macro.name)
    overridden = re.sub("_(duckdb|spark)$", "_default", name)
    if name in entry_points or any(
        re.sub("^default__", "", other.name) in (name, overridden)
        for other in manifest.macros.values()
        if not other.unique_id.startswith(f"{project}.")
    ):
        return
    callers = [*manifest.nodes.values(), *manifest.macros.values()]
    called = {macro.unique_id, f"{project}.{name}"}
    if all(called.isdisjoint(caller.depends_on.macros) for caller in callers):
        fail(f"nothing calls `{macro.name}`")


@check  # type: ignore[untyped-decorator]
def check_macro_is_described(macro: Macro, ctx: Context) -> None:
    """Require that a macro is described.

    A macro that models, tests or seeds call needs a description in YAML. Any other one
    needs a comment in it or above it, except the implementations of a dispatched macro.
    """
    manifest = ctx.manifest_obj.manifest
    project, _, name = macro.unique_id.rpartition(".")
    if any(
        macro.unique_id in node.depends_on.macros for node in manifest.nodes.values()
    ):
        if not (macro.description or "").strip():
            fail(f"`{macro.name}` has no description in _{_folder(macro)}.yml")
        missing = [one.name for one in macro.arguments if not one.description]
        if missing:
            fail(f"`{macro.name}`: no description of {', '.join(missing)}")
    dispatched = re.sub("^(default|duckdb|spark)__", "", name)
    is_implementation = (
        dispatched != name and f"{project}.{dispatched}" in manifest.macros
    )
    above = _file(macro).partition(macro.macro_sql)[0].rstrip()
    is_described = macro.description or "{#" in macro.macro_sql or above.endswith("#}")
    if not is_implementation and not is_described:
        fail(f"`{macro.name}` has neither a description nor a comment")


@check  # type: ignore[untyped-decorator]
def check_macro_file_has_its_name(macro: Macro, ctx: Context) -> None:
    """Require that a file with one public macro has the macro's name."""
    public = {
        re.sub(
            "^(default|duckdb|spark|materialization)_+|_(duckdb|spark)$", "", other.name
        )
        for other in ctx.manifest_obj.manifest.macros.values()
        if other.original_file_path == macro.original_file_path
        and not other.name.startswith("_")
        and other.unique_id.startswith(f"{macro.unique_id.rpartition('.')[0]}.")
    }
    if len(public) == 1 and {PurePath(macro.original_file_path).stem} != public:
        fail(f"{macro.original_file_path} should be named {public.pop()}.sql")


def _called(macro: Macro, ctx: Context) -> Iterator[Macro]:
    macros = ctx.manifest_obj.manifest.macros
    for called in macro.depends_on.macros:
        if called.startswith(f"{macro.unique_id.rpartition('.')[0]}."):
            yield macros[called]


def _folder(macro: Macro) -> str:
    return PurePath(macro.original_file_path).parts[1]


def _file(macro: Macro) -> str:
    return Path(macro.original_file_path).read_text("utf-8")
