"""Checks of data classes, for dbt-bouncer."""

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
"""The class that no role may see. Such a column needs no class of its sources."""


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


class TableColumn(NamedTuple):
    """A column of a table."""

    table: str
    column: str


@dataclass(frozen=True)
class Origin:
    """The columns that a column is derived from.

    Attributes:
        values: the columns from which its values are computed.
        rows: the columns that determine which rows there are, or their order.

    """

    values: frozenset[TableColumn] = frozenset()
    rows: frozenset[TableColumn] = frozenset()

    @property
    def sources(self) -> frozenset[TableColumn]:
        """Return both kinds together."""
        return self.values | self.rows

    def joined(self, *others: "Origin") -> "Origin":
        """Return the union of the origins."""
        return Origin(
            self.values.union(*(other.values for other in others)),
            self.rows.union(*(other.rows for other in others)),
        )


_OriginsByScope = dict[int, dict[str, Origin]]
"""The origins of the columns of each part of a query, by the id of its scope."""

_ROW_CLAUSES = ("where", "group", "having", "qualify", "order", "distinct", "limit")


@check  # type: ignore[untyped-decorator]
def check_columns_have_data_classes(model: Model) -> None:
    """Require a data class for every column, so that none is forgotten."""
    missing = [column.name for column in model.columns.values() if not _classes(column)]
    if missing:
        fail(
            f"`{model.name}`: add `config: {{meta: {{data_class: ...}}}}` to "
            f"{', '.join(missing)}"
        )


@check  # type: ignore[untyped-decorator]
def check_names_imply_data_classes(
    model: Model, *, data_classes: dict[str, str]
) -> None:
    """Require the data class that the name of a column implies.

    The column or the whole model may have it.
    """
    for column in model.columns.values():
        own_classes = _classes(column) | _classes(model)
        for data_class, pattern in data_classes.items():
            if re.search(pattern, column.name) and data_class not in own_classes:
                fail(
                    f"`{model.name}.{column.name}` needs "
                    f"`config: {{meta: {{data_class: {data_class}}}}}`"
                )


@check  # type: ignore[untyped-decorator]
def check_data_classes_are_kept(ctx: Any, *, key_classes: list[str]) -> None:  # noqa: ANN401
    """Require that a column derived from another has its data class, or says why not.

    A column is derived from the columns that its expression reads, and from those that
    determine which rows there are and their order. Joins and filters by columns of the
    `key_classes` do not count: they only reveal that a row exists.
    """
    leaks = find_leaks(ctx.models, {*key_classes})
    if leaks:
        fail("\n".join(leaks))


def find_leaks(models: Iterable[Model], key_classes: set[str]) -> list[str]:
    """Return a line for each column that lacks a class of a column it is derived from.

    Args:
        models: the models of the project, compiled.
        key_classes: classes that count only where values are read, not where rows are
            joined or filtered.

    """
    by_id = {model.unique_id: model for model in models}
    order = TopologicalSorter(
        {key: by_id.keys() & {*model.depends_on.nodes} for key, model in by_id.items()}
    )
    # Without ephemeral models: their SQL is part of the models that read them.
    tables = {
        _table(model): [*model.columns]
        for model in by_id.values()
        if model.relation_name
    }
    classes_of: dict[TableColumn, set[str]] = {}
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
            own_classes = _classes(column) | _classes(model)
            counted = {
                source: classes_of.get(source, set())
                - (set() if source in origin.values else key_classes)
                - own_classes
                - _declassified(column)
                - _declassified(model)
                for source in origin.sources
            }
            inherited = set().union(*counted.values())
            classes_of[TableColumn(_table(model), column.name)] = (
                own_classes if _classes(column) else own_classes | inherited
            ) - {GENERAL}
            if _classes(column) and RECORD not in own_classes and inherited:
                causes = {source for source, classes in counted.items() if classes}
                columns = _listed(f"{cause.table}.{cause.column}" for cause in causes)
                leaks.append(
                    f"`{model.name}.{column.name}` is derived from"
                    f" {_listed(inherited)}: {columns}; give it that class, or say in"
                    " `declassified` why it is harmless"
                )
    return leaks


def _origins(
    model: Model, tables: Mapping[str, list[str]], read: Iterable[Model]
) -> dict[str, Origin]:
    """Return the origins of the columns of a model.

    For a Python model they are in its YAML, in `derived_from`, as `model.column`. A
    column without `derived_from` is derived from all columns that the model reads.
    """
    if model.language == "sql":
        if not model.compiled_code:
            raise ValueError("run `dbt compile` first")
        return column_origins(model.compiled_code, tables)
    sources = {
        f"{parent.name}.{column}": TableColumn(_table(parent), column)
        for parent in read
        for column in parent.columns
    }
    origins = {}
    for column in model.columns.values():
        named = {*_meta(column).get("derived_from", sources)}
        if named - sources.keys():
            raise ValueError(f"it does not read {_listed(named - sources.keys())}")
        origins[column.name] = Origin(frozenset(sources[name] for name in named))
    return origins


def column_origins(sql: str, tables: Mapping[str, list[str]]) -> dict[str, Origin]:
    """Return the origins of the columns of a query.

    Args:
        sql: the query, in DuckDB's dialect.
        tables: the columns of the tables, by `database.schema.table`. Any other table
            is assumed to have no columns with a class.

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
    by_scope: _OriginsByScope = {}
    for scope in traverse_scope(query):
        by_scope[id(scope)] = _scope_origins(scope, by_scope, tables)
    return by_scope[id(scope)]


def _name_function(query: exp.Select) -> None:
    """Qualify the columns of a table function such as glob() with its name."""
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
    scope: Scope, by_scope: _OriginsByScope, tables: Mapping[str, list[str]]
) -> dict[str, Origin]:
    """Return the origins of the columns of one `select` or `union`."""
    if scope.set_operation_scopes:
        first, second = (by_scope[id(part)] for part in scope.set_operation_scopes)
        # A union matches columns by position.
        return {
            name: origin.joined(added)
            for (name, origin), added in zip(
                first.items(), second.values(), strict=True
            )
        }
    query = scope.expression
    if not isinstance(query, exp.Select):  # unnest, or values
        origin = _origin_of(query, scope, by_scope, tables)
        return {"": origin}
    # Window functions count, since they sort the rows.
    deciding = [
        *(window for part in query.selects for window in part.find_all(exp.Window)),
        *(join.args.get("on") for join in query.args.get("joins", ())),
        *(query.args.get(clause) for clause in _ROW_CLAUSES),
    ]
    rows = (
        Origin()
        .joined(
            *(_origin_of(part, scope, by_scope, tables) for part in deciding if part)
        )
        .sources.union(
            *(
                origin.rows
                for _, source in scope.selected_sources.values()
                if isinstance(source, Scope)
                for origin in by_scope[id(source)].values()
            )
        )
    )
    return {
        name: _origin_of(part, scope, by_scope, tables).joined(Origin(rows=rows))
        for name, part in zip(query.named_selects, query.selects, strict=True)
    }


def _origin_of(
    part: exp.Expr,
    scope: Scope,
    by_scope: _OriginsByScope,
    tables: Mapping[str, list[str]],
) -> Origin:
    """Return the origin of an expression, including its subqueries."""
    origin = Origin()
    within = {id(inner.expression): inner for inner in scope.subquery_scopes}
    for node in part.walk(prune=lambda node: id(node) in within):
        if id(node) in within:
            origin = origin.joined(*by_scope[id(within[id(node)])].values())
        elif isinstance(node, exp.Column):
            origin = origin.joined(_column_origin(node, scope, by_scope, tables))
    return origin


def _column_origin(
    column: exp.Column,
    scope: Scope,
    by_scope: _OriginsByScope,
    tables: Mapping[str, list[str]],
) -> Origin:
    """Return the origin of a column of one of the query's sources."""
    holder: Scope | None = scope
    while holder is not None:
        source = holder.sources.get(column.table)
        if isinstance(source, Scope):
            origins = by_scope[id(source)]
            return origins.get(column.name) or Origin().joined(*origins.values())
        if isinstance(source, exp.Table):
            if column.name in tables.get(_name(source), ()):
                return Origin(frozenset([TableColumn(_name(source), column.name)]))
            break
        holder = holder.parent
    read = [table for table in scope.sources.values() if isinstance(table, exp.Table)]
    if any(_name(table) not in tables for table in read):
        return Origin()  # from a table that is not the project's, such as glob()
    raise ValueError(f"{column.sql()} is not a column of any table that is read")


def _name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def _table(model: Model) -> str:
    return (model.relation_name or model.name).replace('"', "")


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _classes(node: Column | Model) -> set[str]:
    return {_meta(node)["data_class"]} if _meta(node).get("data_class") else set()


def _declassified(node: Column | Model) -> set[str]:
    return {*_meta(node).get("declassified", ())}


def _meta(node: Column | Model) -> dict[str, Any]:
    return getattr(node.config, "meta", None) or {}
