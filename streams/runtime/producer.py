"""A producer that knows how large a batch each topic takes, and that a refused batch does not break.

Three things of aiokafka's are mended here:

- A batch that the broker refuses keeps its sequence numbers: every later batch of an idempotent producer for that
  partition is then out of order, and the producer is lost. Java's client takes the numbers back
  (``adjustSequencesDueToFailedBatch``), and so does `_Request`.
- One request carries a batch of every partition that has one: eight of 16 MB exceed the broker's
  ``socket.request.max.bytes`` (100 MB), which closes the connection, again at every retry. `_Request` cuts it.
- The size of a batch is a setting, whatever the topic takes: ``max.message.bytes`` is asked for at the start.
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
from streams.runtime.produce import Sent
from streams.runtime.topics import MAX_MESSAGE_BYTES, TOPICS, client_options

log = logging.getLogger(__name__)

BATCH_BYTES: Final = 512 << 10
_LEAST_BYTES: Final = 4 << 10
_REQUEST_BYTES: Final = 32 << 20
_OVERHEAD_BYTES: Final = 128
"""Head of a batch and of a record in it, at the most; headers of ours add less than 32."""
_LIMITS: Final = ("max.message.bytes", "segment.bytes")


class _Request(sender.SendProduceReqHandler):  # type: ignore[misc]  # aiokafka is untyped
    """Sends the batches of one round, in as many requests as their sizes need."""

    async def do(self, node_id: int) -> None:
        for group in _grouped(self._batches):
            await _One(self._sender, group).do(node_id)


class _One(sender.SendProduceReqHandler):  # type: ignore[misc]  # the same
    """One request; takes back the sequence numbers of what the broker refuses for its size."""

    def handle_response(self, response: Any) -> None:
        super().handle_response(response)
        numbers = self._sender._txn_manager  # noqa: SLF001
        for tp, batch in self._batches.items():
            refused = batch.future.done() and isinstance(batch.future.exception(), TOO_LARGE)
            if refused and numbers is not None:
                # The partition is muted until this returns: no later batch has taken numbers yet.
                numbers.increment_sequence_number(tp, -batch.record_count)


def _grouped(batches: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
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
    """An idempotent producer that waits for all replicas, and whose batches their topics take.

    Parameters
    ----------
    kafka
        The broker.
    topics
        Short names of the topics that are written: their limits bound the batches.
    linger_ms
        Longest that a row waits for others.
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
        """Connect, and learn what the topics take."""
        await super().start()
        if self._names:
            self._learn(await message_limits(self._kafka, self._names))

    def limit(self, topic: str) -> int:
        """Return how many bytes a batch for a topic (its full name) may have."""
        return self._limits.get(topic, MAX_MESSAGE_BYTES)

    def room(self, topic: str) -> int:
        """Return how many bytes key and value of one record for a topic may have."""
        return self.limit(topic) - _OVERHEAD_BYTES

    async def refused(self, sent: Sent) -> None:
        """Take note that a topic refused a batch: its limit was lowered, or could not be asked for."""
        known = (await message_limits(self._kafka, [sent.topic])).get(sent.topic, MAX_MESSAGE_BYTES)
        # Of a batch of several it is not known how large it was, but that half of it is smaller.
        guess = min(self.limit(sent.topic), sent.size) // (1 if len(sent.rows) == 1 else 2) - 1
        self._learn({sent.topic: known if known < sent.size else max(_LEAST_BYTES, guess)})

    def _learn(self, limits: Mapping[str, int]) -> None:
        self._limits |= limits
        # Batches are shared by what is sent one by one, whatever the topic.
        self._message_accumulator._batch_size = min([BATCH_BYTES, *self._limits.values()])  # noqa: SLF001


async def message_limits(kafka: KafkaSettings, topics: Iterable[str]) -> dict[str, int]:
    """Return how many bytes a batch may have, by topic (full names); what the broker does not tell is left out."""
    admin = AIOKafkaAdminClient(**client_options(kafka))
    try:
        await admin.start()
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(_LIMITS)) for name in topics]
        answers = await admin.describe_configs(wanted)
    except (KafkaError, OSError, ValueError) as error:
        log.warning("kafka.brokers=%s: sizes of topics are not told (%r); DESCRIBE_CONFIGS?", kafka.brokers, error)
        return {}
    finally:
        await admin.close()
    return {
        name: min(MAX_MESSAGE_BYTES, *(int(value) for limit, value, *_ in entries if limit in _LIMITS))
        for answer in answers
        for code, _, _, name, entries in answer.resources
        if code == 0 and entries
    }


def written_topics() -> list[str]:
    """Return the short names of all topics of ours."""
    return [topic.name for topic in TOPICS]
