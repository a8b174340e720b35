"""Land with dlt, or only copy: `land_dlt.py sessions|songs|copy SOURCE FOLDER [DAYS]`.

Runs in the environment of `scripts/benchmark/requirements.txt`. Prints the seconds of
the work, without the start of Python and the imports.
"""

import os
import sys
import time
from pathlib import Path


def sessions(url: str, folder: Path, days: list[str]) -> float:
    """Land sessions from the API.

    Args:
        url: the URL of the API.
        folder: the folder for the Parquet files.
        days: the first day and the day after the last day.

    """
    from dlt.sources.rest_api import (  # type: ignore[import-not-found,unused-ignore]
        rest_api_source,
    )

    source = rest_api_source(
        {
            "client": {"base_url": url},
            "resources": [
                {
                    "name": "sessions",
                    # Keep items nested: no separate table for them.
                    "max_table_nesting": 0,
                    "endpoint": {
                        "path": "sessions",
                        "paginator": "single_page",
                        "params": {"start_date": days[0], "end_date": days[1]},
                    },
                }
            ],
        }
    )
    return _run(source, folder)


def songs(dsn: str, folder: Path) -> float:
    """Land the songs from Postgres with dlt's fastest backend, Arrow."""
    from dlt.sources.sql_database import (  # type: ignore[import-not-found,unused-ignore]
        sql_table,
    )

    table = sql_table(
        dsn.replace("postgresql://", "postgresql+psycopg://"),
        table="songs",
        schema="deftunes",
        backend="pyarrow",
        chunk_size=100_000,
    )
    return _run(table, folder)


def copy(dsn: str) -> float:
    """Receive the songs by a binary COPY, and discard them."""
    import psycopg  # type: ignore[import-not-found,unused-ignore]

    started = time.perf_counter()
    with (
        psycopg.connect(dsn) as connection,
        connection.cursor() as cursor,
        cursor.copy("copy deftunes.songs to stdout (format binary)") as rows,
    ):
        for _ in rows:
            pass
    return time.perf_counter() - started


def _run(source: object, folder: Path) -> float:
    import dlt  # type: ignore[import-not-found,unused-ignore]

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(folder / "pipelines"),
        destination=dlt.destinations.filesystem(bucket_url=(folder / "out").as_uri()),
        dataset_name="landing",
    )
    started = time.perf_counter()
    pipeline.run(source, loader_file_format="parquet", write_disposition="append")
    return time.perf_counter() - started


if __name__ == "__main__":
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    entity, source_url, target, *rest = sys.argv[1:]
    if entity == "sessions":
        print(sessions(source_url, Path(target), rest))
    elif entity == "songs":
        print(songs(source_url, Path(target)))
    else:
        print(copy(source_url))
