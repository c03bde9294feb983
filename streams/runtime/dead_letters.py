"""Dead letters: records that cannot be scored or stored, with the reason and the origin.

Every service builds dead letters here. A dead letter keeps up to `RAW_BYTES` of the record, its full length and its
SHA-256, so a record of any size fits into one dead letter that every topic accepts.
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
"""Maximum bytes kept of a record: 700 kB in base64, below Kafka's default record size of 1 MB."""
ERROR_CHARS = 2_000
KEY_CHARS = 1_024
TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)
"""Size errors of a broker; the second means that the topic's segments are smaller than the batch."""
_CUT_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Origin:
    """Source position of a record, with a unique name.

    Attributes
    ----------
    name
        Unique name, identical for a duplicate of the record, so that the dead letter is stored once.
    """

    name: str
    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: Any) -> Origin:
        """Return the origin of a Kafka record."""
        name = f"{record.topic}-{record.partition}-{record.offset}"
        return cls(name, record.topic, record.partition, record.offset)


def build_dead_letter(origin: Origin, error: RecordError, key: str | bytes | None, raw: bytes | None) -> dict[str, Any]:
    """Return a dead letter in the form of `schemas.outputs.DeadLetter`."""
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


async def send_reducing(producer: AIOKafkaProducer, topic: str, key: bytes, letter: dict[str, Any]) -> None:
    """Send a dead letter and wait for it; on a size error, send a smaller form, finally a stub.

    If the broker refuses the stub too, the loss is logged and counted, because a retry would fail again.

    Raises
    ------
    KafkaError
        If the broker is unavailable or refuses for another reason.
    """
    for form, reduced in reduced_forms(letter):
        try:
            await producer.send_and_wait(topic, orjson.dumps(reduced), key=key)
        except TOO_LARGE:
            continue
        if form != "whole":
            DEAD_LETTERS_REDUCED.labels(form).inc()
        return
    DEAD_LETTERS_REDUCED.labels("lost").inc()
    log.error("dead letter %s lost: %s refuses even its stub for its size", letter["dead_letter_id"], topic)


def reduced_forms(letter: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a dead letter unchanged, cut, and as a stub with hash, length and origin."""
    yield "whole", letter
    raw = letter["raw"][: _CUT_BYTES * 4 // 3 // 4 * 4]
    yield "cut", letter | {"raw": raw, "error": letter["error"][:500]}
    yield "stub", letter | {"raw": "", "error": "", "key": None}


def reduced_to(letter: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Return the largest form of a dead letter within ``max_bytes``; the stub if no form fits."""
    reduced = letter
    for form, reduced in reduced_forms(letter):  # noqa: B007 - the last form is returned if none fits
        if len(orjson.dumps(reduced)) <= max_bytes:
            break
    if form != "whole":
        DEAD_LETTERS_REDUCED.labels(form).inc()
    return reduced


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
