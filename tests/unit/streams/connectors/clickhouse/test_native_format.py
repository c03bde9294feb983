from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lz4.block  # type: ignore[import-untyped]
import pytest

from streams.connectors.clickhouse.cityhash import city_hash_128
from streams.connectors.clickhouse.compressed_blocks import BLOCK_BYTES, compress
from streams.connectors.clickhouse.embedded import open_handle
from streams.connectors.clickhouse.native_format import NativeError, at_revision

VALUES = [
    "toInt8(number)", "toUInt256(number)", "toFloat32(number)", "number % 2 = 0", "toBFloat16(number)",
    "toDate('2026-01-01')", "toDate32('2026-01-01')", "now()", "now64(6, 'Europe/Berlin')", "toDecimal32(1, 2)",
    "toDecimal64(1, 2)", "toDecimal128(1, 2)", "toDecimal256(1, 2)", "generateUUIDv4()", "toIPv4('1.2.3.4')",
    "toIPv6('::1')", "toFixedString('abc', 7)", "repeat('ä', number * 100)", "CAST(1, 'Enum8(\\'a,(\\' = 1)')",
    "CAST(1, 'Enum16(\\'b\\' = 1)')", "NULL", "toNullable(toString(number))", "toLowCardinality(toString(number % 3))",
    "toLowCardinality(if(number % 2, NULL, 'a'))", "range(number)", "arrayMap(x -> range(x), range(number))",
    "emptyArrayString()", "arrayMap(x -> toLowCardinality(toString(x)), range(number))",
    "map('a', number)", "map('a', [toNullable(number)])", "CAST(map(), 'Map(LowCardinality(String), UInt8)')",
    "tuple(number, toString(number), [1])", "CAST((1, 'x'), 'Tuple(a UInt8, `b c` LowCardinality(String))')",
    "CAST([(1, 'x')], 'Nested(a UInt8, b String)')", "CAST(number, 'SimpleAggregateFunction(sum, UInt64)')",
    "toIntervalDay(number)", "(1., 2.)::Point",
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    handle = open_handle(tmp_path_factory.mktemp("native"))
    yield handle
    handle.close()


def native(engine: Any, sql: str) -> bytes:
    return bytes(engine.query(sql, "Native").bytes() or b"")


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("value", VALUES)
def test_the_end_of_a_column_is_found(engine: Any, value: str, rows: int) -> None:
    data = native(engine, f"SELECT {value} AS v, 'end' AS e FROM numbers({rows})")
    assert len(at_revision(data, 54460)) == len(data) + 8 + 2
    assert len(at_revision(data, 54405)) == len(data) + 8
    assert at_revision(data, 0) == data


def test_each_block_has_a_header_and_each_column_a_flag(engine: Any) -> None:
    data = native(engine, "SELECT number, toString(number) FROM numbers(10) SETTINGS max_block_size = 3")
    assert at_revision(data, 54460).count(b"\x01\x00\x02\xff\xff\xff\xff\x00\x02") == 4
    assert len(at_revision(data, 54460)) == len(data) + 4 * (8 + 2)


@pytest.mark.parametrize("value", ["sumState(number)", "any('{}'::JSON)", "any(1::Dynamic)"])
def test_an_unsupported_type_is_named(engine: Any, value: str) -> None:
    data = native(engine, f"SELECT {value} FROM numbers(3)")
    with pytest.raises(NativeError):
        at_revision(data, 54460)


def test_truncated_data_is_an_error(engine: Any) -> None:
    data = native(engine, "SELECT toString(number) FROM numbers(100)")
    with pytest.raises(NativeError):
        at_revision(data[:-150], 54460)


@pytest.mark.parametrize("size", [1, 9, 1000, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_blocks_decompress_to_the_original_data(size: int) -> None:
    data, left = bytes(k * k % 251 for k in range(1000)) * (size // 1000 + 1), b""
    packed = compress(data[:size])
    while packed:
        checksum, method, stored, whole = packed[:16], packed[16], packed[17:21], packed[21:25]
        end = 16 + int.from_bytes(stored, "little")
        assert method == 0x82
        assert checksum == city_hash_128(packed[16:end])
        left += lz4.block.decompress(packed[25:end], uncompressed_size=int.from_bytes(whole, "little"))
        packed = packed[end:]
    assert left == data[:size]


# Of github.com/go-faster/city, CH128, which clickhouse-go checks blocks with.
@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (8, "0c8c382e0b39c3e0600475a45ebd2951"),
        (9, "cb5d29161e006eadd2f524330cc06b92"),
        (15, "4f2638524fcc8c4b612650ffac47af86"),
        (16, "2425ac309c6f2eaa42984922f53c5834"),
        (17, "65259031bd625101e14b6198fa7e3eeb"),
        (20, "96d491a2d2977c087fc6df58f2908e15"),
        (24, "0d4ac12630760952f710d42c07d9b1f9"),
        (25, "f9d06d9ed812a54150a1054f082adf39"),
        (32, "ccfa6d6b89c40c00ee94456542076abc"),
        (33, "c01747004eba0d3da6e97153b67708f4"),
        (47, "da44db6c08363f48a19d971e857ce11e"),
        (48, "cc6a759d4c64f03dc20ba3da84e664a0"),
        (100, "25b9e6df62e16dcb59492fbef6032eb8"),
        (143, "82144f0b0db0a8f9f91cee51499ac83c"),
        (144, "c96d1b3df2be776392dd3b2ebc523843"),
        (145, "baff3f6f1836901b977eba4ad90d4818"),
        (160, "80b52cc530fbc014d88bd1907762e3dc"),
        (200, "851d2adeb0d3ea0aec385e82e2cd1cb9"),
        (271, "60d13574c45f7b8c3574b1b15518a5c5"),
        (272, "5dbb509590727b766575d2b96dd33f4c"),
        (273, "daee2240238d87f7726ac39d32140a8e"),
        (399, "b3f0fbf387ab7f462d6371c8e503d74d"),
    ],
)
def test_the_checksum_matches_clickhouse(size: int, digest: str) -> None:
    assert city_hash_128(bytes((k * k + 7 * k + size) % 251 for k in range(size))).hex() == digest
