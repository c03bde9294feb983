"""Validation of the items of a body: valid items become Kafka rows, invalid items become problems and dead letters."""

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
from streams.ingest.api_keys import ApiKeyIdentity
from streams.runtime.dead_letters import Origin, build_dead_letter
from streams.runtime.decode import FEEDBACK_HEADER, read_event
from streams.runtime.partitioning import event_key
from streams.runtime.produce import Row
from streams.runtime.topics import MAX_MESSAGE_BYTES

_STEP_BYTES = 256 << 10
"""Bytes validated before other requests get a turn: 3 ms. Each item counts as at least `_MIN_ITEM_BYTES`."""
_MIN_ITEM_BYTES = _STEP_BYTES // 200
_MAX_PROBLEMS = 1_000
"""Maximum problems in a response."""


@dataclass(frozen=True, slots=True)
class InvalidItem:
    """An item that is not a valid event or label."""

    index: int
    raw: bytes
    error: RecordError


@dataclass(slots=True)
class ValidationReport:
    """Result of the validation of a body."""

    rows: list[Row] = field(default_factory=list)
    invalid: list[InvalidItem] = field(default_factory=list)

    def response(self) -> dict[str, Any]:
        """Return the response body: number of accepted and rejected items, and the problem of each rejected item."""
        problems = [
            {
                "index": item.index,
                "reason": item.error.reason,
                "code": item.error.code,
                "field": item.error.field,
                "error": str(item.error),
            }
            for item in self.invalid[:_MAX_PROBLEMS]
        ]
        return {"accepted": len(self.rows), "rejected": len(self.invalid), "problems": problems}

    def dead_letters(self, sender: ApiKeyIdentity, path: str) -> list[Row]:
        """Return a dead letter for each invalid item."""
        return [_dead_letter(item, sender, path) for item in self.invalid]


async def validate_items(
    items: Sequence[bytes], sender: ApiKeyIdentity, *, feedback: bool = False, max_bytes: int = MAX_MESSAGE_BYTES
) -> ValidationReport:
    """Validate each item on its own; yield to other requests after each `_STEP_BYTES`.

    Parameters
    ----------
    items
        Items of the body.
    sender
        Identity of the API key.
    feedback
        True if the items are labels, not events.
    max_bytes
        Maximum bytes of key and value of a record.
    """
    report, step_bytes = ValidationReport(), 0
    for index, raw in enumerate(items):
        if step_bytes >= _STEP_BYTES:
            await asyncio.sleep(0)
            step_bytes = 0
        step_bytes += max(len(raw), _MIN_ITEM_BYTES)
        try:
            report.rows.append(_check_size(validated_row(raw, sender, feedback=feedback), max_bytes))
        except RecordError as error:
            report.invalid.append(InvalidItem(index, raw, error))
    return report


def _check_size(row: Row, max_bytes: int) -> Row:
    key, value = row
    if (size := len(key or b"") + len(value)) > max_bytes:
        raise ContractError(
            f"value: {size:,} bytes exceed the topic's limit of {max_bytes:,} bytes; truncate texts", code="too_large"
        )
    return row


def validated_row(raw: bytes, sender: ApiKeyIdentity, *, feedback: bool = False) -> Row:
    """Return key and value of a valid event or label.

    Raises
    ------
    RecordError
        If the item is invalid; the message names the field and the fix.
    """
    headers = [FEEDBACK_HEADER] if feedback else []
    try:
        item, value = read_event(raw, headers)
    except ContractError as error:
        # The tenant is added first, so that the error about other missing fields does not name it.
        if sender.tenant is None or "tenant" not in error.missing:
            raise
        item, value = read_event(_with_tenant(raw, sender.tenant), headers)
    _check_permission(item, sender)
    return event_key(item), value


def _with_tenant(raw: bytes, tenant: str) -> bytes:
    rest = raw.lstrip()[1:].lstrip()
    return b'{"tenant":' + orjson.dumps(tenant) + (b"" if rest.startswith(b"}") else b",") + rest


def _check_permission(item: LLMEvent | Feedback, sender: ApiKeyIdentity) -> None:
    if sender.tenant is not None and item.tenant != sender.tenant:
        remedy = f"omit the field, send {sender.tenant!r}, or use a key of that tenant"
        raise ContractError(
            f"tenant: {item.tenant[:80]!r} is not the tenant of key {sender.name}; {remedy}",
            "tenant",
            code="not_permitted",
        )
    if sender.apps and item.app not in sender.apps:
        allowed = ", ".join(sorted(sender.apps))
        raise ContractError(
            f"app: {item.app[:80]!r} is not an app of key {sender.name}; send an app of the key: {allowed}",
            "app",
            code="not_permitted",
        )


def _dead_letter(item: InvalidItem, sender: ApiKeyIdentity, path: str) -> Row:
    # The id is a hash of the content, not of the time, so a repeated item gives the same dead letter.
    name = f"http{path}-{sender.name}-{hashlib.blake2b(item.raw, digest_size=16).hexdigest()}"
    record = build_dead_letter(Origin(name, f"http{path}", 0, item.index), item.error, sender.name, item.raw)
    return name.encode(), orjson.dumps(record)
