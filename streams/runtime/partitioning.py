"""Which key a record has and which partition it goes to: what belongs together meets the same pipeline."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from aiokafka.partitioner import DefaultPartitioner

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from streams.runtime.identifiers import whole

_partition_of = DefaultPartitioner()
_SPAN: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")
"""The id of a call that came over OTLP: its trace and its span (`streams.connectors.otlp.event_builder.call_name`)."""


def event_key(item: LLMEvent | Feedback) -> bytes:
    """Return the key a client gives: the conversation where there is one, tenant and app otherwise.

    A call that is a span goes under tenant and app whatever else it tells: its conversation stands on the span, but not
    on its log records nor on what evaluates it, and all of them have to meet (ADR 0007).
    """
    if item.conversation_id and not _SPAN.fullmatch(item.call_id):
        return whole(item, "conversation_id", item.conversation_id).encode()
    return f"{item.tenant}/{item.app}".encode()


def partition_of(key: bytes, partitions: int) -> int:
    """Return Kafka's default partition (murmur2) of a key."""
    return _partition_of_short(key, partitions) if len(key) <= _SHORT else _murmur2(key, partitions)


def _murmur2(key: bytes, partitions: int) -> int:
    all_partitions = list(range(partitions))
    return int(_partition_of(key, all_partitions, all_partitions))


# 3 us in Python for a conversation's id, and the events of one conversation come together. Long keys are not kept.
_SHORT: Final = 300
_partition_of_short = lru_cache(maxsize=1 << 14)(_murmur2)


def partition_for(item: LLMEvent | Feedback | ModelCommand, partitions: int) -> int:
    """Return the partition whose log a record belongs to: by its key, or the one that a command names."""
    if isinstance(item, ModelCommand):
        return item.partition % partitions
    return partition_of(event_key(item), partitions)


def quality_key(row: dict[str, Any]) -> str:
    """Return the key of a row of live quality."""
    names = ("signal", "tenant", "app", "estimator", "hour", "source_partition")
    return "|".join(str(row[n]) for n in names)


def window_key(row: dict[str, Any]) -> str:
    """Return the key of an aggregate: its window, its segment and the partition whose part it is."""
    names = ("window_start", "tenant", "app", "model", "prompt_version", "source_partition")
    return "|".join(str(row[n]) for n in names)
