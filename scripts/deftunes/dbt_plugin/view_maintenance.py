"""What the text of a query says of how its result can be kept up to date.

A query is additive when it groups by its keys, counts and sums: then a change of the
rows it reads changes its result by what the query makes of the changed rows alone. The
macros of materialized views call these functions; DuckDB's own parser reads the query.
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
Scope = Mapping[str, tuple[Node, Any]]

# These stand in a query like columns.
_CLOCKS = {
    *("current_date", "current_time", "current_timestamp"),
    *("localtime", "localtimestamp"),
}


class NotAdditiveError(Exception):
    """Why a query is not additive."""


@dataclass
class Form:
    """How an additive query is made up.

    Attributes:
        keys: the columns that it groups by.
        sums: the columns that sum or count, and the name of the column that each sums;
            None for a count, an empty text for an expression.
        row_count: the column that counts all rows of a group.
        derived: the columns that follow from the others, as SQL.
        tables: the tables in whose rows the query is linear.

    """

    keys: list[str] = field(default_factory=list)
    sums: dict[str, str | None] = field(default_factory=dict)
    row_count: str = ""
    derived: dict[str, str] = field(default_factory=dict)
    tables: list[str] = field(default_factory=list)


def read_query(sql: str) -> str:
    """Read a query.

    Args:
        sql: a select.

    Returns:
        A JSON object with `relations` (what it reads, by full names), `is_closed` (it
        reads nothing else, such as files), `columns` (the names of all columns in it;
        null if it has a star), `unstable` (by what its result may change while what it
        reads does not, or null), `refusal` (why it is not additive, or null) and, if it
        is, the members of `Form`.

    Raises:
        ValueError: it is not one select.

    """
    query = _parse(sql)
    nodes = list(_walk(query))
    held = {"refusal": None, **Form().__dict__}
    try:
        held |= _form(query).__dict__
    except NotAdditiveError as error:
        held["refusal"] = str(error)
    return json.dumps(
        {
            "relations": sorted(_occurrences(query, {}) - Counter({"": 1})),
            "is_closed": not any(
                node.get("type") == "TABLE_FUNCTION" for node in nodes
            ),
            "unstable": _unstable(nodes),
            "columns": _columns(nodes),
            **held,
        }
    )


def inline_view(sql: str, name: str, view: str) -> str:
    """Return a query with the query of a view in the place of the view's full name."""
    query = _parse(sql)
    for table in list(_walk(query)):
        if table.get("type") == "BASE_TABLE" and _name(table) == name:
            table |= {
                "type": "SUBQUERY",
                "alias": table["alias"] or table["table_name"],
                "subquery": {"node": _parse(view), "named_param_map": []},
            }
    return _deparse(query)


def delta_terms(sql: str, moved: str, snapshot: int) -> str:
    """Return what changes of the tables change in the result of an additive query.

    With several tables changed, each term has the tables before it as they are and
    those after it as they were, so that the terms add up to the whole change.

    Args:
        sql: the query.
        moved: a JSON object: by the full name of each changed table, the names of a
            table or file with the rows that it gained and of one with those that it
            lost; null for none.
        snapshot: the version that the query's result stems from.

    Returns:
        A JSON list of objects with `query`, which has the columns of `sql` and a
        `_sign`: 1 for what is added, -1 for what is taken away; and with `guard`, a
        query that reads far less and without whose rows there are none of the first,
        or null.

    """
    changes: dict[str, list[str | None]] = json.loads(moved)
    terms = []
    names = list(changes)
    for position, name in enumerate(names):
        for sign, rows in zip((1, -1), changes[name], strict=True):
            if rows is None:
                continue
            term = _parse(sql)
            for table in list(_walk(term)):
                if table.get("type") != "BASE_TABLE":
                    continue
                if _name(table) == name:
                    _replace(table, rows)
                elif _name(table) in names[position + 1 :]:
                    table["at_clause"] = _version(snapshot)
            columns = f"select *, {sign} as _sign"
            query = f"{columns} from ({_deparse(term)}) as term"
            terms.append({"query": query, "guard": _guard(term, rows.lower())})
    return json.dumps(terms)


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


@cache
def _functions(condition: str) -> frozenset[str]:
    query = f"select function_name from duckdb_functions() where {condition}"  # noqa: S608
    return frozenset(name for (name,) in _parser().execute(query).fetchall())


def _parse(sql: str) -> Node:
    (text,) = (
        _parser().execute("select json_serialize_sql(?::varchar)", [sql]).fetchall()[0]
    )
    tree = json.loads(text)
    if tree["error"] or len(tree["statements"]) != 1:
        raise ValueError(tree.get("error_message", "not one select"))
    node: Node = tree["statements"][0]["node"]
    return node


def _deparse(query: Node) -> str:
    tree = {"error": False, "statements": [{"node": query, "named_param_map": []}]}
    (text,) = (
        _parser()
        .execute("select json_deserialize_sql(?::json)", [json.dumps(tree)])
        .fetchall()[0]
    )
    return str(text)


def _walk(value: Any) -> Iterator[Node]:  # noqa: ANN401 - a part of a tree
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from _walk(child)


def _name(table: Node) -> str:
    parts = (table["catalog_name"], table["schema_name"], table["table_name"])
    return ".".join(part for part in parts if part).lower()


def _replace(table: Node, name: str) -> None:
    table["alias"] = table["alias"] or table["table_name"]
    table |= {"catalog_name": "", "schema_name": "", "table_name": name}


def _guard(query: Node, changed: str) -> str | None:
    """Return the join of changed rows with the one table that has to know their keys.

    A new artist has no purchases yet; that is told by the keys of the purchases alone.
    """
    for select, scope, common in _selects(query, {}, []):
        tables, conditions = _joined(select["from_table"])
        for condition in conditions:
            sides = [_side(condition[side], tables) for side in ("left", "right")]
            reads = [_occurrences(side, scope)[changed] for side in sides if side]
            if sorted(reads) != [0, 1]:
                continue
            guard = _parse("select 1 from a inner join b on true limit 1")
            guard["from_table"] |= {
                "left": sides[0],
                "right": sides[1],
                "condition": condition,
            }
            # One inside the other, as they were: an inner name hides an outer one.
            for entries in reversed(common):
                outer = _parse("select * from (select 1) as guard")
                outer["from_table"]["subquery"]["node"] = guard
                guard = outer | {"cte_map": {"map": entries}}
            return _deparse(guard)
    return None


def _selects(
    value: Any,  # noqa: ANN401 - a part of a tree
    scope: Scope,
    common: list[list[Node]],
) -> Iterator[tuple[Node, Scope, list[list[Node]]]]:
    """Yield all selects with the common tables that they may name, outermost first."""
    if isinstance(value, dict):
        if "cte_map" in value:
            scope = _common_tables(value, scope)
            common = [*common, _entries(value)] if _entries(value) else common
        if value.get("type") == "SELECT_NODE":
            yield value, scope, common
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict | list):
            yield from _selects(child, scope, common)


def _joined(table: Node) -> tuple[dict[str, Node], list[Node]]:
    """Return inner-joined tables by alias, and the equalities that join them."""
    if table["type"] != "JOIN":
        alias = table.get("alias") or table.get("table_name") or ""
        return {str(alias).lower(): table}, []
    if table["join_type"] != "INNER" or not table["condition"]:
        return {}, []
    left, right = _joined(table["left"]), _joined(table["right"])
    condition = table["condition"]
    parts = [condition]
    if condition["type"] == "CONJUNCTION_AND":
        parts = condition["children"]
    equalities = [part for part in parts if part["type"] == "COMPARE_EQUAL"]
    return left[0] | right[0], [*left[1], *right[1], *equalities]


def _side(expression: Node, tables: Mapping[str, Node]) -> Node | None:
    """Return the table of a column that is named with it."""
    names = expression.get("column_names", [])
    return tables.get(names[0].lower()) if len(names) == 2 else None


def _version(snapshot: int) -> Node:
    select = _parse(f"from t at (version => {snapshot})")
    clause: Node = select["from_table"]["at_clause"]
    return clause


def _common_tables(query: Node, scope: Scope) -> Scope:
    for entry in query["cte_map"]["map"]:
        scope = {
            **scope,
            entry["key"].lower(): (entry["value"]["query"]["node"], scope),
        }
    return scope


def _occurrences(value: Any, scope: Scope) -> Counter[str]:  # noqa: ANN401
    """Count how often each relation is read, through common tables too."""
    if isinstance(value, list):
        return sum((_occurrences(child, scope) for child in value), Counter())
    if not isinstance(value, dict):
        return Counter()
    if value.get("type") == "RECURSIVE_CTE_NODE":
        scope = {**scope, value["cte_name"].lower(): ({"type": "EMPTY"}, {})}
    if value.get("type") == "BASE_TABLE":
        name = _name(value)
        return _occurrences(*scope[name]) if name in scope else Counter([name])
    if "cte_map" in value:
        scope = _common_tables(value, scope)
    return _occurrences(
        [child for name, child in value.items() if name != "cte_map"], scope
    )


def _unstable(nodes: list[Node]) -> str | None:
    unstable = _functions("stability <> 'CONSISTENT'")
    for node in nodes:
        if node.get("class") == "FUNCTION" and node["function_name"] in unstable:
            return f"{node['function_name']}()"
        if node.get("class") == "COLUMN_REF" and node["column_names"][-1] in _CLOCKS:
            return str(node["column_names"][-1])
        if node.get("sample"):
            return "a sample"
    return None


def _columns(nodes: list[Node]) -> list[str] | None:
    stars = [node for node in nodes if node.get("class") == "STAR"]
    if not all(_is_star_of_cte(star, nodes) for star in stars):
        return None
    named = [*(node.get("using_columns", []) for node in nodes)]
    named += [node["column_names"] for node in nodes if "column_names" in node]
    return sorted({name.lower() for names in named for name in names})


def _is_star_of_cte(star: Node, nodes: list[Node]) -> bool:
    """Say whether the star stands for the columns of a common table."""
    names = {entry["key"] for node in nodes for entry in _entries(node)}
    return any(
        star in node.get("select_list", [])
        and (node["from_table"] or {}).get("type") == "BASE_TABLE"
        and _name(node["from_table"]) in names
        for node in nodes
    )


def _entries(node: Node) -> list[Node]:
    entries: list[Node] = node.get("cte_map", {}).get("map", [])
    return entries


# What makes a query additive.


def _form(query: Node) -> Form:
    grouped, scope, outputs = _grouped(query, {})
    form = Form()
    kinds = _items(grouped)
    expressions: dict[str, Node] = {}
    for name, expression in outputs.items():
        source = _column(expression)
        kind = kinds.get(source) if source else None
        if kind is None or kind[0] == "derived":
            expressions[name] = kind[1] if kind else expression
        elif kind[0] == "key":
            form.keys.append(name)
        else:
            form.sums[name] = kind[1]
            if kind[0] == "rows":
                form.row_count = name
    named = {_column(expression): name for name, expression in outputs.items()}
    for name, expression in expressions.items():
        form.derived[name] = _rewritten(name, expression, named)
    _need_all(
        ("a column that counts all rows, count(*)", form.row_count),
        ("a key to group by", form.keys),
        (
            "every column that it groups by",
            len(form.keys) == sum(kind == "key" for kind, _ in kinds.values()),
        ),
    )
    occurrences = _occurrences(query, {})
    form.tables = [
        table
        for table in _linear_tables(grouped["from_table"], scope)
        if occurrences[table] == 1
    ]
    _need_all(("a table that it reads once, and not outer-joined", form.tables))
    return form


def _need_all(*needs: tuple[str, object]) -> None:
    for what, is_there in needs:
        if not is_there:
            raise NotAdditiveError(f"it lacks {what}")


def _grouped(query: Node, scope: Scope) -> tuple[Node, Scope, dict[str, Node]]:
    """Find the select that groups, and what the query makes of its columns."""
    _need_plain(query)
    scope = _common_tables(query, scope)
    if query["group_expressions"] or _has_aggregates(query["select_list"]):
        return query, scope, {name: _reference(name) for name in _items(query)}
    _need_all(("a group by", query["where_clause"] is None))
    inner = _inner(query["from_table"], scope)
    if inner is None:
        raise NotAdditiveError("its groups are joined, or it has none")
    grouped, inner_scope, outputs = _grouped(*inner)
    chosen: dict[str, Node] = {}
    for item in query["select_list"]:
        if item["class"] == "STAR":
            if item["exclude_list"] or item["replace_list"] or item["expr"]:
                raise NotAdditiveError("it has a star with exceptions")
            chosen |= outputs
        else:
            chosen[_item_name(item)] = _substituted(item, outputs)
    return grouped, inner_scope, chosen


def _inner(table: Node, scope: Scope) -> tuple[Node, Scope] | None:
    if table["type"] == "SUBQUERY":
        return table["subquery"]["node"], scope
    if table["type"] == "BASE_TABLE" and _name(table) in scope:
        return scope[_name(table)]
    return None


def _need_plain(query: Node) -> None:
    """Refuse what is more than select, join, where and group by."""
    if query["type"] != "SELECT_NODE":
        raise NotAdditiveError("it is not one select, but a union or the like")
    modifiers = {modifier["type"] for modifier in query["modifiers"]}
    for is_there, what in [
        (modifiers, ", ".join(sorted(modifiers)).replace("_MODIFIER", "").lower()),
        (query["having"], "having"),
        (query["qualify"], "qualify"),
        (len(query["group_sets"]) > 1, "grouping sets"),
        (query["aggregate_handling"] == "FORCE_AGGREGATES", "group by all"),
        (_find(query["select_list"], "WINDOW"), "a window function"),
        (_find(query["select_list"], "POSITIONAL_REFERENCE"), "a column by its place"),
        (_find(query["select_list"], "SUBQUERY"), "a subquery as a column"),
    ]:
        if is_there:
            raise NotAdditiveError(f"it has {what}")


def _find(value: Any, kind: str) -> bool:  # noqa: ANN401
    return any(node.get("class") == kind for node in _walk(value))


def _is_aggregate(node: Node) -> bool:
    aggregates = _functions("function_type = 'aggregate'")
    return node.get("class") == "FUNCTION" and node["function_name"] in aggregates


def _has_aggregates(value: Any) -> bool:  # noqa: ANN401
    return any(map(_is_aggregate, _walk(value)))


def _items(grouped: Node) -> dict[str, tuple[str, Any]]:
    """Tell what each column of a select that groups is."""
    keys = [_bare(expression) for expression in grouped["group_expressions"]]
    items: dict[str, tuple[str, Any]] = {}
    aggregates: list[tuple[Node, str]] = []
    rest: list[Node] = []
    for item in grouped["select_list"]:
        if item["class"] == "STAR":
            raise NotAdditiveError("it groups and has a star")
        if _is_aggregate(item):
            items[_item_name(item)] = _aggregate(item)
            aggregates.append((_bare(item), _item_name(item)))
        elif (bare := _bare(item)) in keys:
            keys.remove(bare)
            items[_item_name(item)] = ("key", None)
            aggregates.append((bare, _item_name(item)))
        else:
            rest.append(item)
            items[_item_name(item)] = ("derived", None)
    if keys:
        raise NotAdditiveError("a key that it groups by is not in the result")
    for item in rest:
        items[_item_name(item)] = ("derived", _with_names(item, aggregates))
    return items


def _aggregate(item: Node) -> tuple[str, Any]:
    name, argument = item["function_name"], (item["children"] or [None])[0]
    if item["distinct"] or name not in {"sum", "count", "count_star"}:
        distinct = "distinct " if item["distinct"] else ""
        raise NotAdditiveError(f"{name}({distinct}...) does not add up")
    if name == "sum":
        return "sum", "" if item["filter"] else _column(argument) or ""
    is_all = name == "count_star" and not item["filter"]
    return ("rows" if is_all else "count"), None


def _with_names(expression: Node, names: list[tuple[Node, str]]) -> Node:
    """Put the names of columns in the places of what they stand for."""
    for bare, name in names:
        if _bare(expression) == bare:
            return _reference(name)
    if _is_aggregate(expression):
        raise NotAdditiveError(
            f"what {expression['function_name']}(...) gives is needed as a column"
        )
    return _mapped(expression, lambda child: _with_names(child, names))


def _substituted(expression: Node, columns: Mapping[str, Node]) -> Node:
    name = _column(expression)
    if name:
        if name not in columns:
            raise NotAdditiveError(f"{name} is not a column of its groups")
        return deepcopy(columns[name])
    return _mapped(expression, lambda child: _substituted(child, columns))


def _mapped(node: Node, change: Any) -> Node:  # noqa: ANN401
    """Return the expression with its direct children changed."""

    def changed(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, list):
            return [changed(child) for child in value]
        if isinstance(value, dict):
            return change(value) if "class" in value else _mapped(value, change)
        return value

    return {name: changed(value) for name, value in node.items()}


def _rewritten(name: str, expression: Node, named: Mapping[str | None, str]) -> str:
    """Return a derived column as SQL over the columns of the result."""
    columns = {}
    for node in _walk(expression):
        column = _column(node)
        if column and column not in named:
            raise NotAdditiveError(f"{name} needs {column}, which is no column of it")
        if column:
            columns[column] = _reference(named[column])
    select = _parse("select 1")
    select["select_list"] = [_substituted(expression, columns) | {"alias": ""}]
    return _deparse(select).removeprefix("SELECT ")


def _reference(name: str) -> Node:
    (column,) = _parse("select x")["select_list"]
    return {**column, "column_names": [name]}


def _column(expression: Node | None) -> str | None:
    if expression and expression.get("class") == "COLUMN_REF":
        return str(expression["column_names"][-1]).lower()
    return None


def _item_name(item: Node) -> str:
    name = item["alias"] or _column(item)
    if not name:
        raise NotAdditiveError("a column has no name")
    return str(name).lower()


def _bare(expression: Any) -> Any:  # noqa: ANN401
    """Return the expression without its place, its alias and qualifiers of columns."""
    if isinstance(expression, list):
        return [_bare(child) for child in expression]
    if not isinstance(expression, dict):
        return expression
    if expression.get("class") == "COLUMN_REF":
        return {"column": [name.lower() for name in expression["column_names"]]}
    return {
        name: _bare(child)
        for name, child in expression.items()
        if name not in {"query_location", "alias"}
    }


def _linear_tables(table: Node, scope: Scope) -> list[str]:
    """List the tables whose rows the join's result is a sum over."""
    if table["type"] == "JOIN" and table["ref_type"] in {"REGULAR", "CROSS"}:
        kept = {"INNER": "left right", "LEFT": "left", "RIGHT": "right"}
        sides = kept.get(table["join_type"], "").split()
        return [name for side in sides for name in _linear_tables(table[side], scope)]
    inner = _inner(table, scope)
    if inner is None:
        is_table = table["type"] == "BASE_TABLE" and not table["at_clause"]
        return [_name(table)] if is_table else []
    query, inner_scope = inner
    try:
        _need_plain(query)
    except NotAdditiveError:
        return []
    if query["group_expressions"] or _has_aggregates(query["select_list"]):
        return []
    return _linear_tables(query["from_table"], _common_tables(query, inner_scope))
