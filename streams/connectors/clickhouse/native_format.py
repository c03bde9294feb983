"""Conversion of ClickHouse's Native format to the protocol revision of a client (``client_protocol_version``).

The embedded engine writes the first revision of the format. clickhouse-go reads only later revisions, which add a
header before each block and a byte after the type of each column. So the conversion must find the end of each column.

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
"""Block header without overflow row and bucket number."""

_CUSTOM_SERIALIZATION = 54454
"""First revision with a byte after the type of a column that marks a custom serialization."""

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
    """A column type with an unknown layout; ``code`` is ClickHouse's NOT_IMPLEMENTED."""

    code = 48


def at_revision(data: bytes, revision: int) -> bytes:
    """Convert blocks of the first revision to another revision.

    Parameters
    ----------
    data
        Blocks from the engine.
    revision
        Protocol revision of the client; 0 changes nothing.

    Raises
    ------
    NativeError
        If the layout of a column type is unknown.
    """
    if not revision:
        return data
    flag = b"\0" if revision >= _CUSTOM_SERIALIZATION else b""
    cuts: list[tuple[int, bytes]] = [(0, b"")]
    cursor = _Cursor(data)
    try:
        cuts += _cuts(cursor, len(data), flag)
    except IndexError as error:
        raise NativeError("Native format: incomplete data or unsupported types; cast the columns to String") from error
    cuts.append((len(data), b""))
    return b"".join(before + data[here:there] for (here, before), (there, _) in pairwise(cuts))


def _cuts(cursor: _Cursor, end: int, flag: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the positions of insertions and the bytes to insert."""
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
    """A read position in Native data."""

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
        """Skip the prefix of a column, including the prefixes of nested types."""
        name, arguments = _parsed(kind)
        if name == "LowCardinality":
            self.at += 8
        elif name != "String" and name not in _WIDTHS:
            for inner in _inner(name, arguments):
                self.prefix(inner)

    def values(self, kind: str, rows: int) -> None:
        """Skip the values of a column."""
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
            inner_rows = self._number(self.at - 8)
            for inner in _inner(name, arguments):
                self.values(inner, inner_rows)
        else:
            for inner in _inner(name, arguments):
                self.values(inner, rows)

    def _low_cardinality(self, inner: str) -> None:
        """Skip a dictionary and its indices; NULL is a value of the dictionary."""
        width = 1 << (self._data[self.at] & 0xFF)
        keys = self._number(self.at + 8)
        self.at += 16
        self.values(inner.removeprefix("Nullable(").removesuffix(")") if inner.startswith("Nullable(") else inner, keys)
        positions = self._number(self.at)
        self.at += 8 + width * positions

    def _number(self, at: int) -> int:
        return int.from_bytes(self._data[at : at + 8], "little")


def _width(name: str, arguments: list[str]) -> int:
    """Return the size of a value in bytes; 0 for types of variable size."""
    if name == "FixedString":
        return int(arguments[0])
    if name == "Decimal":
        return next(width for digits, width in _DECIMAL_WIDTHS if int(arguments[0]) <= digits)
    return 8 if name.startswith("Interval") else _WIDTHS.get(name, 0)


def _inner(name: str, arguments: list[str]) -> list[str]:
    """Return the element types of a type."""
    if name in {"Array", "Nullable", "Map"}:
        return arguments
    if name == "SimpleAggregateFunction":
        return arguments[1:]
    if name in {"Tuple", "Nested"}:
        return [_ELEMENT_NAME.sub("", argument, count=1) for argument in arguments]
    if _width(name, arguments):
        return []
    raise NativeError(f"Native format: type {name} is not supported; cast the column to String")


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
