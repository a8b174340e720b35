"""Exports the features of buyers as of any dates, with their answers, as a file."""

import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from deftunes.export import ExportError, check_target, write
from deftunes.settings import PROJECT, Settings
from deftunes.sql import literal

_FEATURES, _EXAMPLES = "ml_user_features", "ml_churn_examples"
_STAR = ("fact_orders", "fact_order_items")

# What stands for the models that say which dates a build is about: the given ones.
_DATES = {
    "int_as_of_dates": "unnest($days) as as_of_date, '' as _purchases_checksum",
    "int_trainings": "'churn' as model_name, '' as training_id,"
    " unnest($days) as training_date, cast(null as date) as evaluation_date",
}


def export_features(
    settings: Settings, days: Sequence[date], target: Path, options: Sequence[str] = ()
) -> int:
    """Write the features of all buyers as of some dates, and who left, to a file.

    The queries are those of `ml_user_features` and `ml_churn_examples`, over the
    published star; nothing but the file is written.

    Args:
        settings: where the lakehouse is.
        days: the as-of dates; features know only the purchases before them.
        target: the file, as for `export`.
        options: options of dbt, such as `--vars`, as the build has had them.

    Returns:
        The number of rows: one per date and buyer who had bought by then. They have the
        columns of `ml_churn_examples` without `date_role` and `training_id`;
        `has_churned` is null while it is not known.

    Raises:
        ExportError: nothing is published, a date is not within the data, the options
            are wrong, the file's name ends in neither .csv nor .parquet, or the file
            cannot be written.

    """
    database = settings.serving / "deftunes.duckdb"
    if not database.exists():
        raise ExportError(f"{database} does not exist. `dbt build` publishes it.")
    check_target(target)
    try:
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            connection.execute(f"attach {literal(database)} as published (read_only)")
            _check_dates(connection, days)
            # The name that the queries read.
            connection.execute("attach ':memory:' as lake")
            for schema in ("marts", "intermediate", "ml"):
                connection.execute(f"create schema lake.{schema}")
            for table in _STAR:
                connection.execute(
                    f"create view lake.marts.{table} as from published.marts.{table}"
                )
            for table, columns in _DATES.items():
                connection.execute(
                    f"create table lake.intermediate.{table} as select {columns}",
                    {"days": list(days)},
                )
            queries = _compiled(settings, options)
            connection.execute(
                f"create view lake.ml.{_FEATURES} as {queries[_FEATURES]}"
            )
            examples = connection.sql(queries[_EXAMPLES])
            rows = examples.select("* exclude (date_role, training_id)")
            mode = stat.S_IMODE(database.stat().st_mode)
            return write(rows.order("as_of_date, person_key"), target.absolute(), mode)
    except (duckdb.Error, OSError) as error:
        raise ExportError(f"The features cannot be written: {error}") from error


def _check_dates(connection: duckdb.DuckDBPyConnection, days: Sequence[date]) -> None:
    """Raise if no features are known as of one of the dates."""
    ((first, last),) = connection.execute(
        "select min(session_start_time)::date, max(session_start_time)::date"
        " from published.marts.fact_orders"
    ).fetchall()
    if first is None:
        raise ExportError("Nothing has been bought yet, so there are no features.")
    begin, end = (each + timedelta(days=1) for each in (first, last))
    for day in days:
        if not begin <= day <= end:
            raise ExportError(
                f"There are no features as of {day}: give a date from {begin} to {end},"
                f" as purchases are known from {first} to {last}."
            )


def _compiled(settings: Settings, options: Sequence[str]) -> dict[str, str]:
    """Return the queries of the two models, as dbt compiles them for a new lake."""
    with TemporaryDirectory(prefix="deftunes-") as folder:
        done = subprocess.run(  # noqa: S603  the project's own dbt
            [
                *(Path(sys.executable).with_name("dbt"), "--quiet", "compile"),
                "--no-use-colors",
                *("--full-refresh", "--select", _FEATURES, _EXAMPLES),
                # Without the lake, which another command may be writing.
                *("--target", "published", "--target-path", folder),
                *("--log-path", folder, *options),
            ],
            cwd=PROJECT,
            env=os.environ
            | {"DEFTUNES_HOME": str(settings.home), "DEFTUNES_WITHOUT_ML": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ExportError(f"dbt cannot compile the features:\n{done.stdout}")
        compiled = Path(folder, "compiled", "deftunes", "models", "ml")
        return {
            model: (compiled / f"{model}.sql").read_text("utf-8")
            for model in (_FEATURES, _EXAMPLES)
        }
