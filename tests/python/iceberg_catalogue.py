"""A real Iceberg REST catalogue on this machine: Nessie, from Maven Central."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from deftunes.settings import PROJECT
from object_store import Store

JARS = Path(__file__).parent / "nessie" / "jars.txt"
PYTHON = PROJECT / ".venv-spark" / "bin" / "python"
WAREHOUSE = "lake"
_START_SECONDS = 90.0
_FETCH = (
    "import sys, pathlib, set_up; set_up.set_up_jars(*map(pathlib.Path, sys.argv[1:]))"
)
_LISTENING = re.compile(r"Listening on: (http://127\.0\.0\.1:[0-9]+)")


@contextmanager
def running(store: Store, location: str, folder: Path) -> Iterator[str]:
    """Run a catalogue on 127.0.0.1 and free ports; skip if it cannot be fetched.

    Args:
        store: the S3 server; the catalogue writes the tables' metadata to it.
        location: the URL of the folder of the tables, in the store's bucket.
        folder: a folder for its log.

    Yields:
        The URL of the catalogue.

    Raises:
        RuntimeError: it does not start.

    """
    jars = PROJECT / ".venv-spark" / "test_jars"
    if subprocess.run([PYTHON, "-c", _FETCH, jars, JARS], check=False).returncode:
        pytest.skip("Nessie cannot be fetched from Maven Central")
    s3 = "nessie.catalog.service.s3.default-options"
    options = {
        # Any free port, also for what it tells of itself.
        "quarkus.http.host": "127.0.0.1",
        "quarkus.http.port": "0",
        "quarkus.management.host": "127.0.0.1",
        "quarkus.management.port": "0",
        "nessie.version.store.type": "IN_MEMORY",
        "nessie.catalog.default-warehouse": WAREHOUSE,
        f"nessie.catalog.warehouses.{WAREHOUSE}.location": location,
        f"{s3}.endpoint": store.endpoint,
        f"{s3}.path-style-access": "true",
        f"{s3}.region": "us-east-1",
        f"{s3}.request-signing-enabled": "false",
        f"{s3}.access-key": "urn:nessie-secret:quarkus:store",
    }
    log = folder / "nessie.log"
    with log.open("wb") as output, ExitStack() as stack:
        process = subprocess.Popen(
            [
                *("java", "-Xmx512m"),
                *(f"-D{name}={value}" for name, value in options.items()),
                *("-jar", jars / "nessie.jar"),
            ],
            cwd=folder,
            env=os.environ | {"STORE_NAME": store.key_id, "STORE_SECRET": store.secret},
            stdout=output,
            stderr=output,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        end = time.monotonic() + _START_SECONDS
        while not (address := _LISTENING.search(log.read_text("utf-8"))):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"Nessie does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield f"{address[1]}/iceberg"
