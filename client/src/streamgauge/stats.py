"""What became of the events."""

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
        Events given to us.
    delivered
        Acknowledged by the broker or the gateway.
    dropped
        By reason, never sent: ``queue_full``, ``queue_bytes`` (too many, too much waiting), ``invalid`` (not an event),
        ``too_large``, ``closed``.
    failed
        By reason, sent or given to the transport, and not acknowledged.
    sampled_out
        Left out by ``sample_rate``.
    queued, queued_bytes
        Waiting, or on their way.
    repaired
        Events sent with a part changed or left out, as it did not fit the schema.
    truncated
        Events with a text cut.
    redaction_errors
        Texts replaced by a marker, as the redaction failed on them.
    integration_errors
        Errors of ours swallowed around the host's calls, in the whole process.
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
