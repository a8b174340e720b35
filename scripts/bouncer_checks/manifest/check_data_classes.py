"""Checks of data classes that dbt-bouncer does not bring along; it calls them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, NamedTuple, Protocol

from dbt_bouncer.check_framework.decorator import (  # type: ignore[import-untyped]
    check,
    fail,
)
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, traverse_scope

GENERAL = "general"
RECORD = "record"
"""The class that no role sees, whatever it is made of."""


class Column(Protocol):
    """A column of a model."""

    name: str
    config: Any


class Model(Protocol):
    """A model."""

    name: str
    unique_id: str
    relation_name: str | None
    language: str
    compiled_code: str | None
    depends_on: Any
    config: Any
    columns: Mapping[str, Column]


class Place(NamedTuple):
    """A column of a table."""

    table: str
    column: str


@dataclass(frozen=True)
class Origin:
    """What a column is made of.

    Attributes:
        values: columns whose values it is computed from.
        rows: columns that decide which rows there are, or in which order.

    """

    values: frozenset[Place] = frozenset()
    rows: frozenset[Place] = frozenset()

    @property
    def places(self) -> frozenset[Place]:
        """Return all of it."""
        return self.values | self.rows

    def joined(self, *others: "Origin") -> "Origin":
        """Return what all of them are made of."""
        return Origin(
            self.values.union(*(other.values for other in others)),
            self.rows.union(*(other.rows for other in others)),
        )


_MadeOf = dict[int, dict[str, Origin]]
"""What the columns of each part of a query are made of, by the id of its scope."""

_ROW_CLAUSES = ("where", "group", "having", "qualify", "order", "distinct", "limit")


@check  # type: ignore[untyped-decorator]
def check_columns_have_data_classes(model: Model) -> None:
    """Require a data class of every column, so that none is forgotten."""
    missing = [column.name for column in model.columns.values() if not _classes(column)]
    if missing:
        fail(
            f"`{model.name}`: no `config: {{meta: {{data_class: ...}}}}` of "
            f"{', '.join(missing)}"
        )


@check  # type: ignore[untyped-decorator]
def check_names_imply_data_classes(
    model: Model, *, data_classes: dict[str, str]
) -> None:
    """Require the data class that the name of a column implies.

    It may be that of the whole model.
    """
    for column in model.columns.values():
        held = _classes(column) | _classes(model)
        for data_class, pattern in data_classes.items():
            if re.search(pattern, column.name) and data_class not in held:
                fail(
                    f"`{model.name}.{column.name}` needs "
                    f"`config: {{meta: {{data_class: {data_class}}}}}`"
                )


@check  # type: ignore[untyped-decorator]
def check_data_classes_are_kept(ctx: Any, *, key_classes: list[str]) -> None:  # noqa: ANN401
    """Require that what is made of a column has its data class, or says why not.

    A column is made of what its expression reads, and of what decides which rows there
    are, and in which order. Joining and filtering by columns of the `key_classes` tells
    only that a row is there.
    """
    leaks = find_leaks(ctx.models, {*key_classes})
    if leaks:
        fail("\n".join(leaks))


def find_leaks(models: Iterable[Model], key_classes: set[str]) -> list[str]:
    """Return, in a line each, the columns that lack a class of what they are made of.

    Args:
        models: the models of the project, compiled.
        key_classes: classes that count where values are read, not where rows are
            joined or filtered.

    """
    by_id = {model.unique_id: model for model in models}
    order = TopologicalSorter(
        {key: by_id.keys() & {*model.depends_on.nodes} for key, model in by_id.items()}
    )
    # An ephemeral model is in the queries of those that read it.
    tables = {
        _table(model): [*model.columns]
        for model in by_id.values()
        if model.relation_name
    }
    known: dict[Place, set[str]] = {}
    leaks = []
    for model in map(by_id.__getitem__, order.static_order()):
        read = [by_id[key] for key in model.depends_on.nodes if key in by_id]
        try:
            origins = _origins(model, tables, read)
        except ValueError as error:
            leaks.append(f"`{model.name}`: {error}")
            continue
        for column in model.columns.values():
            origin = origins.get(column.name, Origin())
            held = _classes(column) | _classes(model)
            counted = {
                place: known.get(place, set())
                - (set() if place in origin.values else key_classes)
                - held
                - _declassified(column)
                - _declassified(model)
                for place in origin.places
            }
            inherited = set().union(*counted.values())
            known[Place(_table(model), column.name)] = (
                held if _classes(column) else held | inherited
            ) - {GENERAL}
            if _classes(column) and RECORD not in held and inherited:
                causes = {place for place, classes in counted.items() if classes}
                leaks.append(
                    f"`{model.name}.{column.name}` is made of {_shown(inherited)}: of"
                    f" {_shown(f'{place.table}.{place.column}' for place in causes)};"
                    " give it that class, or say in `declassified` why it is harmless"
                )
    return leaks


def _origins(
    model: Model, tables: Mapping[str, list[str]], read: Iterable[Model]
) -> dict[str, Origin]:
    """Return what the columns of a model are made of.

    Of a Python model the YAML says so, as `model.column`; what says nothing is made of
    all that the model reads.
    """
    if model.language == "sql":
        if not model.compiled_code:
            raise ValueError("run `dbt compile` first")
        return column_origins(model.compiled_code, tables)
    places = {
        f"{parent.name}.{column}": Place(_table(parent), column)
        for parent in read
        for column in parent.columns
    }
    origins = {}
    for column in model.columns.values():
        named = {*_meta(column).get("derived_from", places)}
        if named - places.keys():
            raise ValueError(f"it does not read {_shown(named - places.keys())}")
        origins[column.name] = Origin(frozenset(places[name] for name in named))
    return origins


def column_origins(sql: str, tables: Mapping[str, list[str]]) -> dict[str, Origin]:
    """Return what the columns of a query are made of.

    Args:
        sql: the query, in DuckDB's dialect.
        tables: the columns of the tables, by `database.schema.table`. Any other table
            is taken for one that holds nothing of a class.

    Raises:
        ValueError: a column cannot be found in what the query reads.

    """
    schema: dict[str, Any] = {}
    for table, columns in tables.items():
        database, schema_name, name = table.split(".")
        schema.setdefault(database, {}).setdefault(schema_name, {})[name] = {
            column: "text" for column in columns
        }
    try:
        query = parse_one(sql, read="duckdb")
        for part in query.find_all(exp.Select):
            _name_function(part)
        query = qualify(
            query,
            schema=schema,
            dialect="duckdb",
            quote_identifiers=False,
            validate_qualify_columns=False,
        )
    except SqlglotError as error:
        raise ValueError(str(error)) from error
    made_of: _MadeOf = {}
    for scope in traverse_scope(query):
        made_of[id(scope)] = _scope_origins(scope, made_of, tables)
    return made_of[id(scope)]


def _name_function(query: exp.Select) -> None:
    """Say of the columns of a function such as glob() that they are its."""
    source = query.args["from_"].this if query.args.get("from_") else None
    if not isinstance(source, exp.Table) or query.args.get("joins"):
        return
    if isinstance(source.this, exp.Func):
        name = source.alias or "function"
        source.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
        for column in query.find_all(exp.Column):
            if not column.table and column.parent_select is query:
                column.set("table", exp.to_identifier(name))


def _scope_origins(
    scope: Scope, made_of: _MadeOf, tables: Mapping[str, list[str]]
) -> dict[str, Origin]:
    """Return what the columns of one `select` or `union` are made of."""
    if scope.set_operation_scopes:
        first, second = (made_of[id(part)] for part in scope.set_operation_scopes)
        # Columns of a union belong together by their place.
        return {
            name: origin.joined(added)
            for (name, origin), added in zip(
                first.items(), second.values(), strict=True
            )
        }
    query = scope.expression
    if not isinstance(query, exp.Select):  # unnest, or values
        origin = _read_by(query, scope, made_of, tables)
        return {"": origin}
    # A window sorts the rows.
    deciding = [
        *(window for part in query.selects for window in part.find_all(exp.Window)),
        *(join.args.get("on") for join in query.args.get("joins", ())),
        *(query.args.get(clause) for clause in _ROW_CLAUSES),
    ]
    rows = (
        Origin()
        .joined(*(_read_by(part, scope, made_of, tables) for part in deciding if part))
        .places.union(
            *(
                origin.rows
                for _, source in scope.selected_sources.values()
                if isinstance(source, Scope)
                for origin in made_of[id(source)].values()
            )
        )
    )
    return {
        name: _read_by(part, scope, made_of, tables).joined(Origin(rows=rows))
        for name, part in zip(query.named_selects, query.selects, strict=True)
    }


def _read_by(
    part: exp.Expr, scope: Scope, made_of: _MadeOf, tables: Mapping[str, list[str]]
) -> Origin:
    """Return what a part of a query reads, queries within it included."""
    origin = Origin()
    within = {id(inner.expression): inner for inner in scope.subquery_scopes}
    for node in part.walk(prune=lambda node: id(node) in within):
        if id(node) in within:
            origin = origin.joined(*made_of[id(within[id(node)])].values())
        elif isinstance(node, exp.Column):
            origin = origin.joined(_column_origin(node, scope, made_of, tables))
    return origin


def _column_origin(
    column: exp.Column,
    scope: Scope,
    made_of: _MadeOf,
    tables: Mapping[str, list[str]],
) -> Origin:
    """Return what a column of one of the sources of a query is made of."""
    holder: Scope | None = scope
    while holder is not None:
        source = holder.sources.get(column.table)
        if isinstance(source, Scope):
            origins = made_of[id(source)]
            return origins.get(column.name) or Origin().joined(*origins.values())
        if isinstance(source, exp.Table):
            if column.name in tables.get(_name(source), ()):
                return Origin(frozenset([Place(_name(source), column.name)]))
            break
        holder = holder.parent
    read = [held for held in scope.sources.values() if isinstance(held, exp.Table)]
    if any(_name(table) not in tables for table in read):
        return Origin()  # of what is no table of the project, such as glob()
    raise ValueError(f"{column.sql()} cannot be found in what is read")


def _name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def _table(model: Model) -> str:
    return (model.relation_name or model.name).replace('"', "")


def _shown(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _classes(node: Column | Model) -> set[str]:
    return {_meta(node)["data_class"]} if _meta(node).get("data_class") else set()


def _declassified(node: Column | Model) -> set[str]:
    return {*_meta(node).get("declassified", ())}


def _meta(node: Column | Model) -> dict[str, Any]:
    return getattr(node.config, "meta", None) or {}
