"""A real Iceberg REST catalogue on this machine, with its jars from Maven Central."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from deftunes.settings import PROJECT
from object_store import Store

FOLDER = Path(__file__).parent / "iceberg"
PYTHON = PROJECT / ".venv-spark" / "bin" / "python"
_FETCH = (
    "import sys, pathlib, set_up; set_up.set_up_jars(*map(pathlib.Path, sys.argv[1:]))"
)


@contextmanager
def running(store: Store, location: str, folder: Path) -> Iterator[str]:
    """Run a catalogue on 127.0.0.1 and a free port; skip if its jars cannot be had.

    Args:
        store: the S3 server; the catalogue writes the tables' metadata to it.
        location: the URL of the folder of the tables, in the store's bucket.
        folder: a folder for what the catalogue keeps.

    Yields:
        Its URL.

    Raises:
        RuntimeError: it does not start.

    """
    jars = PROJECT / ".venv-spark" / "test_jars"
    commands: tuple[tuple[str | Path, ...], ...] = (
        (PYTHON, "-c", _FETCH, jars, FOLDER / "jars.txt"),
        # For a lake in a bucket, it fetches AWS's SDK too.
        (PYTHON, PROJECT / "scripts" / "spark" / "set_up.py"),
    )
    environment = os.environ | {
        name: value
        for name, value in store.variables("unused").items()
        if name.startswith("AWS_")
    }
    for command in commands:
        given = environment | {"DEFTUNES_SPARK_DATA": location}
        if subprocess.run(command, env=given, check=False).returncode:
            pytest.skip("the jars of the catalogue cannot be fetched")
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                [PYTHON, FOLDER / "serve.py", jars, location, folder / "served.sqlite"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=(folder / "log").open("wb"),
                text=True,
            )
        )
        stack.callback(process.communicate)
        url = process.stdout.readline().strip() if process.stdout else ""
        if not url:
            log = (folder / "log").read_text("utf-8")
            raise RuntimeError(f"The catalogue does not start: {log[-2000:]}")
        yield url
