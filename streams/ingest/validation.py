"""From the items of a body to the rows that Kafka gets, and to what is wrong with the others."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from schemas.errors import ContractError, RecordError
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.ingest.api_keys import Sender
from streams.runtime.dead_letters import Origin, build_dead_letter
from streams.runtime.decode import FEEDBACK_HEADER, read_event
from streams.runtime.partitioning import event_key
from streams.runtime.produce import Row
from streams.runtime.topics import MAX_MESSAGE_BYTES

_AT_ONCE_BYTES = 256 << 10
"""Between two looks at other requests: 3 ms. An item counts as `_LEAST_BYTES` at least."""
_LEAST_BYTES = _AT_ONCE_BYTES // 200
_MOST_TOLD = 1_000


@dataclass(frozen=True, slots=True)
class Bad:
    """An item that is no event."""

    index: int
    raw: bytes
    error: RecordError


@dataclass(slots=True)
class Taken:
    """What became of the items of a body."""

    rows: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return what the sender is told: how many were taken, and what is wrong with each that was not."""
        said = [
            {
                "index": b.index,
                "reason": b.error.reason,
                "code": b.error.code,
                "field": b.error.field,
                "error": str(b.error),
            }
            for b in self.bad[:_MOST_TOLD]
        ]
        return {"accepted": len(self.rows), "rejected": len(self.bad), "problems": said}

    def letters(self, sender: Sender, path: str) -> list[Row]:
        """Return the dead letters."""
        return [_letter(bad, sender, path) for bad in self.bad]


async def take(
    items: Sequence[bytes], sender: Sender, *, feedback: bool = False, room: int = MAX_MESSAGE_BYTES
) -> Taken:
    """Judge each item by itself; between some of them others get their turn.

    Parameters
    ----------
    room
        Most bytes that key and value may have for their topic.
    """
    taken, judged = Taken(), 0
    for index, raw in enumerate(items):
        if judged >= _AT_ONCE_BYTES:
            await asyncio.sleep(0)
            judged = 0
        judged += max(len(raw), _LEAST_BYTES)
        try:
            taken.rows.append(_fitting(row(raw, sender, feedback=feedback), room))
        except RecordError as error:
            taken.bad.append(Bad(index, raw, error))
    return taken


def _fitting(made: Row, room: int) -> Row:
    key, value = made
    if (size := len(key or b"") + len(value)) > room:
        raise ContractError(
            f"value: {size} bytes are more than the topic takes ({room}); truncate texts", code="too_large"
        )
    return made


def row(raw: bytes, sender: Sender, *, feedback: bool = False) -> Row:
    """Return key and value of an event or a label.

    Raises
    ------
    RecordError
        Naming the field and the fix.
    """
    headers = [FEEDBACK_HEADER] if feedback else []
    try:
        item, value = read_event(raw, headers)
    except ContractError as error:
        # It may be missing beside others: what is said of these must not name it.
        if sender.tenant is None or "tenant" not in error.missing:
            raise
        item, value = read_event(_with_tenant(raw, sender.tenant), headers)
    _permit(item, sender)
    return event_key(item), value


def _with_tenant(raw: bytes, tenant: str) -> bytes:
    rest = raw.lstrip()[1:].lstrip()
    return b'{"tenant":' + orjson.dumps(tenant) + (b"" if rest.startswith(b"}") else b",") + rest


def _permit(item: LLMEvent | Feedback, sender: Sender) -> None:
    if sender.tenant is not None and item.tenant != sender.tenant:
        remedy = f"leave it out, or send {sender.tenant!r}, or use the key of that tenant"
        raise ContractError(
            f"tenant: {item.tenant[:80]!r} is not the tenant of key {sender.name}; {remedy}",
            "tenant",
            code="not_permitted",
        )
    if sender.apps and item.app not in sender.apps:
        allowed = ", ".join(sorted(sender.apps))
        raise ContractError(
            f"app: {item.app[:80]!r} is not an app of key {sender.name}; it may send {allowed}",
            "app",
            code="not_permitted",
        )


def _letter(bad: Bad, sender: Sender, path: str) -> Row:
    # By what it says, not by when it came: sent again, it is the same dead letter.
    name = f"http{path}-{sender.name}-{hashlib.blake2b(bad.raw, digest_size=16).hexdigest()}"
    made = build_dead_letter(Origin(name, f"http{path}", 0, bad.index), bad.error, sender.name, bad.raw)
    return name.encode(), orjson.dumps(made)
