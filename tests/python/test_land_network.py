"""What the loader says and sends when it meets a real API, over HTTP and TLS."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import sleep
from typing import Any

import pytest
from deftunes.landing import api, loader
from deftunes.landing.download import DownloadError, RetryPolicy
from deftunes.landing.loader import run
from deftunes.settings import ApiAccess, Settings, SettingsError
from test_land import command, plan

MakeSettings = Callable[..., Settings]

RETRY_POLICY = RetryPolicy(attempts=2, wait=0.01, longest_wait=0.1, read_timeout=0.3)
TOKEN = {"api_token": "geheim-token"}
SECRETS = TOKEN | {
    "api_headers": '{"X-Api-Key": "geheim-key", "X-Tenant": "geheim tenant"}',
}


@dataclass
class Answer:
    """An answer of a server; `delay` is in seconds, before the body."""

    body: bytes = b"[]"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0


@dataclass
class Server:
    """A running server; `seen` has the headers of each request."""

    url: str
    answers: list[Answer]
    seen: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def serving(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve these answers in turn, the last one again and again."""
    found = Server("", list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.seen.append({name.lower(): v for name, v in self.headers.items()})
            answers = found.answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            sleep(answer.delay)
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Say nothing of clients that leave."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        found.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


def access(url: str, **more: str) -> ApiAccess:
    """Return what settings with this URL of the API lead to."""
    made: dict[str, Any] = {"api_url": url} | more
    made |= {"postgres_dsn": None, "exchange_rates": None}
    return Settings(Path("/"), **made).api_access()


def failure(url: str, **more: str) -> str:
    """Return the error of fetching users."""
    with pytest.raises(DownloadError) as raised:
        api.users(access(url, **more), RETRY_POLICY)
    said = str(raised.value)
    assert "\n" not in said
    assert "geheim" not in said
    return said


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("no_proxy", "*")
    look_up = socket.getaddrinfo

    def without_network(host: str, *more: Any, **named: Any) -> Any:  # noqa: ANN401
        if host.endswith(".invalid"):
            # Without a network, every name is like the second.
            code = socket.EAI_AGAIN if "busy" in host else socket.EAI_NONAME
            raise socket.gaierror(code, "geheim")
        return look_up(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", without_network)


# Credentials


def test_credentials_reach_the_api_and_nobody_else(
    settings: MakeSettings, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    users = Answer(b'[{"user_id": "u"}]')
    with serving(users) as elsewhere, serving(users) as server:
        made = settings(api_url=server.url, **SECRETS)
        assert not run(made, plan("users"), RETRY_POLICY).failed
        sent = {
            "authorization": "Bearer geheim-token",
            "x-api-key": "geheim-key",
            "x-tenant": "geheim tenant",
        }
        assert server.seen[0].items() >= sent.items()

        # The same host by another name, another port, and another path.
        other_name = server.url.replace("127.0.0.1", "localhost")
        for place, is_own in (
            (f"{elsewhere.url}/users", False),
            (f"{other_name}/elsewhere", False),
            ("/elsewhere", True),
        ):
            server.answers[:] = [Answer(status=302, headers={"Location": place}), users]
            assert not run(made, plan("users"), RETRY_POLICY).failed
            followed = server.seen[-1] if "else" in place[-9:] else elsewhere.seen[-1]
            assert (followed.items() >= sent.items()) == is_own
            assert ("geheim" in str(followed)) == is_own
    with serving(users) as server:
        done = command(home, "users", api_url=server.url, **SECRETS)
        assert done.returncode == 0
        assert server.seen[0].items() >= sent.items()
    said = (caplog.text, repr(made), repr(made.api_access()), done.stdout, done.stderr)
    assert "geheim" not in "".join(said)
    for path in home.rglob("*"):
        assert path.is_dir() or b"geheim" not in path.read_bytes()


def test_a_refusal_names_the_variables_and_whether_they_are_set() -> None:
    body = b'{"detail": "geheim-token is   not valid"}'
    for status in (401, 403):
        with serving(Answer(body, status)) as server:
            # A header that is no secret does not make the error unreadable.
            said = failure(server.url, **TOKEN, api_headers='{"X-Version": "40"}')
            for part in (
                f"{server.url}/users: The answer has status {status} instead of 200",
                '{"detail": "*** is not valid"}',
                "DEFTUNES_API_TOKEN is set",
                "DEFTUNES_API_HEADERS is set",
            ):
                assert part in said
            assert len(server.seen) == 1
            server.answers[0].body = b""
            assert "DEFTUNES_API_TOKEN is not set" in failure(server.url)


def test_a_token_is_not_shown_if_only_half_of_it_would_be() -> None:
    for status in (200, 404):
        with serving(Answer(b"You sent " + b"x" * 80 + b" geheim-token", status)) as it:
            assert "xx ***" in failure(it.url, **TOKEN)


def test_a_token_precedes_netrc_and_netrc_works_alone(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password geheim\n")
    with serving(Answer()) as server:
        api.users(access(server.url), RETRY_POLICY)
        assert server.seen[-1]["authorization"].startswith("Basic ")
        api.users(access(server.url, **TOKEN), RETRY_POLICY)
        assert server.seen[-1]["authorization"] == "Bearer geheim-token"
        own = '{"authorization": "ApiKey k"}'
        api.users(access(server.url, api_headers=own), RETRY_POLICY)
        assert server.seen[-1]["authorization"] == "ApiKey k"


def test_a_password_in_the_url_is_used_and_not_shown() -> None:
    with serving(Answer(b"geheim", 404)) as server:
        said = failure(server.url.replace("//", "//me:geheim@"))
        assert said.startswith(f"{server.url}/users: ")
        assert server.seen[0]["authorization"].startswith("Basic ")


def test_credentials_without_encryption_are_warned_of(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    warning = "sent without encryption"
    for url, more, is_warned in (
        ("http://nowhere.invalid", TOKEN, True),
        ("http://me:geheim@nowhere.invalid", {}, True),
        ("http://nowhere.invalid", {}, False),
        ("https://nowhere.invalid", TOKEN, False),
        *((f"http://{host}", TOKEN, False) for host in LOCAL),
    ):
        caplog.clear()
        list(loader.tasks(settings(api_url=url, **more), plan("users"), None))
        assert (warning in caplog.text) == is_warned
        assert "geheim" not in caplog.text


LOCAL = ("localhost:8000", "127.0.0.1", "127.1.2.3:1", "[::1]:8000")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"api_url": "ftp://geheim"}, "DEFTUNES_API_URL must begin with http:// or"),
        ({"api_url": "geheim.com:80"}, "DEFTUNES_API_URL must begin with http:// or"),
        ({"api_url": "https://"}, "DEFTUNES_API_URL is not a valid URL"),
        ({"api_url": "https://me:geheim@:8"}, "DEFTUNES_API_URL is not a valid URL"),
        ({"api_url": "https://h:port"}, "DEFTUNES_API_URL is not a valid URL"),
        ({"api_url": "https://[geheim"}, "DEFTUNES_API_URL is not a valid URL"),
        ({"api_url": "https://h i"}, "DEFTUNES_API_URL is not a valid URL"),
        ({"api_url": "https://h?key=geheim"}, "must not contain ? or #"),
        ({"api_token": "Bearer geheim"}, "DEFTUNES_API_TOKEN must be the token alone"),
        ({"api_token": "geheim\r"}, "DEFTUNES_API_TOKEN must be the token alone"),
        ({"api_token": "gehéim"}, "DEFTUNES_API_TOKEN must be the token alone"),
        *(
            ({"api_headers": text}, "DEFTUNES_API_HEADERS must be a JSON object")
            for text in (
                *(
                    "geheim",
                    '["geheim"]',
                    '{"k": 1}',
                    '{"k": ""}',
                    '{"k": "geheim\\n"}',
                ),
                *('{"k y": "geheim"}', '{"": "geheim"}', '{"k": "gehéim"}'),
            )
        ),
        (
            {"api_token": "geheim", "api_headers": '{"AUTHORIZATION": "geheim"}'},
            "both set the header Authorization",
        ),
        ({"api_client_certificate": "/none"}, "CERTIFICATE: there is no file /none"),
        (
            {"exchange_rates": "ftp://geheim"},
            "DEFTUNES_EXCHANGE_RATES must begin with http:// or",
        ),
    ],
    ids=lambda value: ascii(value)[:60],
)
def test_a_wrong_setting_is_refused_at_once(
    settings: MakeSettings, home: Path, given: dict[str, str], said: str
) -> None:
    made = settings(**{"api_url": "https://nowhere.invalid"} | given)
    with pytest.raises(SettingsError) as refused:
        run(made, plan("users", "exchange_rates"))
    assert said in str(refused.value)
    assert "geheim" not in str(refused.value) + repr(made)
    assert "heim" not in str(refused.value)
    assert not home.exists()


# Errors


def test_errors_name_url_cause_and_cure(caplog: pytest.LogCaptureFixture) -> None:
    with serving(Answer()) as server:
        pass
    for url, cause, cure, is_retried in (
        (server.url, "Connection refused.", "DEFTUNES_API_URL and whether", True),
        (
            "https://me:geheim@nowhere.invalid/v1",
            "The host is unknown.",
            "Check the host in DEFTUNES_API_URL.",
            False,
        ),
        ("http://busy.invalid", "The name server does not answer.", "later", True),
    ):
        caplog.clear()
        said = failure(url)
        assert said.startswith(f"{url.replace('me:geheim@', '')}/users: {cause}")
        assert cure in said
        assert ("Attempt 2 of 2 follows." in caplog.text) == is_retried
        assert ("That was attempt 2 of 2." in said) == is_retried
        assert "Retrying" not in caplog.text
        assert "geheim" not in caplog.text


def test_a_slow_server_is_asked_again_and_the_limit_is_named() -> None:
    slow = Answer(delay=5)
    with serving(slow) as server:
        said = failure(server.url)
        assert len(server.seen) == 2
    assert "No data for 0.3 s during the answer." in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(b"<h1>Not\nhere</h1><script>x</script>", 404),
            "has status 404 instead of 200: Not here. Check DEFTUNES_API_URL.",
        ),
        (Answer(b"", 501), "has status 501 instead of 200. Check DEFTUNES_API_URL."),
        (
            Answer(
                b"<!doctype html><title>Log in</title>",
                headers={"Content-Type": "text/html"},
            ),
            "The answer is not JSON. It begins with '<!doctype html><title>Log in"
            "</title>'. The content type is text/html. Expected: a JSON array as in "
            "scripts/deftunes/landing/users.schema.json.",
        ),
        (
            Answer(b'{"items": [{"user_name": "geheim"}], "next-7": 2}'),
            "The answer is a JSON object with items, not an array.",
        ),
        (
            Answer(b'{"user_id": 1, "user_name": "geheim"}\n{"user_id": 2}'),
            "a JSON object with user_id, user_name and more text after it, not an",
        ),
        (Answer(b'{"user_name": "geheim'), "begins like a JSON object"),
        (
            Answer(headers={"Link": '<https://h/users?page=2>; rel="next"'}),
            "The answer is one of several pages",
        ),
        (Answer(status=302, headers={"Location": "/users"}), "redirects without end"),
        (
            Answer(
                status=302, headers={"Location": "https://nowhere.invalid/?k=geheim"}
            ),
            "The host is unknown at https://nowhere.invalid/?..., to which it",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_came_instead_is_said_after_one_request(answer: Answer, said: str) -> None:
    with serving(answer) as server:
        assert said in failure(server.url)
        assert len(server.seen) == 1 or "without end" in said


def test_a_login_page_behind_a_redirect_is_named_without_its_query() -> None:
    with serving(Answer(b"<html>")) as login:
        place = f"{login.url}/login?state=geheim"
        with serving(Answer(status=302, headers={"Location": place})) as server:
            assert f"The final URL is {login.url}/login?...." in failure(server.url)


def test_records_without_ids_land_with_a_warning(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Answer(b'[{"id": "geheim"}, {"id": "b"}]')) as server:
        assert not run(settings(api_url=server.url), plan("users")).failed
    assert "none of the 2 records has a text as user_id" in caplog.text
    assert "users.schema.json" in caplog.text
    assert "geheim" not in caplog.text


def test_a_server_that_always_refuses_is_not_asked_for_every_day(
    settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(Answer(status=401)) as server:
        summary = run(settings(api_url=server.url), plan("sessions", days=400))
        assert 10 <= len(server.seen) < 40
    assert len(summary.failed) == 400
    assert "10 days in a row did not land" in caplog.text
    assert len(caplog.records) < 45


# TLS


@dataclass(frozen=True)
class Certificates:
    """Files with a certificate and its key; each certificate is self-signed."""

    valid: Path
    expired: Path
    other_host: Path

    def server(self, file: Path, client: Path | None = None) -> ssl.SSLContext:
        """Return the context of a server that may demand a client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if client:
            # In TLS 1.3 the client learns of the refusal later, or of a reset only.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make certificates with the command openssl."""
    folder = tmp_path_factory.mktemp("certificates")
    if shutil.which("openssl") is None:
        pytest.skip("needs the command openssl")

    def make(name: str, host: str, days: str) -> Path:
        (folder / "names").write_text(f"subjectAltName={host}")
        key = ("-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-subj", "/CN=test")
        sign = ("-signkey", "key", "-days", days, "-extfile", "names")
        for step in (
            ("req", "-new", *key, "-out", "request"),
            ("x509", "-req", "-in", "request", *sign, "-out", "certificate"),
        ):
            subprocess.run(
                ["openssl", *step],  # noqa: S607
                cwd=folder,
                check=True,
                capture_output=True,
            )
        parts = [(folder / part).read_text() for part in ("certificate", "key")]
        (folder / f"{name}.pem").write_text("".join(parts))
        return folder / f"{name}.pem"

    return Certificates(
        make("valid", "IP:127.0.0.1", "1"),
        make("expired", "IP:127.0.0.1", "-1"),
        make("other", "DNS:api.example.com", "1"),
    )


def test_a_certificate_is_trusted_or_the_reason_is_said_at_once(
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for file, bundle, why, cure in (
        (certificates.valid, None, "self-signed certificate", "REQUESTS_CA_BUNDLE"),
        (certificates.expired, certificates.expired, "expired", "needs a new one"),
        (
            certificates.other_host,
            certificates.other_host,
            "mismatch",
            "Check the host",
        ),
    ):
        if bundle:
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        with serving(Answer(), tls=certificates.server(file)) as server:
            said = failure(server.url, **TOKEN)
        assert f"{server.url}/users: The server's certificate is not trusted (" in said
        assert why in said
        assert cure in said
    with serving(Answer(), tls=certificates.server(certificates.valid)) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.valid))
        api.users(access(server.url), RETRY_POLICY)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/none")
        assert "Check REQUESTS_CA_BUNDLE" in failure(server.url)
    assert "follows" not in caplog.text


def test_http_and_https_are_not_confused(certificates: Certificates) -> None:
    with serving(Answer()) as server:
        said = failure(server.url.replace("http", "https"))
    assert "There is no TLS connection (" in said
    assert "Check DEFTUNES_API_URL" in said


def test_a_client_certificate_is_for_the_api_alone(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"api_client_certificate": str(certificates.valid)}
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.valid))
    demanding = certificates.server(certificates.valid, certificates.valid)
    with serving(Answer(), tls=demanding) as server:
        api.users(access(server.url, **own), RETRY_POLICY)
        assert "DEFTUNES_API_CLIENT_CERTIFICATE" in failure(server.url)
        assert len(server.seen) == 1
        place = {"Location": f"{server.url}/users"}
        with serving(Answer(status=302, headers=place)) as elsewhere:
            assert "There is no TLS connection" in failure(elsewhere.url, **own)
        assert len(server.seen) == 1
