"""Generates Arrow columns of identifiers and times with numpy, millions of rows fast.

The properties of each user and track are derived from a hash of (seed, purpose, index),
so any of them can be generated without generating those before it.
"""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

DAY = 86_400_000_000
"""Microseconds of a day."""

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_PAIRS = np.array([list(b"%02d" % number) for number in range(100)], np.uint8)


def hashes(seed: int, purpose: str, index: Integers) -> Hashes:
    """Return 64 random-looking bits for each index.

    The mixing is that of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
    number generators", 2014).

    Args:
        seed: the seed of the whole.
        purpose: what the bits are used for; another purpose gives independent bits.
        index: shape (n,), at least -1.

    """
    salt = zlib.crc32(purpose.encode()) << 32 ^ seed * 0x9E3779B97F4A7C15
    mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.uint64(salt % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def uniform(seed: int, purpose: str, index: Integers) -> Floats:
    """Return a number in [0, 1) for each index; arguments as in `hashes`."""
    return (hashes(seed, purpose, index) >> np.uint64(11)) * np.float64(2.0**-53)


def uuids(seed: int, purpose: str, index: Integers) -> pa.Array:
    """Return a version 4 UUID in text for each index; arguments as in `hashes`."""
    octets = _octets(seed, purpose, index)
    octets[:, 6] = octets[:, 6] & 0x0F | 0x40
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = np.empty((len(index), 32), np.uint8)
    digits[:, 0::2] = _HEX[octets >> 4]
    digits[:, 1::2] = _HEX[octets & 15]
    text = np.full((len(index), 36), ord("-"), np.uint8)
    for first, last, dashes in ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3)):
        text[:, first + dashes : last + dashes] = digits[:, first:last]
    text[:, 24:] = digits[:, 20:]
    return fixed_width(text)


def codes(seed: int, prefix: str, index: Integers) -> pa.Array:
    """Return an identifier for each index: the prefix, then 16 capitals and digits.

    Args:
        seed: the seed of the whole.
        prefix: two letters.
        index: shape (n,).

    """
    octets = _octets(seed, prefix, index)
    text = np.empty((len(index), 18), np.uint8)
    text[:, :2] = np.frombuffer(prefix.encode(), np.uint8)
    text[:, 2:7] = _LETTERS[octets[:, :5] % 26]
    text[:, 7:9] = np.frombuffer(b"12", np.uint8)
    text[:, 9:] = np.frombuffer(b"0123456789ABCDEF", np.uint8)[octets[:, 5:14] & 15]
    return fixed_width(text)


def timestamps(micros: Integers) -> Bytes:
    """Return ISO 8601 texts with microseconds and no time zone, shape (n, 26).

    Args:
        micros: microseconds since 1970-01-01, shape (n,).

    """
    text = np.empty((len(micros), 26), np.uint8)
    if not len(micros):
        return text
    days, rest = np.divmod(micros, DAY)
    first = int(days.min())
    calendar = (
        np.arange(first, int(days.max()) + 1).astype("datetime64[D]").astype("S10")
    )
    text[:, :10] = calendar.view(np.uint8).reshape(-1, 10)[days - first]
    text[:, [10, 13, 16, 19]] = np.frombuffer(b"T::.", np.uint8)
    seconds, fraction = np.divmod(rest, 1_000_000)
    minutes, second = np.divmod(seconds, 60)
    hour, minute = np.divmod(minutes, 60)
    upper, lower = np.divmod(fraction, 100)
    for column, pair in (
        (11, hour),
        (14, minute),
        (17, second),
        (20, upper // 100),
        (22, upper % 100),
        (24, lower),
    ):
        text[:, column : column + 2] = _PAIRS[pair]
    return text


def fixed_width(text: Bytes, present: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return a string array of texts that all have the same length.

    Args:
        text: UTF-8, shape (rows that are not null, width).
        present: which rows are not null, shape (n,); all by default.

    """
    rows, width = text.shape
    if present is None:
        offsets, validity = np.arange(rows + 1, dtype=np.int32), None
    else:
        offsets = np.zeros(len(present) + 1, np.int32)
        np.cumsum(present, out=offsets[1:])
        validity = pa.py_buffer(np.packbits(present, bitorder="little"))
    offsets *= np.int32(width)
    return pa.StringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text), validity
    )


def pick(shares: Any, at: Floats) -> Integers:  # noqa: ANN401 - any array-like
    """Map each number in [0, 1) to a position, in proportion to the weights.

    Args:
        shares: weights of the positions, in any unit.
        at: shape (n,).

    """
    bounds: Floats = np.cumsum(shares, dtype=np.float64)
    return find_position(bounds, at * bounds[-1])


def find_position(bounds: Floats, amount: Floats) -> Integers:
    """Return the position whose part of a running total contains each amount.

    Args:
        bounds: the running total up to and including each position, shape (positions,).
        amount: numbers from 0 up to the total, shape (n,).

    """
    position: Integers = np.searchsorted(bounds, amount, side="right")
    return position.clip(max=len(bounds) - 1)


def _octets(seed: int, purpose: str, index: Integers) -> Bytes:
    """Return 16 random-looking bytes for each index."""
    words = [hashes(seed, f"{purpose} {half}", index) for half in (0, 1)]
    return np.stack(words, axis=1).astype("<u8").view(np.uint8)
