"""What an answer of the gateway means for the records of its request."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

_AGAIN = {408, 425, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the records of a request.

    Attributes
    ----------
    retry, wait_s
        Send them again, after so long where the gateway said it.
    too_large
        Send fewer at a time.
    reason
        Why all of them failed.
    rejected
        Places of those that the gateway set aside among good ones.
    complaint
        What a person should read.
    """

    retry: bool = False
    wait_s: float | None = None
    too_large: bool = False
    reason: str | None = None
    rejected: frozenset[int] = field(default_factory=frozenset)
    complaint: str = ""

    def failure(self, at: int) -> str | None:
        """Return why the record at a place failed; ``None`` if it was accepted."""
        return self.reason or ("rejected" if at in self.rejected else None)


def judge(status: int, retry_after: str | None, body: bytes) -> Verdict:
    """Read status, ``Retry-After`` and body."""
    if status in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
        rejected = _rejected(body)
        complaint = f"{len(rejected)} events were set aside: {_text(body)}" if rejected else ""
        return Verdict(rejected=rejected, complaint=complaint)
    complaint = f"HTTP {status}: {_text(body)}"
    if status in _AGAIN:
        return Verdict(retry=True, wait_s=_seconds(retry_after), complaint=complaint)
    return Verdict(
        too_large=status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason=f"http_{status}", complaint=complaint
    )


def _rejected(body: bytes) -> frozenset[int]:
    try:
        answer: Any = orjson.loads(body)
        return frozenset(int(one["index"]) for one in answer["problems"])
    except (ValueError, TypeError, KeyError):
        return frozenset()  # an answer without a list of those set aside: all were taken


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
