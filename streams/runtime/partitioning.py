"""Partitioning: keys and partitions of records, so that related records reach the same pipeline."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from aiokafka.partitioner import DefaultPartitioner

from schemas.event import LLMEvent
from schemas.feedback import Feedback
from schemas.learning import ModelCommand
from streams.runtime.identifiers import original_identifier

_partition_of = DefaultPartitioner()
_SPAN: Final = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}")
"""Call id of an OTLP span: trace id and span id (`streams.connectors.otlp.event_builder.call_name`)."""


def event_key(item: LLMEvent | Feedback) -> bytes:
    """Return the key of an event or a label: the conversation id if present, otherwise tenant and app.

    A call from an OTLP span always gets the key of tenant and app. Its conversation id is on the span, but neither on
    its log records nor on its evaluations, and all of them must reach the same partition (ADR 0007).
    """
    if item.conversation_id and not _SPAN.fullmatch(item.call_id):
        return original_identifier(item, "conversation_id", item.conversation_id).encode()
    return f"{item.tenant}/{item.app}".encode()


def partition_of(key: bytes, partitions: int) -> int:
    """Return Kafka's default partition (murmur2) of a key."""
    return _partition_of_short(key, partitions) if len(key) <= _SHORT else _murmur2(key, partitions)


def _murmur2(key: bytes, partitions: int) -> int:
    all_partitions = list(range(partitions))
    return int(_partition_of(key, all_partitions, all_partitions))


# Hashing a conversation id takes 3 us in Python, and events of a conversation arrive close together. Long keys are not
# cached.
_SHORT: Final = 300
_partition_of_short = lru_cache(maxsize=1 << 14)(_murmur2)


def partition_for(item: LLMEvent | Feedback | ModelCommand, partitions: int) -> int:
    """Return the partition of a record: by its key, or, for a command, the partition that it names."""
    if isinstance(item, ModelCommand):
        return item.partition % partitions
    return partition_of(event_key(item), partitions)


def quality_key(row: dict[str, Any]) -> str:
    """Return the key of a live quality row."""
    names = ("signal", "tenant", "app", "estimator", "hour", "source_partition")
    return "|".join(str(row[n]) for n in names)


def window_key(row: dict[str, Any]) -> str:
    """Return the key of an aggregate row: window, segment and source partition."""
    names = ("window_start", "tenant", "app", "model", "prompt_version", "source_partition")
    return "|".join(str(row[n]) for n in names)
