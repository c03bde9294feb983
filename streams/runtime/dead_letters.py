"""Dead letters: a record that cannot be scored or stored, with the reason and where it came from.

One maker for every service, and one size: the record's bytes are kept up to `RAW_BYTES`, with their full length and
their SHA-256, so that a record of any size is one dead letter that every topic takes.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from schemas.errors import RecordError
from streams.runtime.metrics import DEAD_LETTERS_REDUCED

log = logging.getLogger(__name__)

RAW_BYTES = 512 << 10
"""Kept of a record: 700 kB in base64, within the 1 MB that Kafka's topics take by default."""
ERROR_CHARS = 2_000
KEY_CHARS = 1_024
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""Refusals for size; the second is of a topic whose segments are smaller than the batch."""
_CUT_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record came from.

    Attributes
    ----------
    name
        Unique; the same when the record comes again, so that it is kept once.
    """

    name: str
    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: Any) -> Origin:
        """Return the origin of a record of Kafka."""
        name = f"{record.topic}-{record.partition}-{record.offset}"
        return cls(name, record.topic, record.partition, record.offset)


def letter(origin: Origin, error: RecordError, key: str | bytes | None, raw: bytes | None) -> dict[str, Any]:
    """Return the record of the topic of dead letters (`schemas.outputs.DeadLetter`)."""
    payload = raw or b""
    if isinstance(key, bytes):
        key = key[: 4 * KEY_CHARS].decode("utf-8", "replace")
    return {
        "dead_letter_id": hashlib.blake2b(origin.name.encode(), digest_size=16).hexdigest(),
        "reason": error.reason,
        "error": _encodable(str(error)[:ERROR_CHARS]),
        "source_topic": origin.topic,
        "source_partition": origin.partition,
        "source_offset": origin.offset,
        "key": None if key is None else _encodable(key[:KEY_CHARS]),
        "raw": base64.b64encode(payload[:RAW_BYTES]).decode(),
        "raw_bytes": len(payload),
        "raw_sha256": hashlib.sha256(payload).hexdigest(),
    }


async def post(producer: AIOKafkaProducer, topic: str, key: bytes, made: dict[str, Any]) -> None:
    """Write a dead letter and wait for it; where the broker refuses its size, write less of it, at last a stub.

    What the broker does not take as a stub either is logged and counted: nothing is gained by trying for ever.

    Raises
    ------
    KafkaError
        If the broker is away or refuses for another reason.
    """
    for form, less in forms(made):
        try:
            await producer.send_and_wait(topic, orjson.dumps(less), key=key)
        except TOO_LARGE:
            continue
        if form != "whole":
            DEAD_LETTERS_REDUCED.labels(form).inc()
        return
    DEAD_LETTERS_REDUCED.labels("lost").inc()
    log.error("%s refuses a dead letter of %s even as a stub", topic, made["dead_letter_id"])


def forms(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a dead letter whole, with less of the record, and as a stub: hash, length and where it came from."""
    yield "whole", made
    raw = made["raw"][: _CUT_BYTES * 4 // 3 // 4 * 4]
    yield "cut", made | {"raw": raw, "error": made["error"][:500]}
    yield "stub", made | {"raw": "", "error": "", "key": None}


def smaller(made: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the largest form of a dead letter that has at most so many bytes; the stub where none has."""
    less = made
    for form, less in forms(made):  # noqa: B007 - the last form counts where none fits
        if len(orjson.dumps(less)) <= most:
            break
    if form != "whole":
        DEAD_LETTERS_REDUCED.labels(form).inc()
    return less


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
