"""Asks MetricFlow about the metrics, without a connection to a database."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from metricflow.engine.metricflow_engine import (
    MetricFlowEngine,
    MetricFlowQueryRequest,
)
from metricflow.protocols.sql_client import SqlClient, SqlEngine
from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
from metricflow_semantics.model.dbt_manifest_parser import (
    parse_manifest_from_dbt_generated_manifest as parse,
)
from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup


def engine(manifest: Path) -> MetricFlowEngine:
    """Return MetricFlow's engine; it lists metrics and explains queries.

    Args:
        manifest: the `semantic_manifest.json` that `dbt parse` writes to `target/`.

    Raises:
        FileNotFoundError: dbt has not parsed the project yet.

    """
    # Lists and `explain` need only these two attributes of a client.
    client = SimpleNamespace(
        sql_engine_type=SqlEngine.DUCKDB, sql_plan_renderer=DuckDbSqlPlanRenderer()
    )
    lookup = SemanticManifestLookup(parse(manifest.read_text("utf-8")))
    return MetricFlowEngine(lookup, cast(SqlClient, client))


def query_sql(manifest: Path, **query: Any) -> str:  # noqa: ANN401 - MetricFlow's types
    """Return the SQL of a query. It reads the tables of a database named `lake`.

    Args:
        manifest: as for `engine`.
        query: the arguments of `MetricFlowQueryRequest.create`: `saved_query_name`, or
            `metric_names` and `group_by_names`, each a list of names; `order_by_names`,
            `where_constraints`, `limit` and others.

    Raises:
        FileNotFoundError: dbt has not parsed the project yet.
        InvalidQueryException: a name is unknown, or a metric cannot be grouped so.

    """
    request = MetricFlowQueryRequest.create(**query)
    return engine(manifest).explain(request).sql_statement.sql
