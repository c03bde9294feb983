"""Producer that respects each topic's batch size and survives refused batches.

The module fixes three problems of aiokafka's producer:

- A batch that the broker refuses keeps its sequence numbers, so every later batch of an idempotent producer for that
  partition is out of order and the producer fails permanently. Java's client reclaims the numbers
  (``adjustSequencesDueToFailedBatch``); `_SingleRequest` does the same.
- One request carries one batch per partition. Eight batches of 16 MB exceed the broker's ``socket.request.max.bytes``
  (100 MB), and the broker closes the connection on every retry. `_Request` splits such a request.
- The batch size is one setting for all topics. `Producer` reads ``max.message.bytes`` of each topic at the start.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.producer import sender

from schemas.setting_sections import KafkaSettings
from streams.runtime.dead_letters import TOO_LARGE
from streams.runtime.produce import Delivery
from streams.runtime.topics import MAX_MESSAGE_BYTES, TOPICS, client_options

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 512 << 10
_MIN_BATCH_BYTES: Final = 4 << 10
_REQUEST_BYTES: Final = 32 << 20
_OVERHEAD_BYTES: Final = 128
"""Maximum bytes of a batch header plus a record header; the monitor's own record headers add less than 32."""
_LIMITS: Final = ("max.message.bytes", "segment.bytes")


class _Request(sender.SendProduceReqHandler):  # type: ignore[misc]  # aiokafka is untyped
    """Send task for the batches of one round, split into requests by size."""

    async def do(self, node_id: int) -> None:
        for group in _group_by_size(self._batches):
            await _SingleRequest(self._sender, group).do(node_id)


class _SingleRequest(sender.SendProduceReqHandler):  # type: ignore[misc]  # aiokafka is untyped
    """Single request; reclaims the sequence numbers of batches that the broker refuses for their size."""

    def handle_response(self, response: Any) -> None:
        super().handle_response(response)
        numbers = self._sender._txn_manager  # noqa: SLF001
        for tp, batch in self._batches.items():
            refused = batch.future.done() and isinstance(batch.future.exception(), TOO_LARGE)
            if refused and numbers is not None:
                # The partition is muted until this method returns, so no later batch has sequence numbers yet.
                numbers.increment_sequence_number(tp, -batch.record_count)


def _group_by_size(batches: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
    group: dict[Any, Any] = {}
    size = 0
    for tp, batch in batches.items():
        part = len(batch.get_data_buffer())
        if group and size + part > _REQUEST_BYTES:
            yield group
            group, size = {}, 0
        group[tp] = batch
        size += part
    yield group


sender.SendProduceReqHandler = _Request


class Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is untyped
    """Idempotent producer that waits for all replicas and keeps batches within their topics' limits.

    Parameters
    ----------
    kafka
        Kafka settings.
    topics
        Short names of the topics to write; their limits bound the batches.
    linger_ms
        Maximum time that a row waits for more rows of its batch.
    """

    def __init__(self, kafka: KafkaSettings, topics: Sequence[str] = (), *, linger_ms: int = 5) -> None:
        super().__init__(
            **client_options(kafka),
            enable_idempotence=True,
            acks="all",
            linger_ms=linger_ms,
            max_batch_size=BATCH_BYTES,
            max_request_size=MAX_MESSAGE_BYTES,
        )
        self._kafka = kafka
        self._names = [kafka.topic(name) for name in topics]
        self._limits: dict[str, int] = {}

    async def start(self) -> None:
        """Connect and read the batch limits of the topics."""
        await super().start()
        if self._names:
            self._set_limits(await message_limits(self._kafka, self._names))

    def max_batch_bytes(self, topic: str) -> int:
        """Return the maximum bytes of a batch for a topic, given by its full name."""
        return self._limits.get(topic, MAX_MESSAGE_BYTES)

    def max_record_bytes(self, topic: str) -> int:
        """Return the maximum bytes of key plus value of a record for a topic, given by its full name."""
        return self.max_batch_bytes(topic) - _OVERHEAD_BYTES

    async def lower_limit(self, delivery: Delivery) -> None:
        """Lower the limit of a topic that refused a batch: the limit was reduced, or could not be read."""
        topic = delivery.topic
        stated = (await message_limits(self._kafka, [topic])).get(topic, MAX_MESSAGE_BYTES)
        # The size of a batch of several rows is unknown, but half of it is smaller.
        estimate = min(self.max_batch_bytes(topic), delivery.size) // (1 if len(delivery.rows) == 1 else 2) - 1
        self._set_limits({topic: stated if stated < delivery.size else max(_MIN_BATCH_BYTES, estimate)})

    def _set_limits(self, limits: Mapping[str, int]) -> None:
        self._limits |= limits
        # Rows that are sent one by one share batches of one size, whatever their topic.
        self._message_accumulator._batch_size = min([BATCH_BYTES, *self._limits.values()])  # noqa: SLF001


async def message_limits(kafka: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Return the maximum bytes of a batch, by full topic name; omit topics whose limit the broker does not expose."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_LIMITS)) for name in topics]
        responses = await admin.describe_configs(resources)
    except (KafkaError, OSError, ValueError) as error:
        log.warning(
            "kafka.brokers=%s: record sizes of the topics are unknown (%r); grant DESCRIBE_CONFIGS to this user",
            kafka.brokers,
            error,
        )
        return {}
    finally:
        await admin.close()
    return {
        name: min(MAX_MESSAGE_BYTES, *(int(value) for limit, value, *_ in entries if limit in _LIMITS))
        for response in responses
        for code, _, _, name, entries in response.resources
        if code == 0 and entries
    }


def topic_names() -> list[str]:
    """Return the short names of the monitor's topics."""
    return [topic.name for topic in TOPICS]
