"""A record that cannot be judged, as it is kept: whole, with the reason and where it came from."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from schemas.errors import RecordError


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


def letter(origin: Origin, error: RecordError, key: str | None, raw: bytes | None) -> dict[str, Any]:
    """Return the record of the topic of dead letters (`schemas.outputs.DeadLetter`)."""
    return {
        "dead_letter_id": hashlib.blake2b(origin.name.encode(), digest_size=16).hexdigest(),
        "reason": error.reason,
        "error": str(error),
        "source_topic": origin.topic,
        "source_partition": origin.partition,
        "source_offset": origin.offset,
        "key": key,
        "raw": base64.b64encode(raw or b"").decode(),
    }
