"""Parsing of request bodies: decompression, and separation of an INSERT statement from its data."""

from __future__ import annotations

import re
import zlib

import lz4.frame  # type: ignore[import-untyped]
import zstandard

_ZSTD_WINDOW = 8 << 20
"""Maximum window in bytes, sufficient for zstd up to level 19. A frame may request gigabytes."""

# Possessive: without it, a body of blanks would be scanned again from each blank.
_INSERT = re.compile(
    rb"\s*+(?P<into>INSERT\s++INTO\s++(?:TABLE\s++)?[^;]+?)(?<!\s)\s++FORMAT\s++(?P<format>\w+)(?:\r?\n|[ \t]|$)",
    re.IGNORECASE,
)
_PLAIN = re.compile(rb"\s*(?:INSERT\b.*?\b(?:VALUES|SELECT|WITH)\b)", re.IGNORECASE | re.DOTALL)


class TooLargeError(ValueError):
    """A body exceeds its size limit; ``code`` is ClickHouse's error number."""

    code = 307

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the body exceeds {max_bytes:,} bytes unpacked; send less per request")


def decompress(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """Return the decoded body; decompression stops one byte above the limit.

    Raises
    ------
    TooLargeError
        If the decoded body exceeds ``max_bytes``.
    ValueError
        If the body is malformed, or the encoding is not supported.

    Examples
    --------
    >>> decompress(zlib.compress(b"x"), "deflate", max_bytes=100)
    b'x'
    """
    try:
        match encoding.strip().lower():
            case "" | "identity":
                out = data
            case "gzip" | "deflate":
                out = _inflate(data, max_bytes)
            case "zstd":
                unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
                with unpacker.stream_reader(data, read_across_frames=True) as reader:
                    out = reader.read(max_bytes + 1)
            case "lz4":
                out = _lz4(data, max_bytes)
            case _:
                raise ValueError(f"Content-Encoding {encoding[:40]}: not supported; use gzip, deflate, zstd or lz4")
    except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
        raise ValueError(f"the body is not valid {encoding[:40]} ({error}); send it again") from error
    if len(out) > max_bytes:
        raise TooLargeError(max_bytes)
    return out


def _inflate(data: bytes, max_bytes: int) -> bytes:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    out = stream.decompress(data, max_bytes + 1)
    if not stream.eof and len(out) <= max_bytes:
        raise ValueError("the body is incomplete; send the complete body")
    return out


def _lz4(data: bytes, max_bytes: int) -> bytes:
    out = b""
    while data and len(out) <= max_bytes:
        frame = lz4.frame.LZ4FrameDecompressor()
        out += frame.decompress(data, max_bytes + 1 - len(out))
        if not frame.eof and len(out) <= max_bytes:
            raise ValueError("the body is incomplete; send the complete body")
        data = frame.unused_data or b""
    return out


def split_insert(statement: bytes, body: bytes) -> tuple[str, str, bytes] | None:
    r"""Split an INSERT with data into ``INSERT INTO t (a, b)``, format and data; None for other statements.

    Examples
    --------
    >>> split_insert(b"", b"INSERT INTO t (a) FORMAT Native\n\x01\x02")
    ('INSERT INTO t (a)', 'Native', b'\x01\x02')
    >>> split_insert(b"INSERT INTO t FORMAT JSONEachRow", b"{}")
    ('INSERT INTO t', 'JSONEachRow', b'{}')
    >>> split_insert(b"INSERT INTO t VALUES (1)", b"")
    """
    text = statement + b"\n" + body if statement else body
    match = _INSERT.match(text)
    if not match or match["format"].lower() == b"values" or _PLAIN.fullmatch(match["into"]):
        return None
    return match["into"].decode(), match["format"].decode(), text[match.end() :]
