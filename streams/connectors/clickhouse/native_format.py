"""ClickHouse's Native format as a client of a given protocol revision reads it (``client_protocol_version``).

The embedded engine writes the format's first revision. clickhouse-go reads nothing else than the later ones: a header
before each block, and a byte after each column's type. So the ends of the columns are looked for, type by type.

References
----------
https://clickhouse.com/docs/interfaces/formats/Native
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import NDArray

from schemas.errors import StoreError

_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""No overflow row, no bucket number."""

_CUSTOM_SERIALIZATION = 54454
"""From this revision a byte after a column's type says whether its serialization is the type's own."""

_WIDTHS = {
    "Bool": 1, "Int8": 1, "UInt8": 1, "Enum8": 1, "Nothing": 1,
    "Int16": 2, "UInt16": 2, "Enum16": 2, "Date": 2, "BFloat16": 2,
    "Int32": 4, "UInt32": 4, "Float32": 4, "Date32": 4, "DateTime": 4, "IPv4": 4, "Decimal32": 4, "Time": 4,
    "Int64": 8, "UInt64": 8, "Float64": 8, "DateTime64": 8, "Decimal64": 8, "Time64": 8,
    "Int128": 16, "UInt128": 16, "UUID": 16, "IPv6": 16, "Decimal128": 16, "Point": 16,
    "Int256": 32, "UInt256": 32, "Decimal256": 32,
}  # fmt: skip
_DECIMAL_WIDTHS = ((9, 4), (18, 8), (38, 16), (76, 32))
_ELEMENT_NAME = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*)\s+(?=[A-Z])")


class NativeError(StoreError):
    """A type that this module cannot find the end of; ``code`` is ClickHouse's NOT_IMPLEMENTED."""

    code = 48


def at_revision(data: bytes, revision: int) -> bytes:
    """Return blocks of the first revision as blocks of another.

    Parameters
    ----------
    data
        As the engine wrote them.
    revision
        Of the client; 0 changes nothing.

    Raises
    ------
    NativeError
        If a column has a type whose end cannot be found.
    """
    if not revision:
        return data
    flag = b"\0" if revision >= _CUSTOM_SERIALIZATION else b""
    cuts: list[tuple[int, bytes]] = [(0, b"")]
    cursor = _Cursor(data)
    try:
        cuts += _cuts(cursor, len(data), flag)
    except IndexError as error:
        raise NativeError("no Native of these types for this client; cast them to String") from error
    cuts.append((len(data), b""))
    return b"".join(before + data[here:there] for (here, before), (there, _) in pairwise(cuts))


def _cuts(cursor: _Cursor, end: int, flag: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where something comes between, and what."""
    while cursor.at < end:
        yield cursor.at, _BLOCK_INFO
        columns, rows = cursor.varint(), cursor.varint()
        for _ in range(columns):
            cursor.text()
            kind = cursor.text()
            yield cursor.at, flag
            if rows:
                cursor.prefix(kind)
                cursor.values(kind, rows)


class _Cursor:
    """A place in Native data."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data
        self._bytes = np.frombuffer(data, np.uint8)

    def varint(self) -> int:
        value, self.at = _varint(self._bytes, self.at)
        return int(value)

    def text(self) -> str:
        size = self.varint()
        self.at += size
        return self._data[self.at - size : self.at].decode()

    def prefix(self, kind: str) -> None:
        """Pass what stands before a column's values, of the types within it too."""
        name, arguments = _parsed(kind)
        if name == "LowCardinality":
            self.at += 8
        elif name != "String" and name not in _WIDTHS:
            for inner in _inner(name, arguments):
                self.prefix(inner)

    def values(self, kind: str, rows: int) -> None:
        """Pass the values of a column."""
        if not rows:
            return
        name, arguments = _parsed(kind)
        if width := _width(name, arguments):
            self.at += width * rows
        elif name == "String":
            self.at = _after_strings(self._bytes, self.at, rows)
        elif name == "Nullable":
            self.at += rows
            self.values(arguments[0], rows)
        elif name == "LowCardinality":
            self._low_cardinality(arguments[0])
        elif name in {"Array", "Map", "Nested"}:
            self.at += 8 * rows
            within = self._number(self.at - 8)
            for inner in _inner(name, arguments):
                self.values(inner, within)
        else:
            for inner in _inner(name, arguments):
                self.values(inner, rows)

    def _low_cardinality(self, inner: str) -> None:
        """Pass a dictionary and the positions in it; NULL is one of its values."""
        width = 1 << (self._data[self.at] & 0xFF)
        keys = self._number(self.at + 8)
        self.at += 16
        self.values(inner.removeprefix("Nullable(").removesuffix(")") if inner.startswith("Nullable(") else inner, keys)
        positions = self._number(self.at)
        self.at += 8 + width * positions

    def _number(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 8], "little")


def _width(name: str, arguments: list[str]) -> int:
    """Return the bytes of a value; 0 where values differ in size."""
    if name == "FixedString":
        return int(arguments[0])
    if name == "Decimal":
        return next(width for digits, width in _DECIMAL_WIDTHS if int(arguments[0]) <= digits)
    return 8 if name.startswith("Interval") else _WIDTHS.get(name, 0)


def _inner(name: str, arguments: list[str]) -> list[str]:
    """Return the types whose values a type's values are made of."""
    if name in {"Array", "Nullable", "Map"}:
        return arguments
    if name == "SimpleAggregateFunction":
        return arguments[1:]
    if name in {"Tuple", "Nested"}:
        return [_ELEMENT_NAME.sub("", argument, count=1) for argument in arguments]
    if _width(name, arguments):
        return []
    raise NativeError(f"no Native of type {name} for this client; cast the column to String")


def _parsed(kind: str) -> tuple[str, list[str]]:
    """Split a type into its name and its arguments.

    Examples
    --------
    >>> _parsed("Map(String, Array(Enum8('a,(' = 1)))")
    ('Map', ['String', "Array(Enum8('a,(' = 1))"])
    """
    name, _, rest = kind.partition("(")
    arguments, depth, start = [], 0, 0
    for token in re.finditer(r"'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|[(),]", rest):
        if token[0] == "(":
            depth += 1
        elif (token[0] == "," and depth == 0) or (token[0] == ")" and depth == 0):
            arguments.append(rest[start : token.start()].strip())
            start = token.end()
        elif token[0] == ")":
            depth -= 1
    return name, arguments


@numba.njit(cache=True)
def _varint(data: NDArray[np.uint8], at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if at >= len(data):
            raise IndexError
        value |= int(data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return value, at + 1
        at += 1
        shift += 7


@numba.njit(cache=True)
def _after_strings(data: NDArray[np.uint8], at: int, rows: int) -> int:
    for _ in range(rows):
        size, at = _varint(data, at)
        at += size
    return at
