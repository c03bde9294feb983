"""Bodies as clients send them: compressed, and with data behind an INSERT statement."""

from __future__ import annotations

import re
import zlib

import lz4.frame  # type: ignore[import-untyped]
import zstandard

_ZSTD_WINDOW = 8 << 20
"""Bytes: what zstd uses up to level 19. A frame may ask for gigabytes."""

# White space is tried from its begin only: a body of blanks would be read once from each of them.
_INSERT = re.compile(
    rb"\s*+(?P<into>INSERT\s++INTO\s++(?:TABLE\s++)?[^;]+?)(?<!\s)\s++FORMAT\s++(?P<format>\w+)(?:\r?\n|[ \t]|$)",
    re.IGNORECASE,
)
_PLAIN = re.compile(rb"\s*(?:INSERT\b.*?\b(?:VALUES|SELECT|WITH)\b)", re.IGNORECASE | re.DOTALL)


class TooLargeError(ValueError):
    """A body over its limit; ``code`` is ClickHouse's."""

    code = 307

    def __init__(self, most: int) -> None:
        super().__init__(f"the body is over {most:,} bytes unpacked; send less at once")


def decompress(data: bytes, encoding: str, most: int) -> bytes:
    """Undo a Content-Encoding, and never unpack further than one byte too far.

    Raises
    ------
    TooLargeError
        If it is more than ``most`` bytes.
    ValueError
        If it is broken, or the encoding is unknown.

    Examples
    --------
    >>> decompress(zlib.compress(b"x"), "deflate", most=100)
    b'x'
    """
    try:
        match encoding.strip().lower():
            case "" | "identity":
                out = data
            case "gzip" | "deflate":
                out = _inflate(data, most)
            case "zstd":
                unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
                with unpacker.stream_reader(data, read_across_frames=True) as reader:
                    out = reader.read(most + 1)
            case "lz4":
                out = _lz4(data, most)
            case _:
                raise ValueError(f"Content-Encoding {encoding[:40]}: use gzip, deflate, zstd or lz4")
    except (zlib.error, zstandard.ZstdError, RuntimeError) as error:
        raise ValueError(f"the body is not {encoding[:40]}: {error}") from error
    if len(out) > most:
        raise TooLargeError(most)
    return out


def _inflate(data: bytes, most: int) -> bytes:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)
    out = stream.decompress(data, most + 1)
    if not stream.eof and len(out) <= most:
        raise ValueError("the body ends too early; send it whole")
    return out


def _lz4(data: bytes, most: int) -> bytes:
    out = b""
    while data and len(out) <= most:
        frame = lz4.frame.LZ4FrameDecompressor()
        out += frame.decompress(data, most + 1 - len(out))
        if not frame.eof and len(out) <= most:
            raise ValueError("the body ends too early; send it whole")
        data = frame.unused_data or b""
    return out


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
