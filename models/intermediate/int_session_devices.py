from typing import Any

from deftunes.devices import devices
from duckdb import DuckDBPyConnection, DuckDBPyRelation


def model(dbt: Any, session: DuckDBPyConnection) -> DuckDBPyRelation:  # noqa: ANN401
    """Recognise the devices of the sessions in new batches."""
    dbt.config(materialized="incremental", unique_key="session_id")
    dbt.ref("int_sessions_latest")
    # A pre-hook, in the YAML file, creates the view.
    return devices(session, session.view("new_sessions"))
