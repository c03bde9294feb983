"""Recovery of a partition's state: the latest snapshot that is complete, signed, from this log, and valid."""

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
from streams.runtime.snapshot_store import SnapshotAssembler, offset_range, open_consumer, scan_from_end
from streams.shadow.shadow import Shadow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RestoredPartition:
    """Pipeline that continues from a snapshot.

    Attributes
    ----------
    cold
        Parts that start cold: parts of another version, and rejected parts.
    rejected
        Parts whose version matches and whose values are invalid.
    """

    pipeline: PartitionPipeline
    shadow: Shadow | None
    cold: Sequence[str]
    rejected: Sequence[str]


@dataclass(slots=True)
class Recovery:
    """Result of a search for a usable snapshot, with the errors of the rejected snapshots."""

    restored: RestoredPartition | None = None
    slot: int = 1
    errors: list[StateError] = field(default_factory=list)


async def recover(
    settings: Settings, partition: int, after: int, restore: Callable[[Snapshot], RestoredPartition]
) -> Recovery:
    """Find the latest snapshot beyond an offset that restores completely, or the one with the fewest rejected parts.

    Parameters
    ----------
    after
        Offset that the state in memory includes.
    restore
        Restores a snapshot into a new pipeline; raises `StateError` if no part of the snapshot is valid.
    """
    events, snapshots = (TopicPartition(settings.kafka.topic(name), partition) for name in ("events", "snapshots"))
    recovery = Recovery()
    async with open_consumer(settings.kafka, snapshots, events) as consumer:
        first, last = await offset_range(consumer, snapshots)
        if first == last:
            return recovery
        _, end = await offset_range(consumer, events)
        async for assembler in scan_from_end(consumer, settings, partition, Signer.of(settings), end):
            recovery.errors = list(assembler.errors)
            reached_memory = _select_best(assembler, recovery, after + 1, restore)
            if reached_memory or recovery.restored is not None:
                break
    _report(recovery, partition)
    return recovery


def _select_best(
    assembler: SnapshotAssembler,
    recovery: Recovery,
    first: int,
    restore: Callable[[Snapshot], RestoredPartition],
) -> bool:
    """Keep the best of the assembled snapshots; return True if one is no later than the state in memory."""
    for stored in assembler.newest_first():
        if stored.manifest.offset < first:
            return True
        try:
            restored = restore(stored.decode())
        except StateError as error:
            recovery.errors.append(error)
            continue
        if recovery.restored is None or len(restored.rejected) < len(recovery.restored.rejected):
            recovery.restored, recovery.slot = restored, stored.manifest.slot
        if not recovery.restored.rejected:
            break
    return False


def _report(recovery: Recovery, partition: int) -> None:
    for error in recovery.errors:
        log.error("partition %d: snapshot rejected (%s): %s", partition, error.reason, error)
        WORKER_STATE_REJECTED.labels(error.reason).inc()
    if recovery.restored is None:
        if recovery.errors:
            log.error("partition %d: no usable snapshot; the whole partition starts cold", partition)
            WORKER_COLD_STARTS.labels("all").inc()
        return
    for name in recovery.restored.cold:
        log.error(
            "partition %d: the saved state of %s does not fit this version; %s starts cold", partition, name, name
        )
        WORKER_COLD_STARTS.labels(name).inc()
    for _ in recovery.restored.rejected:
        WORKER_STATE_REJECTED.labels("parts").inc()
