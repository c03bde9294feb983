"""Bodies as clients send them: compressed, and with data behind an INSERT statement."""

from __future__ import annotations

import re
import zlib

import lz4.frame  # type: ignore[import-untyped]
import zstandard

_INSERT = re.compile(
    rb"\s*(?P<into>INSERT\s+INTO\s+(?:TABLE\s+)?[^;]+?)\s+FORMAT\s+(?P<format>\w+)(?:\r?\n|[ \t]|$)", re.IGNORECASE
)
_PLAIN = re.compile(rb"\s*(?:INSERT\b.*?\b(?:VALUES|SELECT|WITH)\b)", re.IGNORECASE | re.DOTALL)


def decompress(data: bytes, encoding: str) -> bytes:
    """Undo a Content-Encoding.

    Examples
    --------
    >>> decompress(zlib.compress(b"x"), "deflate")
    b'x'
    """
    match encoding.lower():
        case "" | "identity":
            return data
        case "gzip" | "deflate":
            return zlib.decompress(data, wbits=47)
        case "zstd":
            with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
                return reader.read()
        case "lz4":
            return _lz4(data)
    raise ValueError(f"Content-Encoding {encoding}: use gzip, deflate, zstd or lz4")


def _lz4(data: bytes) -> bytes:
    parts = []
    while data:
        frame = lz4.frame.LZ4FrameDecompressor()
        parts.append(frame.decompress(data))
        data = frame.unused_data or b""
    return b"".join(parts)


def split_insert(statement: bytes, body: bytes) -> tuple[str, str, bytes] | None:
    r"""Split an INSERT with data into ``INSERT INTO t (a, b)``, its format and the data; None for anything else.

    Examples
    --------
    >>> split_insert(b"", b"INSERT INTO t (a) FORMAT Native\n\x01\x02")
    ('INSERT INTO t (a)', 'Native', b'\x01\x02')
    >>> split_insert(b"INSERT INTO t FORMAT JSONEachRow", b"{}")
    ('INSERT INTO t', 'JSONEachRow', b'{}')
    >>> split_insert(b"INSERT INTO t VALUES (1)", b"")
    """
    whole = statement + b"\n" + body if statement else body
    found = _INSERT.match(whole)
    if not found or found["format"].lower() == b"values" or _PLAIN.fullmatch(found["into"]):
        return None
    return found["into"].decode(), found["format"].decode(), whole[found.end() :]
