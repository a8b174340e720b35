"""HTTP downloads with bounded retries; each failure is one line without secrets."""

import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
import stamina
import urllib3

from deftunes.landing.json_parsing import BodyError, PermanentBodyError, beginning

CONNECT_TIMEOUT = 10.0  # seconds

_CHUNK = 1 << 20  # bytes read from a connection at a time
_EXCERPT = 1 << 16  # bytes of the body that an error message is made from

# Statuses that are retried: not ready yet, timeout, too early, too many requests and
# server errors, except those that say "not supported".
_RETRIED_STATUSES = frozenset({202, 408, 425, 429, *range(500, 600)} - {501, 505})

# Why OpenSSL does not trust a certificate: X509_V_ERR_...
_NOT_VALID_NOW = {9, 10}  # not yet valid, expired
_OTHER_HOST = {62, 64}  # another host name, another IP address

_SHORTEST_SECRET = 6  # characters; a header may also be a version such as 2

_MARKUP = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_LATER = "Run the same command again later."

T = TypeVar("T")
logger = logging.getLogger(__name__)


class DownloadError(Exception):
    """A download failed; the message names the URL, the reason and what to do."""


@dataclass(frozen=True)
class Remote:
    """What to download, and what an error message says about it.

    Attributes:
        url: the URL; may contain a password, which is not shown.
        variable: the environment variable with the URL.
        expected: what the answer should be, such as `a JSON array`.
        query: the URL's query parameters.
        headers: headers with credentials, sent to the URL's own host only.
        certificate: PEM file with a client certificate and its key, used for the URL's
            own host only; None for none.
        credentials: which credentials are set, a sentence for statuses 401 and 403.

    """

    url: str = field(repr=False)
    variable: str
    expected: str
    query: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str | None = None
    credentials: str = ""

    def __str__(self) -> str:
        query = f"?{urlencode(self.query)}" if self.query else ""
        return without_secrets(self.url) + query

    def mask(self, text: str) -> str:
        """Return a text of the server without the credentials, if it repeats them."""
        parts = urlsplit(self.url)
        in_url = parts.password or parts.username  # a token may be the user
        values = [value.rpartition(" ")[2] for value in self.headers.values()]
        for secret in filter(None, [*self.headers.values(), *values, in_url]):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "***")
        return text


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how long to retry a download.

    Attributes:
        attempts: the most requests for one download.
        wait: seconds before the second attempt; doubles with each attempt, with jitter.
        longest_wait: the most seconds between two attempts, also for `Retry-After`.
        read_timeout: the most seconds to wait for data from the server.

    """

    attempts: int = 5
    wait: float = 0.5
    longest_wait: float = 60.0
    read_timeout: float = 120.0


class _FailedAttemptError(Exception):
    """One attempt failed.

    Attributes:
        reason: a sentence.
        cure: what to do if no further attempt helps, a sentence.
        may_pass: whether a retry may succeed.
        wait: the seconds to wait that the server has asked for, if it has.

    """

    def __init__(
        self,
        reason: str,
        cure: str,
        *,
        may_pass: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.cure = reason, cure
        self.may_pass, self.wait = may_pass, wait


def download(
    remote: Remote, read: Callable[[bytes], T], retry_policy: RetryPolicy | None = None
) -> T:
    """Download a URL and parse the body.

    Retried: statuses 202, 408, 425, 429 and 5xx (except 501 and 505), refused and
    broken connections, timeouts, name servers that do not answer, and bodies that are
    cut off. Not retried, because the answer would be the same: any other status except
    200, a host that does not exist, a certificate that is not trusted, a body of
    another type, and an answer that is only the first of several pages.

    Args:
        remote: what to download.
        read: parses the body; raises BodyError if it cannot, and PermanentBodyError if
            a retry would not help.
        retry_policy: how often and how long to retry; the default policy if None.

    Returns:
        What `read` returned.

    Raises:
        DownloadError: the last attempt failed, or a retry would not help. The message
            contains no credentials.

    """
    policy = retry_policy or RetryPolicy()
    attempts = stamina.retry_context(
        on=_backoff,
        attempts=policy.attempts,
        timeout=None,
        wait_initial=policy.wait,
        wait_max=policy.longest_wait,
        wait_jitter=policy.wait,
    )
    try:
        for attempt in attempts:
            with attempt:
                try:
                    return _attempt(remote, read, policy)
                except _FailedAttemptError as failure:
                    if failure.may_pass and attempt.num < policy.attempts:
                        logger.warning(
                            "%s: %s Attempt %d of %d follows.",
                            *(remote, failure.reason),
                            *(attempt.num + 1, policy.attempts),
                        )
                    raise
    except _FailedAttemptError as failure:
        tried = f"That was attempt {policy.attempts} of {policy.attempts}. "
        reason = f"{failure.reason} {tried if failure.may_pass else ''}{failure.cure}"
        raise DownloadError(f"{remote}: {reason}") from None
    raise AssertionError("unreachable: the last attempt returns or raises")


def without_secrets(url: str) -> str:
    """Return a URL without user, password and the content of its query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}{'?...' if parts.query else ''}"


def _backoff(error: Exception) -> bool | float:
    """Return whether to try again, or after how many seconds."""
    if not isinstance(error, _FailedAttemptError):
        return False
    return error.may_pass if error.wait is None else error.wait


def _attempt(remote: Remote, read: Callable[[bytes], T], policy: RetryPolicy) -> T:
    """Send the request once and parse the answer."""
    try:
        response = _thread_session.session(remote).get(
            remote.url,
            params=remote.query,
            timeout=(CONNECT_TIMEOUT, policy.read_timeout),
            stream=True,
        )
    # Several libraries raise ValueError when a redirect is not a valid URL. Exceptions
    # of requests are OSErrors.
    except (OSError, urllib3.exceptions.HTTPError, ValueError) as error:
        raise _no_answer(error, remote, policy) from None
    with response:
        final = ""
        if response.history:
            final = f" The final URL is {without_secrets(response.url)}."
        if response.status_code != requests.codes.ok:
            raise _bad_status(response, final, remote, policy)
        if "next" in response.links:
            raise _FailedAttemptError(
                "The answer is one of several pages: it has a Link header with "
                'rel="next".',
                "The loader expects all records in one answer.",
            )
        try:
            body = b"".join(response.iter_content(_CHUNK))
        except requests.RequestException as error:
            why = f"The answer cannot be read to its end ({type(error).__name__})."
            if isinstance(_cause(error), TimeoutError):
                why = f"No data for {policy.read_timeout:g} s during the answer."
            raise _FailedAttemptError(why, _LATER, may_pass=True) from None
        try:
            return read(body)
        except PermanentBodyError as error:
            kind = response.headers.get("Content-Type", "unknown")
            raise _FailedAttemptError(
                f"{error}{_shown(body, remote)} The content type is {kind}.{final}",
                f"Expected: {remote.expected}. Check {remote.variable}.",
            ) from None
        except BodyError as error:
            raise _FailedAttemptError(
                f"{error}{final}", _LATER, may_pass=True
            ) from None


class _Session(requests.Session):
    """Sends credentials to one host only, also if that host redirects to another."""

    def __init__(self, remote: Remote) -> None:
        super().__init__()
        self._remote = remote
        self.headers.update(remote.headers)
        self.cert = remote.certificate
        if "Authorization" in self.headers:
            # Otherwise an entry in ~/.netrc would replace the header.
            self.auth = lambda request: request

    def send(
        self,
        request: requests.PreparedRequest,
        **kwargs: Any,  # noqa: ANN401 - as in requests
    ) -> requests.Response:
        """Send a request, or one that follows a redirect."""
        if self.should_strip_auth(self._remote.url, request.url):  # type: ignore[no-untyped-call]
            for name, value in self._remote.headers.items():
                if request.headers.get(name) == value:
                    del request.headers[name]
            kwargs["cert"] = None
        return super().send(request, **kwargs)


class _ThreadSession(threading.local):
    """One HTTP session per thread, so that requests reuse the connection."""

    key: object = None

    def session(self, remote: Remote) -> requests.Session:
        """Return the thread's session, or a new one for another host or credentials."""
        parts = urlsplit(remote.url)
        key = parts.scheme, parts.netloc, remote.headers, remote.certificate
        if self.key != key:
            self._session, self.key = _Session(remote), key
        return self._session


_thread_session = _ThreadSession()


def _shown(body: bytes, remote: Remote) -> str:
    """Return a sentence with the first words of a body that is not JSON."""
    text = body[:_EXCERPT].decode(errors="replace").strip()
    if not text or text[0] in "[{":  # the words might be about a person
        return ""
    return f" It begins with {beginning(remote.mask(text))!r}."


def _bad_status(
    response: requests.Response, final: str, remote: Remote, policy: RetryPolicy
) -> _FailedAttemptError:
    """Return the error for a status other than 200."""
    status = response.status_code
    try:
        body = next(response.iter_content(_EXCERPT), b"")
    except requests.RequestException:
        body = b""
    text = remote.mask(_MARKUP.sub(" ", body.decode(errors="replace")))
    said = beginning(text).rstrip(".")
    reason = (
        f"The answer has status {status} instead of 200"
        f"{f': {said}' if said else ''}.{final}"
    )
    if status in (401, 403):
        cure = (
            f"{remote.credentials} .env.example describes them."
            if remote.credentials
            else f"Check {remote.variable}."
        )
        return _FailedAttemptError(reason, cure)
    if status not in _RETRIED_STATUSES:
        return _FailedAttemptError(reason, f"Check {remote.variable}.")
    retry = urllib3.Retry(retry_after_max=int(policy.longest_wait))
    try:
        wait = retry.get_retry_after(response.raw)
    except urllib3.exceptions.InvalidHeader:
        wait = None
    return _FailedAttemptError(reason, _LATER, may_pass=True, wait=wait)


def _no_answer(
    error: Exception, remote: Remote, policy: RetryPolicy
) -> _FailedAttemptError:
    """Return the error for a request without an answer."""
    cause = _cause(error)
    check = f"Check {remote.variable}."
    request = getattr(error, "request", None)
    at = ""
    if request is not None and _is_elsewhere(request.url, remote.url):
        at = f" at {without_secrets(request.url)}, to which it redirects"
    why = getattr(cause, "strerror", None)
    if isinstance(error, requests.exceptions.ProxyError):
        why = why or cause
        return _FailedAttemptError(
            f"The proxy cannot be used ({beginning(str(why))}).",
            "Check the variables https_proxy, http_proxy and no_proxy.",
            may_pass="failed: 4" not in str(cause),  # the proxy's status
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        if cause.verify_code in _NOT_VALID_NOW:
            cure = "The server needs a new one; check this computer's clock, too."
        elif cause.verify_code in _OTHER_HOST:
            cure = f"Check the host in {remote.variable}."
        else:
            cure = (
                "If it is right, set REQUESTS_CA_BUNDLE to a PEM file with the "
                "certificate of its authority."
            )
        why = cause.verify_message.rstrip(".")
        return _FailedAttemptError(
            f"The server's certificate{at} is not trusted ({why}).", cure
        )
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
        why = (cause.reason or "not a PEM file").replace("_", " ").lower()
        return _FailedAttemptError(
            f"There is no TLS connection{at} ({why}).",
            f"Check {remote.variable}, REQUESTS_CA_BUNDLE and, if the server asks for "
            "a client certificate, DEFTUNES_API_CLIENT_CERTIFICATE.",
        )
    if isinstance(cause, socket.gaierror):
        if cause.errno == socket.EAI_AGAIN:
            return _FailedAttemptError(
                f"The name server does not answer{at}.", _LATER, may_pass=True
            )
        return _FailedAttemptError(
            f"The host is unknown{at}.", f"Check the host in {remote.variable}."
        )
    if isinstance(error, requests.ReadTimeout):
        return _FailedAttemptError(
            f"No data for {policy.read_timeout:g} s{at}.", _LATER, may_pass=True
        )
    if isinstance(error, requests.Timeout):
        return _FailedAttemptError(
            f"No connection within {CONNECT_TIMEOUT:g} s{at}.", check, may_pass=True
        )
    if isinstance(error, requests.ConnectionError):
        why = (
            getattr(cause, "strerror", None) or "The connection broke before an answer"
        )
        return _FailedAttemptError(
            f"{why}{at}.",
            f"Check {remote.variable} and whether the server runs, then run the same "
            "command again.",
            may_pass=True,
        )
    if isinstance(error, requests.TooManyRedirects):
        return _FailedAttemptError("The server redirects without end.", check)
    if not isinstance(error, requests.RequestException) and isinstance(error, OSError):
        # requests: a file of certificates that does not exist.
        return _FailedAttemptError(
            f"{error}.", "Check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE."
        )
    return _FailedAttemptError(
        "The URL, or one that the server redirects to, is not valid "
        f"({type(error).__name__}).",
        check,
    )


def _cause(error: BaseException) -> BaseException:
    """Return the first cause of an error; libraries wrap errors in several ways."""
    nested = (getattr(error, "reason", None), *error.args, error.__cause__)
    for each in nested:
        if isinstance(each, BaseException):
            return _cause(each)
    return error


def _is_elsewhere(url: str, original: str) -> bool:
    """Return whether a URL is another one than the original, whatever its query."""
    return without_secrets(url).split("?")[0] != without_secrets(original).split("?")[0]
