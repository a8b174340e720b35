"""HTTP downloads with bounded retries."""

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

from deftunes.landing.json_parsing import BodyError, PermanentBodyError

CONNECT_TIMEOUT = 10.0  # seconds

_CHUNK = 1 << 20  # bytes read from a connection at a time

# Statuses that are retried: not ready yet, timeout, too early, too many requests and
# server errors, except those that say "not supported".
_RETRIED_STATUSES = frozenset({202, 408, 425, 429, *range(500, 600)} - {501, 505})

T = TypeVar("T")
logger = logging.getLogger(__name__)


class DownloadError(Exception):
    """A download failed; the message names the path, the reason and what to do."""


class _RetryableError(Exception):
    """One attempt returned an unusable answer; a retry may succeed."""


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to retry a download.

    Attributes:
        attempts: the most requests until the server answers; also the most answers that
            are read until one is complete and valid.
        wait: seconds before the second attempt; doubles with each attempt, with jitter.
        longest_wait: the most seconds between two attempts, also for `Retry-After`.
        read_timeout: the most seconds to wait for data from the server.

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
    retry_policy: RetryPolicy | None = None,
) -> T:
    """Download a URL and parse the body.

    Retried: statuses 202, 408, 425, 429 and 5xx (except 501 and 505), refused and
    broken connections, timeouts, and bodies that are cut off. Not retried, because the
    answer would be the same: any other status except 200, and a body of another type.

    Args:
        url: what to download.
        read: parses the body; raises BodyError if it cannot, and PermanentBodyError if
            a retry would not help.
        query: the URL's query parameters.
        retry_policy: how often and how long to retry; the default policy if None.

    Returns:
        What `read` returned.

    Raises:
        DownloadError: the last attempt failed, or the server refused the request. The
            message contains neither the host nor any credentials of the URL.

    """
    retry_policy = retry_policy or RetryPolicy()
    # Without the host: credentials may precede it.
    name = urlsplit(url).path + (f"?{urlencode(query)}" if query else "")
    attempts = stamina.retry_context(
        on=_RetryableError,
        attempts=retry_policy.attempts,
        timeout=None,
        wait_initial=retry_policy.wait,
        wait_max=retry_policy.longest_wait,
        wait_jitter=retry_policy.wait,
    )
    try:
        for attempt in attempts:
            with attempt:
                return _attempt(url, name, read, query, retry_policy)
    except _RetryableError as error:
        raise DownloadError(
            f"{name}: {error} That was attempt {retry_policy.attempts} of "
            f"{retry_policy.attempts}; run the same command again later."
        ) from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def _attempt(
    url: str,
    name: str,
    read: Callable[[bytes], T],
    query: Mapping[str, str] | None,
    retry_policy: RetryPolicy,
) -> T:
    """Send the request until the server answers, then parse the answer once."""
    timeout = CONNECT_TIMEOUT, retry_policy.read_timeout
    try:
        response = _thread_session.session(retry_policy).get(
            url, params=query, timeout=timeout, stream=True
        )
    # Several libraries raise ValueError when a redirect is not a valid URL.
    except (
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        ValueError,
    ) as error:
        tries = (
            f" after {retry_policy.attempts} attempts" if _was_retried(error) else ""
        )
        raise DownloadError(
            f"{name}: {_reason(error)}{tries}. Check the address in the settings and "
            "the server, then run the same command again."
        ) from None
    with response:
        if response.status_code != requests.codes.ok:
            raise DownloadError(
                f"{name}: the server answered with status {response.status_code} "
                "instead of 200. Check the address in the settings."
            )
        try:
            return read(b"".join(response.iter_content(_CHUNK)))
        except requests.RequestException as error:
            failure = _RetryableError(
                f"The connection broke during the answer ({type(error).__name__})."
            )
        except PermanentBodyError as error:
            kind = response.headers.get("Content-Type", "unknown")
            raise DownloadError(
                f"{name}: {error} The content type is {kind}. Check the address in the "
                "settings."
            ) from None
        except BodyError as error:
            failure = _RetryableError(str(error))
    logger.warning("%s: %s", name, failure)
    raise failure


class _ThreadSession(threading.local):
    """One HTTP session per thread, so that requests reuse the connection."""

    retry_policy: RetryPolicy | None = None

    def session(self, retry_policy: RetryPolicy) -> requests.Session:
        """Return the thread's session, or a new one if the policy has changed."""
        if self.retry_policy != retry_policy:
            retries = _CappedRetry(
                total=retry_policy.attempts - 1,
                status_forcelist=_RETRIED_STATUSES,
                backoff_factor=retry_policy.wait,
                backoff_jitter=retry_policy.wait,
                backoff_max=retry_policy.longest_wait,
                retry_after_max=int(retry_policy.longest_wait),
            )
            self._session = requests.Session()
            for scheme in ("http://", "https://"):
                self._session.mount(scheme, HTTPAdapter(max_retries=retries))
            self.retry_policy = retry_policy
        return self._session


_thread_session = _ThreadSession()


def _was_retried(error: Exception) -> bool:
    """Return whether requests that fail like this have been retried."""
    return isinstance(
        error,
        requests.exceptions.RetryError | requests.ConnectionError | requests.Timeout,
    )


def _reason(error: Exception) -> str:
    """Return what went wrong, without the address in the library's own message."""
    if isinstance(error, requests.exceptions.RetryError):
        return "the server keeps answering 202, 408, 425, 429 or 5xx"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or it broke before an answer"
    return f"the request failed ({type(error).__name__})"


class _CappedRetry(urllib3.Retry):
    """Retries that obey `Retry-After` and log each wait."""

    RETRY_AFTER_STATUS_CODES = _RETRIED_STATUSES

    def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
        """Wait before the next attempt."""
        if response is not None:
            logger.warning("Status %d; waiting to try again.", response.status)
        super().sleep(response)
