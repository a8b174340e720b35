"""The demo's API: a real HTTP service with the contract of the DeFtunes API.

`GET /users` and `GET /sessions` take `start_date` and `end_date` and answer with a bare
JSON array, streamed. Tests can inject faults.
"""

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, Protocol

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

TIME_FIELD = {"users": "user_since", "sessions": "session_start_time"}
"""The field by which each path is filtered."""

_CHUNK = 1 << 16  # bytes


class Source(Protocol):
    """The data that a service serves.

    A window includes its start and excludes its end; None means no limit. A record is
    any value that msgspec can encode; `bytes` and `msgspec.Raw` are sent unchanged.
    """

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the users with `user_since` in the window."""

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions with `session_start_time` in the window."""


class Records:
    """A source with a given list of records.

    A record without a valid time, or one that is not JSON, is in every window.
    """

    def __init__(self, users: Sequence[Any] = (), sessions: Sequence[Any] = ()) -> None:
        """Store the two sequences, which are read again for each request."""
        self._users = users
        self._sessions = sessions

    def users(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the users with `user_since` in [start, end)."""
        return _in_window(self._users, TIME_FIELD["users"], start, end)

    def sessions(self, start: date | None, end: date | None) -> Iterator[Any]:
        """Yield the sessions with `session_start_time` in [start, end)."""
        return _in_window(self._sessions, TIME_FIELD["sessions"], start, end)


@dataclass
class Fault:
    """A fault to inject into the next requests to a path.

    Attributes:
        path: `/users` or `/sessions`.
        times: how many requests it affects; counts down.
        status: answer with this status and no records.
        retry_after: the `Retry-After` header sent with `status`.
        body: the body sent with `status`; a JSON object unless given.
        headers: other headers sent with `status`.
        delay: seconds to wait before the answer.
        truncate: close the connection in the middle of the body.
        malformed: send a complete answer that contains only half of the JSON.
        reset: reset the connection instead of answering.
        stall: seconds to pause in the middle of the body; True: until the client
            closes the connection.
        sized: send the body with a `Content-Length` instead of in chunks; on its own
            this is not a fault.

    """

    path: str
    times: int = 1
    status: int | None = None
    retry_after: str | None = None
    body: bytes = b'{"detail": "fault"}'
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    truncate: bool = False
    malformed: bool = False
    reset: bool = False
    stall: bool | float = False
    sized: bool = False


@dataclass
class Service:
    """A running service.

    Attributes:
        url: its base URL, without a trailing slash.
        requests: path and query of every request so far, in order of arrival.
        faults: the faults to inject; may be appended to while the service runs.

    """

    url: str
    requests: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def take_fault(self, path: str) -> Fault | None:
        """Return the first fault that is left for the path, and count it down."""
        for fault in self.faults:
            if fault.path == path and fault.times > 0:
                fault.times -= 1
                return fault
        return None


@contextmanager
def running(
    source: Source,
    *,
    end_inclusive: bool = False,
    faults: list[Fault] | None = None,
    port: int = 0,
) -> Iterator[Service]:
    """Serve a source on 127.0.0.1 from a background thread.

    Args:
        source: what to serve; its methods are called from worker threads.
        end_inclusive: whether windows include `end_date`.
        faults: the first faults to inject.
        port: the port; 0 for a free one.

    Yields:
        The running service. At the end it is stopped, and open answers are cut off.

    Raises:
        OSError: the port is in use.

    """
    listener = socket.create_server(("127.0.0.1", port))
    # asyncio sets this only for sockets that it creates. Without it, the kernel delays
    # the last part of each answer by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    service = Service(
        f"http://127.0.0.1:{listener.getsockname()[1]}", faults=faults or []
    )
    server = uvicorn.Server(
        uvicorn.Config(
            _WithFaults(_application(source, end_inclusive), service),
            http=_Protocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
        )
    )
    thread = threading.Thread(
        target=server.run, args=([listener],), name="demo-api", daemon=True
    )
    with listener:
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    raise RuntimeError("The demo's API did not start.")
                time.sleep(0.005)
            yield service
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def _application(source: Source, end_inclusive: bool) -> Starlette:
    """Build the API without faults."""

    def endpoint(
        read: Callable[[date | None, date | None], Iterator[Any]],
    ) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            try:
                start, end = (
                    date.fromisoformat(text) if text is not None else None
                    for text in map(
                        request.query_params.get, ("start_date", "end_date")
                    )
                )
            except ValueError as error:
                return JSONResponse({"detail": str(error)}, status_code=422)
            if start and end and start > end:
                return JSONResponse(
                    {"detail": "start_date lies after end_date"}, status_code=422
                )
            if end and end_inclusive:
                end += timedelta(days=1)
            return StreamingResponse(
                _json_array(read(start, end)), media_type="application/json"
            )

        return answer

    return Starlette(
        routes=[
            Route("/users", endpoint(source.users)),
            Route("/sessions", endpoint(source.sessions)),
        ]
    )


def _json_array(records: Iterable[Any]) -> Iterator[bytes]:
    """Yield a JSON array of the records in chunks of about `_CHUNK` bytes."""
    piece, encode = bytearray(b"["), msgspec.json.Encoder().encode
    separator = b""
    for record in records:
        piece += separator
        piece += record if isinstance(record, bytes) else encode(record)
        separator = b","
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    piece += b"]"
    yield bytes(piece)


def _in_window(
    records: Sequence[Any], time_field: str, start: date | None, end: date | None
) -> Iterator[Any]:
    for record in records:
        day = _day(record, time_field)
        if day is None or (
            (start is None or start <= day) and (end is None or day < end)
        ):
            yield record


def _day(record: Any, time_field: str) -> date | None:  # noqa: ANN401 - any JSON
    """Return the UTC date in a field of a record, or None if there is none."""
    try:
        if isinstance(record, bytes | msgspec.Raw):
            # The standard library's parser accepts NaN, msgspec's does not.
            record = json.loads(bytes(record))
        moment = datetime.fromisoformat(record[time_field].replace("Z", "+00:00"))
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    return (moment.astimezone(timezone.utc) if moment.tzinfo else moment).date()


class _Protocol(H11Protocol):
    """HTTP/1.1 that passes its connection to the application, which may close it."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - two bases
        super().connection_made(transport)
        application = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
            await application({**scope, "transport": transport}, receive, send)

        self.app = with_transport


class _WithFaults:
    """Records each request, and injects a fault into its answer if one is left."""

    def __init__(self, application: ASGIApp, service: Service) -> None:
        self._application = application
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = scope["query_string"].decode()
        self._service.requests.append(scope["path"] + (f"?{query}" if query else ""))
        fault = self._service.take_fault(scope["path"])
        if fault is None:
            await self._application(scope, receive, send)
            return
        transport: asyncio.Transport = scope["transport"]
        if await _client_leaves(receive, within=fault.delay):
            return
        if fault.reset:
            # With a linger time of 0, closing sends RST instead of FIN.
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            transport.abort()
            await _client_leaves(receive)
        elif fault.status is not None:
            headers = {"Content-Type": "application/json"} | fault.headers
            if fault.retry_after:
                headers["Retry-After"] = fault.retry_after
            answer = Response(fault.body, fault.status, headers)
            await answer(scope, receive, send)
        elif fault.truncate or fault.malformed or fault.stall or fault.sized:
            await self._inject(fault, scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _inject(
        self, fault: Fault, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Collect the whole answer, then send it with the fault."""
        head, body = await _whole_answer(self._application, scope, receive)
        half = len(body) // 2
        if fault.malformed:
            body = body[:half]
            half //= 2
        if fault.sized:
            head["headers"].append((b"content-length", str(len(body)).encode()))
        await send(head)
        await send(_part(body[:half], more=True))
        pause = None if fault.stall is True else float(fault.stall)
        if await _client_leaves(receive, within=pause):
            return
        if fault.truncate:
            scope["transport"].close()
            await _client_leaves(receive)
        else:
            await send(_part(body[half:], more=False))


async def _client_leaves(receive: Receive, *, within: float | None = None) -> bool:
    """Wait until the client leaves, for at most `within` seconds if that is given."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    if within == 0.0:
        return False
    try:
        await asyncio.wait_for(disconnected(), within)
    except asyncio.TimeoutError:
        return False
    return True


async def _whole_answer(
    application: Callable[[Scope, Receive, Send], Awaitable[None]],
    scope: Scope,
    receive: Receive,
) -> tuple[Message, bytes]:
    """Run an application and return the first message and the body of its answer."""
    messages: list[Message] = []

    async def gather(message: Message) -> None:
        messages.append(message)

    await application(scope, receive, gather)
    head, *parts = messages
    return head, b"".join(part.get("body", b"") for part in parts)


def _part(body: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}
