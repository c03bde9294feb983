"""Classification of the ingest service's HTTP responses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

_RETRYABLE = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """Outcome of a request for its records.

    Attributes
    ----------
    retry, wait_s
        Send the records again, after this time if the server set ``Retry-After``.
    too_large
        Send fewer records at a time.
    reason
        Reason why all records failed.
    rejected
        Indexes of the records that the server rejected among accepted records.
    message
        Text for the log.
    """

    retry: bool = False
    wait_s: float | None = None
    too_large: bool = False
    reason: str | None = None
    rejected: frozenset[int] = field(default_factory=frozenset)
    message: str = ""

    def failure(self, index: int) -> str | None:
        """Return why the record at an index failed; ``None`` if it was accepted."""
        return self.reason or ("rejected" if index in self.rejected else None)


def classify_response(status: int, retry_after: str | None, body: bytes) -> DeliveryOutcome:
    """Return the outcome for a status, a ``Retry-After`` header and a body."""
    if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        rejected = _rejected(body)
        message = f"{len(rejected)} events were rejected: {_text(body)}" if rejected else ""
        return DeliveryOutcome(rejected=rejected, message=message)
    message = f"HTTP {status}: {_text(body)}"
    if status in _RETRYABLE:
        return DeliveryOutcome(retry=True, wait_s=_seconds(retry_after), message=message)
    return DeliveryOutcome(
        too_large=status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason=f"http_{status}", message=message
    )


def _rejected(body: bytes) -> frozenset[int]:
    try:
        response: Any = orjson.loads(body)
        return frozenset(int(problem["index"]) for problem in response["problems"])
    except (ValueError, TypeError, KeyError):
        return frozenset()  # no list of problems: every record was accepted


def _seconds(retry_after: str | None) -> float | None:
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _text(body: bytes) -> str:
    return body[:300].decode("utf-8", "replace").strip()
