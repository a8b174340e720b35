"""Runs MetricFlow in its own process: queries as JSON in, rows as JSON out."""

import json
import sys
from typing import Any

from dbt_metricflow.cli.cli_configuration import CLIConfiguration
from metricflow.engine.metricflow_engine import MetricFlowQueryRequest


def main() -> None:
    """Run the queries of a list of `{"metrics": [...], "group_by": [...]}` in turn."""
    configuration = CLIConfiguration()
    configuration.setup(configure_file_logging=False)
    answers: list[list[list[Any]]] = []
    for query in json.load(sys.stdin):
        request = MetricFlowQueryRequest.create(
            metric_names=query["metrics"], group_by_names=query["group_by"]
        )
        table = configuration.mf.query(request).result_df
        assert table is not None
        # In the order that was asked for.
        columns = [*map(table.column_names.index, query["group_by"] + query["metrics"])]
        answers.append([[row[column] for column in columns] for row in table.rows])
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
