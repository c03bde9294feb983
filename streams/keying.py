"""Which key a record has and which partition it goes to: what belongs together meets the same pipeline."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from aiokafka.partitioner import DefaultPartitioner

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand

_partition_of = DefaultPartitioner()


def event_key(item: LLMEvent | Feedback | ModelCommand) -> bytes:
    """Return the key a client gives: the conversation where there is one, tenant and app otherwise."""
    if isinstance(item, ModelCommand):
        return item.command_id.encode()
    return (item.conversation_id or f"{item.tenant}/{item.app}").encode()


@lru_cache(maxsize=1 << 14)
def partition_of(key: bytes, partitions: int) -> int:
    """Return Kafka's default partition (murmur2) of a key."""
    # Cached: 3 us in Python for a conversation's id, and the events of one conversation come together.
    all_partitions = list(range(partitions))
    return int(_partition_of(key, all_partitions, all_partitions))


def partition_for(item: LLMEvent | Feedback | ModelCommand, partitions: int) -> int:
    """Return the partition whose log a record belongs to: by its key, or the one that a command names."""
    if isinstance(item, ModelCommand):
        return item.partition % partitions
    return partition_of(event_key(item), partitions)


def quality_key(row: dict[str, Any]) -> str:
    """Return the key of a row of live quality."""
    names = ("signal", "tenant", "app", "basis", "hour", "source_partition")
    return "|".join(str(row[n]) for n in names)


def window_key(row: dict[str, Any]) -> str:
    """Return the key of an aggregate: its window, its segment and the partition whose part it is."""
    names = ("window_start", "tenant", "app", "model", "prompt_version", "source_partition")
    return "|".join(str(row[n]) for n in names)
