"""The ECB's file lands as one row per day and currency."""

import io
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from deftunes.landing.loader import run
from deftunes.landing.rates import RATES, RatesError, exchange_rates
from deftunes.settings import Settings
from test_land import RETRY_POLICY, plan

CSV = b"Date,USD,JPY,SIT,\n2024-01-05,1.0921,158.58,N/A,\n1999-01-04,1.1789,,189.045,\n"
ROWS = [
    (date(2024, 1, 5), "USD", Decimal("1.0921")),
    (date(2024, 1, 5), "JPY", Decimal("158.58")),
    (date(1999, 1, 4), "USD", Decimal("1.1789")),
    (date(1999, 1, 4), "SIT", Decimal("189.045")),
]


def zipped(body: bytes) -> bytes:
    """Return a zip archive with this file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("eurofxref-hist.csv", body)
    return buffer.getvalue()


@contextmanager
def serving(*bodies: bytes) -> Iterator[str]:
    """Serve these bodies in turn; yield the URL."""
    left = list(bodies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = left.pop(0)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://me:geheim@127.0.0.1:{server.server_port}/x/eurofxref-hist.zip"
        finally:
            server.shutdown()
            thread.join()


def rows(place: str | None) -> list[tuple[Any, ...]]:
    """Return the rates in a file."""
    table = exchange_rates(place, RETRY_POLICY)
    assert table.schema == RATES
    return [tuple(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("body", [CSV, zipped(CSV), b"\xef\xbb\xbf" + CSV])
def test_a_file_is_read_zipped_or_not(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "rates"
    file.write_bytes(body)
    assert rows(str(file)) == ROWS


def test_the_shipped_file_has_the_whole_history() -> None:
    found = {(day, currency): rate for day, currency, rate in rows(None)}
    assert found[date(1999, 1, 4), "USD"] == Decimal("1.1789")
    assert found[date(2020, 1, 2), "JPY"] == Decimal("121.75")
    assert len(found) > 200_000


def test_a_download_is_tried_again_and_its_credentials_stay_secret(
    home: Path,
    settings: Callable[..., Settings],
    landed: Callable[[str], list[dict[str, Any]]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(zipped(CSV)[:-30], zipped(CSV)[:40], zipped(CSV)) as url:
        made = settings(exchange_rates=url)
        assert not run(made, plan("exchange_rates"), RETRY_POLICY).failed
    assert {row["_source"] for row in landed("exchange_rates")} == {
        "ecb:eurofxref-hist.zip"
    }
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"PK\x03\x04",
        CSV[:20],
        CSV.replace(b"Date", b"Day"),
        CSV.replace(b"USD", b"Dollar"),
        CSV.replace(b"2024-01-05", b"05/01/2024"),
        CSV.replace(b"1.0921", b"1,0921"),
        CSV.replace(b"1.0921", b"x"),
        CSV.replace(b"1.0921", b"0"),
        CSV.replace(b"1.0921", b"-1"),
        CSV.replace(b"1.0921", b"NaN"),
        CSV.replace(b"1.0921", b"1e30"),
        CSV.replace(b"1.0921", b"1.123456789"),
        CSV[:-30],
    ],
)
def test_any_other_file_is_refused(tmp_path: Path, body: bytes) -> None:
    file = tmp_path / "rates.csv"
    file.write_bytes(body)
    with pytest.raises(RatesError, match=r"rates\.csv"):
        exchange_rates(str(file))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RatesError, match="DEFTUNES_EXCHANGE_RATES"):
        exchange_rates(str(tmp_path / "none.zip"))
