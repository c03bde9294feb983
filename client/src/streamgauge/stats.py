"""Counts of a publisher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of one publisher in this process.

    At rest ``published == delivered + failed + sampled_out + queued + sum(dropped.values())``.

    Attributes
    ----------
    published
        Calls of `publish`.
    delivered
        Events acknowledged by the broker or the ingest service.
    dropped
        Events that were never sent, by reason: ``queue_full``, ``queue_bytes``, ``invalid``, ``too_large``, ``closed``.
    failed
        Events given to the transport and not acknowledged, by reason.
    sampled_out
        Events excluded by ``sample_rate``.
    queued, queued_bytes
        Events that wait or are in flight, and their size.
    repaired
        Events sent with a field changed or removed because it did not fit the schema.
    truncated
        Truncated texts.
    redaction_errors
        Texts replaced by a marker because their redaction failed.
    integration_errors
        Suppressed errors of the client in the whole process.
    """

    published: int
    delivered: int
    dropped: Mapping[str, int]
    failed: Mapping[str, int]
    sampled_out: int
    queued: int
    queued_bytes: int
    repaired: int
    truncated: int
    redaction_errors: int
    integration_errors: int
