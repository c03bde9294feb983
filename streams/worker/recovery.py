"""Which state a partition continues from: the latest snapshot that is whole, signed, of this log, and fits."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiokafka import TopicPartition

from processing.pipeline import PartitionPipeline
from schemas.errors import StateError
from schemas.settings import Settings
from streams.runtime.metrics import WORKER_COLD_STARTS, WORKER_STATE_REJECTED
from streams.runtime.signing import Signer
from streams.runtime.snapshot_codec import Snapshot
from streams.runtime.snapshot_store import Assembly, bounds, looks, reader
from streams.shadow.shadow import Shadow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A pipeline that continues from a snapshot.

    Attributes
    ----------
    cold
        Parts that start cold: of another version, or rejected.
    rejected
        Those of them whose version is ours and whose values do not fit.
    """

    pipeline: PartitionPipeline
    shadow: Shadow | None
    cold: Sequence[str]
    rejected: Sequence[str]


@dataclass(slots=True)
class Recovery:
    """What was found, and what was rejected on the way."""

    fitted: Fitted | None = None
    slot: int = 1
    refused: list[StateError] = field(default_factory=list)


async def recover(settings: Settings, partition: int, after: int, fit: Callable[[Snapshot], Fitted]) -> Recovery:
    """Find the latest snapshot beyond an offset that fits whole, else the one of which the fewest parts are rejected.

    Parameters
    ----------
    after
        Offset that the state in memory includes.
    fit
        Restores a snapshot into a fresh pipeline; raises `StateError` if nothing of it fits.
    """
    events, snapshots = (TopicPartition(settings.kafka.topic(name), partition) for name in ("events", "snapshots"))
    found = Recovery()
    async with reader(settings.kafka, snapshots, events) as consumer:
        first, last = await bounds(consumer, snapshots)
        if first == last:
            return found
        _, end = await bounds(consumer, events)
        async for assembly in looks(consumer, settings, partition, Signer.of(settings), end):
            found.refused = list(assembly.refused)
            known = _choose(assembly, found, after + 1, fit)
            if known or found.fitted is not None:
                break
    _report(found, partition)
    return found


def _choose(assembly: Assembly, found: Recovery, first: int, fit: Callable[[Snapshot], Fitted]) -> bool:
    """Keep the best of some snapshots; True if one is no later than what is in memory."""
    for stored in assembly.newest_first():
        if stored.manifest.offset < first:
            return True
        try:
            fitted = fit(stored.open())
        except StateError as error:
            found.refused.append(error)
            continue
        if found.fitted is None or len(fitted.rejected) < len(found.fitted.rejected):
            found.fitted, found.slot = fitted, stored.manifest.slot
        if not found.fitted.rejected:
            break
    return False


def _report(found: Recovery, partition: int) -> None:
    for error in found.refused:
        log.error("partition %d: state rejected (%s): %s", partition, error.reason, error)
        WORKER_STATE_REJECTED.labels(error.reason).inc()
    if found.fitted is None:
        if found.refused:
            log.error("partition %d: no snapshot can be used; all of it starts cold", partition)
            WORKER_COLD_STARTS.labels("all").inc()
        return
    for name in found.fitted.cold:
        log.error("partition %d: the state of %s does not fit this version; it starts cold", partition, name)
        WORKER_COLD_STARTS.labels(name).inc()
    for _ in found.fitted.rejected:
        WORKER_STATE_REJECTED.labels("parts").inc()
