"""Analyses queries of materialized views for incremental view maintenance.

A query is additive if it groups by keys and otherwise only counts and sums. Then the
change of its result is the result of the same query over the changed rows alone. The
macros of materialized views call these functions. DuckDB's own parser parses the query
into a tree of JSON objects.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import duckdb

Node = dict[str, Any]
"""A node of the tree that `json_serialize_sql` returns."""
Scope = Mapping[str, tuple[Node, Any]]
"""The visible CTEs by name, each with its query and the scope of that query."""

# Functions that are written without parentheses, so the parser reads them as columns.
_CLOCK_COLUMNS = {
    *("current_date", "current_time", "current_timestamp"),
    *("localtime", "localtimestamp"),
}


class NotAdditiveError(Exception):
    """A query is not additive; the message says why."""


@dataclass
class AdditiveQuery:
    """The structure of an additive query.

    Attributes:
        keys: the columns that it groups by.
        sums: the columns that sum or count, each with the name of the column that it
            sums; None for a count, an empty text for the sum of an expression.
        row_count: the column that counts all rows of a group.
        derived: the columns that are computed from the others, with their SQL.
        tables: the tables that it reads once and without an outer join on their side,
            so that changed rows of them change the result additively.

    """

    keys: list[str] = field(default_factory=list)
    sums: dict[str, str | None] = field(default_factory=dict)
    row_count: str = ""
    derived: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)


def read_query(sql: str) -> str:
    """Analyse a query.

    Args:
        sql: a select.

    Returns:
        A JSON object with these members: `relations` (the full names of the relations
        that it reads), `is_closed` (true if it reads nothing else, such as files),
        `columns` (the names of all columns in it; null if it has a star), `unstable`
        (the first non-deterministic part, such as `now()`, or null), `refusal` (why the
        query is not additive, or null), and the attributes of `AdditiveQuery`, which
        are empty if it is not additive.

    Raises:
        ValueError: it is not one select.

    """
    query = _parse(sql)
    nodes = list(_walk(query))
    additivity = {"refusal": None, **AdditiveQuery().__dict__}
    try:
        additivity |= _additive_query(query).__dict__
    except NotAdditiveError as error:
        additivity["refusal"] = str(error)
    return json.dumps(
        {
            "relations": sorted(_read_counts(query, {}) - Counter({"": 1})),
            "is_closed": not any(
                node.get("type") == "TABLE_FUNCTION" for node in nodes
            ),
            "unstable": _nondeterministic_part(nodes),
            "columns": _column_names(nodes),
            **additivity,
        }
    )


def inline_view(sql: str, name: str, view: str) -> str:
    """Return a query in which a view, given by its full name, becomes a subquery."""
    query = _parse(sql)
    for table in list(_walk(query)):
        if table.get("type") == "BASE_TABLE" and _table_name(table) == name:
            table |= {
                "type": "SUBQUERY",
                "alias": table["alias"] or table["table_name"],
                "subquery": {"node": _parse(view), "named_param_map": []},
            }
    return _deparse(query)


def delta_queries(sql: str, changed_tables: str, snapshot: int) -> str:
    """Return the queries whose results add up to the change of an additive query.

    If several tables have changed, the query for one table reads the tables before it
    in their current state and those after it in their old state. So the results add up
    to the whole change.

    Args:
        sql: the query.
        changed_tables: a JSON object. Its keys are the full names of the changed
            tables. Each value is a list of two names: a table or file with the inserted
            rows, and one with the deleted rows; null if there are none.
        snapshot: the snapshot of the lake that the current result was computed from.

    Returns:
        A JSON list of objects with two members. `query` has the columns of `sql` and
        `_sign`, 1 for inserted rows and -1 for deleted rows. `guard` is a much cheaper
        query, or null: if it returns no rows, `query` returns none either.

    """
    changes: dict[str, list[str | None]] = json.loads(changed_tables)
    deltas = []
    names = list(changes)
    for position, name in enumerate(names):
        for sign, rows in zip((1, -1), changes[name], strict=True):
            if rows is None:
                continue
            tree = _parse(sql)
            for table in list(_walk(tree)):
                if table.get("type") != "BASE_TABLE":
                    continue
                if _table_name(table) == name:
                    _replace(table, rows)
                elif _table_name(table) in names[position + 1 :]:
                    table["at_clause"] = _at_clause(snapshot)
            columns = f"select *, {sign} as _sign"
            query = f"{columns} from ({_deparse(tree)}) as delta"
            deltas.append({"query": query, "guard": _guard_query(tree, rows.lower())})
    return json.dumps(deltas)


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """Return a connection that is used only to parse."""
    return duckdb.connect()


@cache
def _functions(condition: str) -> frozenset[str]:
    """Return the names of DuckDB's functions that meet a SQL condition."""
    query = f"select function_name from duckdb_functions() where {condition}"  # noqa: S608
    return frozenset(name for (name,) in _parser().execute(query).fetchall())


def _parse(sql: str) -> Node:
    """Parse one select into a tree.

    Raises:
        ValueError: it is not one select.

    """
    (text,) = (
        _parser().execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()[0]
    )
    tree = json.loads(text)
    if tree["error"] or len(tree["statements"]) != 1:
        raise ValueError(tree.get("error_message", "not one select"))
    node: Node = tree["statements"][0]["node"]
    return node


def _deparse(query: Node) -> str:
    """Return a tree as SQL."""
    tree = {"error": False, "statements": [{"node": query, "named_param_map": []}]}
    (text,) = (
        _parser()
        .execute("select json_deserialize_sql(?::json)", [json.dumps(tree)])
        .fetchall()[0]
    )
    return str(text)


def _walk(value: Any) -> Iterator[Node]:  # noqa: ANN401 - a part of a tree
    """Yield all nodes of a tree, parents before children."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from _walk(child)


def _table_name(table: Node) -> str:
    """Return the name of a table as written in the query, in lower case."""
    parts = (table["catalog_name"], table["schema_name"], table["table_name"])
    return ".".join(part for part in parts if part).lower()


def _replace(table: Node, name: str) -> None:
    """Make a node of a table read another one, under the same alias."""
    table["alias"] = table["alias"] or table["table_name"]
    table |= {"catalog_name": "", "schema_name": "", "table_name": name}


def _guard_query(query: Node, changed: str) -> str | None:
    """Return the join of the changed rows with one table that they are joined to.

    Example: a new artist has no purchases yet. To know that, joining its key with the
    keys of the purchases is enough.
    """
    for select, scope, ctes in _selects(query, {}, []):
        tables, conditions = _inner_joins(select["from_table"])
        for condition in conditions:
            sides = [
                _table_of_column(condition[side], tables) for side in ("left", "right")
            ]
            reads = [_read_counts(side, scope)[changed] for side in sides if side]
            if sorted(reads) != [0, 1]:
                continue
            guard = _parse("select 1 from a inner join b on true limit 1")
            guard["from_table"] |= {
                "left": sides[0],
                "right": sides[1],
                "condition": condition,
            }
            # Nested like in the query, since an inner CTE hides an outer one.
            for entries in reversed(ctes):
                outer = _parse("select * from (select 1) as guard")
                outer["from_table"]["subquery"]["node"] = guard
                guard = outer | {"cte_map": {"map": entries}}
            return _deparse(guard)
    return None


def _selects(
    value: Any,  # noqa: ANN401 - a part of a tree
    scope: Scope,
    ctes: list[list[Node]],
) -> Iterator[tuple[Node, Scope, list[list[Node]]]]:
    """Yield each select with its scope and its visible CTEs, outermost first."""
    if isinstance(value, dict):
        if "cte_map" in value:
            scope = _with_ctes(value, scope)
            ctes = [*ctes, _cte_entries(value)] if _cte_entries(value) else ctes
        if value.get("type") == "SELECT_NODE":
            yield value, scope, ctes
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from _selects(child, scope, ctes)


def _inner_joins(table: Node) -> tuple[dict[str, Node], list[Node]]:
    """Return the inner-joined tables by alias, and the equalities that join them."""
    if table["type"] != "JOIN":
        alias = table.get("alias") or table.get("table_name") or ""
        return {str(alias).lower(): table}, []
    if table["join_type"] != "INNER" or not table["condition"]:
        return {}, []
    left, right = _inner_joins(table["left"]), _inner_joins(table["right"])
    condition = table["condition"]
    parts = [condition]
    if condition["type"] == "CONJUNCTION_AND":
        parts = condition["children"]
    equalities = [part for part in parts if part["type"] == "COMPARE_EQUAL"]
    return left[0] | right[0], [*left[1], *right[1], *equalities]


def _table_of_column(expression: Node, tables: Mapping[str, Node]) -> Node | None:
    """Return the table of a column that is written as `table.column`."""
    names = expression.get("column_names", [])
    return tables.get(names[0].lower()) if len(names) == 2 else None


def _at_clause(snapshot: int) -> Node:
    """Return the tree of `at (version => snapshot)`."""
    select = _parse(f"from t at (version => {snapshot})")
    clause: Node = select["from_table"]["at_clause"]
    return clause


def _with_ctes(query: Node, scope: Scope) -> Scope:
    """Return the scope with the CTEs of a query, each with the scope it was made in."""
    for entry in query["cte_map"]["map"]:
        scope = {
            **scope,
            entry["key"].lower(): (entry["value"]["query"]["node"], scope),
        }
    return scope


def _read_counts(value: Any, scope: Scope) -> Counter[str]:  # noqa: ANN401
    """Count how often each relation is read, also through CTEs."""
    if isinstance(value, list):
        return sum((_read_counts(child, scope) for child in value), Counter())
    if not isinstance(value, dict):
        return Counter()
    if value.get("type") == "RECURSIVE_CTE_NODE":
        scope = {**scope, value["cte_name"].lower(): ({"type": "EMPTY"}, {})}
    if value.get("type") == "BASE_TABLE":
        name = _table_name(value)
        return _read_counts(*scope[name]) if name in scope else Counter([name])
    if "cte_map" in value:
        scope = _with_ctes(value, scope)
    return _read_counts(
        [child for name, child in value.items() if name != "cte_map"], scope
    )


def _nondeterministic_part(nodes: list[Node]) -> str | None:
    """Return the first part of a query whose value may differ in each run."""
    unstable = _functions("stability <> 'CONSISTENT'")
    for node in nodes:
        if node.get("class") == "FUNCTION" and node["function_name"] in unstable:
            return f"{node['function_name']}()"
        if node.get("class") == "COLUMN_REF":
            name = str(node["column_names"][-1])
            if name in _CLOCK_COLUMNS:
                return name
        if node.get("sample"):
            return "a sample"
    return None


def _column_names(nodes: list[Node]) -> list[str] | None:
    """Return the names of all columns in a query; None if a star hides some."""
    stars = [node for node in nodes if node.get("class") == "STAR"]
    if not all(_is_star_of_cte(star, nodes) for star in stars):
        return None
    named = [*(node.get("using_columns", []) for node in nodes)]
    named += [node["column_names"] for node in nodes if "column_names" in node]
    return sorted({name.lower() for names in named for name in names})


def _is_star_of_cte(star: Node, nodes: list[Node]) -> bool:
    """Return whether the star means the columns of a CTE."""
    names = {entry["key"] for node in nodes for entry in _cte_entries(node)}
    return any(
        star in node.get("select_list", [])
        and (node["from_table"] or {}).get("type") == "BASE_TABLE"
        and _table_name(node["from_table"]) in names
        for node in nodes
    )


def _cte_entries(node: Node) -> list[Node]:
    """Return the CTEs that a node defines."""
    entries: list[Node] = node.get("cte_map", {}).get("map", [])
    return entries


# Below: whether a query is additive.


def _additive_query(query: Node) -> AdditiveQuery:
    """Return the structure of an additive query.

    Raises:
        NotAdditiveError: the query is not additive.

    """
    grouped, scope, outputs = _find_aggregation(query, {})
    additive = AdditiveQuery()
    kinds = _classify_columns(grouped)
    expressions: dict[str, Node] = {}
    for name, expression in outputs.items():
        source = _column_name(expression)
        kind = kinds.get(source) if source else None
        if kind is None or kind[0] == "derived":
            expressions[name] = kind[1] if kind else expression
        elif kind[0] == "key":
            additive.keys.append(name)
        else:
            additive.sums[name] = kind[1]
            if kind[0] == "rows":
                additive.row_count = name
    named = {_column_name(expression): name for name, expression in outputs.items()}
    for name, expression in expressions.items():
        additive.derived[name] = _sql_over_result(name, expression, named)
    _require(
        ("a column that counts all rows, count(*)", additive.row_count),
        ("a key to group by", additive.keys),
        (
            "one of the columns that it groups by",
            len(additive.keys) == sum(kind == "key" for kind, _ in kinds.values()),
        ),
    )
    read_counts = _read_counts(query, {})
    additive.tables = [
        table
        for table in _linear_tables(grouped["from_table"], scope)
        if read_counts[table] == 1
    ]
    _require(("a table that it reads once and without an outer join", additive.tables))
    return additive


def _require(*requirements: tuple[str, object]) -> None:
    """Raise NotAdditiveError for the first requirement that is not met."""
    for what, is_met in requirements:
        if not is_met:
            raise NotAdditiveError(f"it lacks {what}")


def _find_aggregation(query: Node, scope: Scope) -> tuple[Node, Scope, dict[str, Node]]:
    """Return the select that groups, its scope, and the query's columns over it."""
    _require_plain_select(query)
    scope = _with_ctes(query, scope)
    if query["group_expressions"] or _has_aggregates(query["select_list"]):
        return (
            query,
            scope,
            {name: _column_reference(name) for name in _classify_columns(query)},
        )
    _require(("a group by", query["where_clause"] is None))
    inner = _inner_query(query["from_table"], scope)
    if inner is None:
        raise NotAdditiveError("its groups are joined, or it has no groups")
    grouped, inner_scope, outputs = _find_aggregation(*inner)
    chosen: dict[str, Node] = {}
    for item in query["select_list"]:
        if item["class"] == "STAR":
            if item["exclude_list"] or item["replace_list"] or item["expr"]:
                raise NotAdditiveError("it has a star with exclude, replace or columns")
            chosen |= outputs
        else:
            chosen[_output_name(item)] = _substitute_columns(item, outputs)
    return grouped, inner_scope, chosen


def _inner_query(table: Node, scope: Scope) -> tuple[Node, Scope] | None:
    """Return the query of a subquery or CTE, with its scope; None for a table."""
    if table["type"] == "SUBQUERY":
        return table["subquery"]["node"], scope
    if table["type"] == "BASE_TABLE" and _table_name(table) in scope:
        return scope[_table_name(table)]
    return None


def _require_plain_select(query: Node) -> None:
    """Raise if a query uses more than select, join, where and group by."""
    if query["type"] != "SELECT_NODE":
        raise NotAdditiveError("it is not a plain select, but a union or the like")
    modifiers = {modifier["type"] for modifier in query["modifiers"]}
    for is_used, what in [
        (modifiers, ", ".join(sorted(modifiers)).replace("_MODIFIER", "").lower()),
        (query["having"], "having"),
        (query["qualify"], "qualify"),
        (len(query["group_sets"]) > 1, "grouping sets"),
        (query["aggregate_handling"] == "FORCE_AGGREGATES", "group by all"),
        (_contains(query["select_list"], "WINDOW"), "a window function"),
        (
            _contains(query["select_list"], "POSITIONAL_REFERENCE"),
            "a column given by its position",
        ),
        (_contains(query["select_list"], "SUBQUERY"), "a subquery as a column"),
    ]:
        if is_used:
            raise NotAdditiveError(f"it has {what}")


def _contains(value: Any, kind: str) -> bool:  # noqa: ANN401
    """Return whether a tree contains a node of this class."""
    return any(node.get("class") == kind for node in _walk(value))


def _is_aggregate(node: Node) -> bool:
    aggregates = _functions("function_type = 'aggregate'")
    return node.get("class") == "FUNCTION" and node["function_name"] in aggregates


def _has_aggregates(value: Any) -> bool:  # noqa: ANN401
    return any(map(_is_aggregate, _walk(value)))


def _classify_columns(grouped: Node) -> dict[str, tuple[str, Any]]:
    """Return the kind of each column of a select that groups, with a detail.

    The kinds are `key`, `rows` (a count of all rows), `count`, `sum` (with the name of
    the column that it sums) and `derived` (with its expression over the other columns).
    """
    keys = [_normalized(expression) for expression in grouped["group_expressions"]]
    items: dict[str, tuple[str, Any]] = {}
    aggregates: list[tuple[Node, str]] = []
    rest: list[Node] = []
    for item in grouped["select_list"]:
        if item["class"] == "STAR":
            raise NotAdditiveError("the select that groups has a star")
        if _is_aggregate(item):
            items[_output_name(item)] = _classify_aggregate(item)
            aggregates.append((_normalized(item), _output_name(item)))
        elif (normalized := _normalized(item)) in keys:
            keys.remove(normalized)
            items[_output_name(item)] = ("key", None)
            aggregates.append((normalized, _output_name(item)))
        else:
            rest.append(item)
            items[_output_name(item)] = ("derived", None)
    if keys:
        raise NotAdditiveError("a column that it groups by is not in the result")
    for item in rest:
        items[_output_name(item)] = (
            "derived",
            _replace_by_references(item, aggregates),
        )
    return items


def _classify_aggregate(item: Node) -> tuple[str, Any]:
    """Return the kind of an aggregate: `sum`, `count` or `rows`, with its detail."""
    name, argument = item["function_name"], (item["children"] or [None])[0]
    if item["distinct"] or name not in {"sum", "count", "count_star"}:
        distinct = "distinct " if item["distinct"] else ""
        raise NotAdditiveError(f"{name}({distinct}...) does not add up")
    if name == "sum":
        return "sum", "" if item["filter"] else _column_name(argument) or ""
    is_all = name == "count_star" and not item["filter"]
    return ("rows" if is_all else "count"), None


def _replace_by_references(expression: Node, names: list[tuple[Node, str]]) -> Node:
    """Replace expressions that are columns of the select by references to them."""
    for normalized, name in names:
        if _normalized(expression) == normalized:
            return _column_reference(name)
    if _is_aggregate(expression):
        raise NotAdditiveError(
            f"{expression['function_name']}(...) has to be a column of its own too"
        )
    return _map_children(expression, lambda child: _replace_by_references(child, names))


def _substitute_columns(expression: Node, columns: Mapping[str, Node]) -> Node:
    """Replace the columns of an expression by other expressions."""
    name = _column_name(expression)
    if name:
        if name not in columns:
            raise NotAdditiveError(f"{name} is not a column of its groups")
        return deepcopy(columns[name])
    return _map_children(expression, lambda child: _substitute_columns(child, columns))


def _map_children(node: Node, change: Any) -> Node:  # noqa: ANN401
    """Return the expression with its direct children changed."""

    def changed(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [changed(child) for child in value]
        if isinstance(value, dict):
            return change(value) if "class" in value else _map_children(value, change)
        return value

    return {name: changed(value) for name, value in node.items()}


def _sql_over_result(
    name: str, expression: Node, named: Mapping[str | None, str]
) -> str:
    """Return a derived column as SQL over the columns of the result."""
    columns = {}
    for node in _walk(expression):
        column = _column_name(node)
        if column and column not in named:
            raise NotAdditiveError(
                f"{name} needs {column}, which is not a column of the result"
            )
        if column:
            columns[column] = _column_reference(named[column])
    select = _parse("select 1")
    select["select_list"] = [_substitute_columns(expression, columns) | {"alias": ""}]
    return _deparse(select).removeprefix("SELECT ")


def _column_reference(name: str) -> Node:
    """Return the tree of a column."""
    (column,) = _parse("select x")["select_list"]
    return {**column, "column_names": [name]}


def _column_name(expression: Node | None) -> str | None:
    """Return the name of an expression that is just a column; otherwise None."""
    if expression and expression.get("class") == "COLUMN_REF":
        return str(expression["column_names"][-1]).lower()
    return None


def _output_name(item: Node) -> str:
    """Return the name that a column of a select list has in the result."""
    name = item["alias"] or _column_name(item)
    if not name:
        raise NotAdditiveError("a column has no name")
    return str(name).lower()


def _normalized(expression: Any) -> Any:  # noqa: ANN401
    """Return the expression without position and alias, with lower-case columns."""
    if isinstance(expression, list):
        return [_normalized(child) for child in expression]
    if not isinstance(expression, dict):
        return expression
    if expression.get("class") == "COLUMN_REF":
        return {"column": [name.lower() for name in expression["column_names"]]}
    return {
        name: _normalized(child)
        for name, child in expression.items()
        if name not in {"query_location", "alias"}
    }


def _linear_tables(table: Node, scope: Scope) -> list[str]:
    """Return the tables for which each changed row changes the join additively."""
    if table["type"] == "JOIN" and table["ref_type"] in {"REGULAR", "CROSS"}:
        linear_sides = {"INNER": "left right", "LEFT": "left", "RIGHT": "right"}
        sides = linear_sides.get(table["join_type"], "").split()
        return [name for side in sides for name in _linear_tables(table[side], scope)]
    inner = _inner_query(table, scope)
    if inner is None:
        is_table = table["type"] == "BASE_TABLE" and not table["at_clause"]
        return [_table_name(table)] if is_table else []
    query, inner_scope = inner
    try:
        _require_plain_select(query)
    except NotAdditiveError:
        return []
    if query["group_expressions"] or _has_aggregates(query["select_list"]):
        return []
    return _linear_tables(query["from_table"], _with_ctes(query, inner_scope))
