"""Downloads that are repeated until they are whole, within a limit."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode, urlsplit

import requests
import stamina
import urllib3
from requests.adapters import HTTPAdapter

from deftunes.landing.records import BodyError, OtherBodyError

CONNECT_TIMEOUT = 10.0  # seconds

_PIECE = 1 << 20  # bytes that are taken from a connection at once

# Statuses that may pass: not ready yet, too slow, too early, too many requests, and the
# server's own troubles, but not what it does not implement.
_PASSING = frozenset({202, 408, 425, 429, *range(500, 600)} - {501, 505})

T = TypeVar("T")
logger = logging.getLogger(__name__)


class DownloadError(Exception):
    """A download failed for good; the message names it, the reason and the remedy."""


class _BrokenError(Exception):
    """One attempt brought something unusable; the next one may not."""


@dataclass(frozen=True)
class Patience:
    """How long to insist.

    Attributes:
        attempts: how often a request is made at most, and how often an answer is asked
            for again that came in pieces or was not what it should be.
        wait: seconds before the second attempt; doubled, with jitter, at each further.
        longest_wait: most seconds between two attempts, also for `Retry-After`.
        read_timeout: most seconds of silence from the server.

    """

    attempts: int = 5
    wait: float = 0.5
    longest_wait: float = 60.0
    read_timeout: float = 120.0


def download(
    url: str,
    read: Callable[[bytes], T],
    *,
    query: Mapping[str, str] | None = None,
    patience: Patience | None = None,
) -> T:
    """Download a URL and read what came.

    Statuses 202, 408, 425, 429 and 5xx, refused and broken connections, time-outs and
    bodies that are cut off are tried again. What would be the same again is not: any
    other status but 200, which alone brings a whole answer, and a body of another kind.

    Args:
        url: what to download.
        read: makes a value of the body; raises BodyError if that is not possible, and
            OtherBodyError if it never will be.
        query: the URL's query parameters.
        patience: how long to insist.

    Returns:
        What `read` returned.

    Raises:
        DownloadError: the last attempt failed, or the server refuses the request. The
            message holds neither the host nor any credentials of the URL.

    """
    patience = patience or Patience()
    # The host is left out because credentials may stand before it.
    name = urlsplit(url).path + (f"?{urlencode(query)}" if query else "")
    attempts = stamina.retry_context(
        on=_BrokenError,
        attempts=patience.attempts,
        timeout=None,
        wait_initial=patience.wait,
        wait_max=patience.longest_wait,
        wait_jitter=patience.wait,
    )
    try:
        for attempt in attempts:
            with attempt:
                return _attempt(url, name, read, query, patience)
    except _BrokenError as error:
        raise DownloadError(
            f"{name}: {error} That was attempt {patience.attempts} of "
            f"{patience.attempts}; run the same again later."
        ) from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def _attempt(
    url: str,
    name: str,
    read: Callable[[bytes], T],
    query: Mapping[str, str] | None,
    patience: Patience,
) -> T:
    """Ask until there is an answer, then read it once."""
    timeout = CONNECT_TIMEOUT, patience.read_timeout
    try:
        response = _kept.session(patience).get(
            url, params=query, timeout=timeout, stream=True
        )
    # A redirect to what is no URL is a ValueError of several libraries.
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ValueError,
    ) as error:
        tries = f" after {patience.attempts} attempts" if _is_repeated(error) else ""
        raise DownloadError(
            f"{name}: {_reason(error)}{tries}. Check the address in the settings and "
            "the server, then run the same again."
        ) from None
    with response:
        if response.status_code != requests.codes.ok:
            raise DownloadError(
                f"{name}: the server answers with status {response.status_code}, not "
                "with 200. Check the address in the settings."
            )
        try:
            return read(b"".join(response.iter_content(_PIECE)))
        except requests.RequestException as error:
            broken = _BrokenError(f"The answer broke off ({type(error).__name__}).")
        except OtherBodyError as error:
            kind = response.headers.get("Content-Type", "unknown")
            raise DownloadError(
                f"{name}: {error} Its type is {kind}. Check the address in the "
                "settings."
            ) from None
        except BodyError as error:
            broken = _BrokenError(str(error))
    logger.warning("%s: %s", name, broken)
    raise broken


class _Kept(threading.local):
    """A thread's session: the next request need not connect again."""

    patience: Patience | None = None

    def session(self, patience: Patience) -> requests.Session:
        """Return the thread's session, or a new one for another patience."""
        if self.patience != patience:
            retries = _CappedRetry(
                total=patience.attempts - 1,
                status_forcelist=_PASSING,
                backoff_factor=patience.wait,
                backoff_jitter=patience.wait,
                backoff_max=patience.longest_wait,
                retry_after_max=int(patience.longest_wait),
            )
            self._session = requests.Session()
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=retries))
            self.patience = patience
        return self._session


_kept = _Kept()


def _is_repeated(error: Exception) -> bool:
    """Tell whether a request has been repeated before it failed like this."""
    return isinstance(
        error,
        requests.exceptions.RetryError | requests.ConnectionError | requests.Timeout,
    )


def _reason(error: Exception) -> str:
    """Say what went wrong, without the address that the library's message holds."""
    if isinstance(error, requests.exceptions.RetryError):
        return "the server keeps answering 202, 408, 425, 429 or 5xx"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it breaks before an answer"
    return f"the request failed ({type(error).__name__})"


class _CappedRetry(urllib3.Retry):
    """Retries that obey `Retry-After`, and say that they wait."""

    RETRY_AFTER_STATUS_CODES = _PASSING

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait before the next attempt."""
        if response is not None:
            logger.warning("Status %d; waiting to try again.", response.status)
        super().sleep(response)
