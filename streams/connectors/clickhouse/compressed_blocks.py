"""ClickHouse's compression of HTTP responses (``compress=1``): LZ4 blocks, each with a header and a checksum.

JDBC requests it by default.
"""

from __future__ import annotations

import struct

import lz4.block  # type: ignore[import-untyped]

from streams.connectors.clickhouse.cityhash import city_hash_128

BLOCK_BYTES = 1 << 20
_LZ4 = 0x82
_HEADER = struct.Struct("<BII")


def compress(data: bytes) -> bytes:
    """Return data as compressed blocks.

    Examples
    --------
    >>> len(compress(b"a" * 1000)) < 100
    True
    """
    return b"".join(_block(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES))


def _block(data: bytes) -> bytes:
    packed: bytes = lz4.block.compress(data, store_size=False)
    block = _HEADER.pack(_LZ4, _HEADER.size + len(packed), len(data)) + packed
    return city_hash_128(block) + block
