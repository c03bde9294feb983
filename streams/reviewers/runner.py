"""One reviewer on the stream: reads what was scored, asks about some of it, publishes what was said, commits."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from schemas.errors import BrokerError
from schemas.settings import Settings
from streams.reviewers.review_budget import HourlyBudget, share_of
from streams.reviewers.review_request import Question, questions
from streams.reviewers.reviewer import Opinion, Reviewer
from streams.reviewers.verdict_records import label_of, verdict_of
from streams.runtime.dead_letters import TOO_LARGE
from streams.runtime.logs import describe
from streams.runtime.metrics import (
    OUTPUTS_TOO_LARGE,
    REVIEWERS_CHOSEN,
    REVIEWERS_LAG,
    REVIEWERS_OUTCOMES,
    REVIEWERS_OVER_BUDGET,
    REVIEWERS_SECONDS,
)
from streams.runtime.partitioning import event_key
from streams.runtime.produce import Delivery
from streams.runtime.producer import Producer
from streams.runtime.topics import client_options

log = logging.getLogger(__name__)

_POLL_MS = 500
_POLL_RECORDS = 2000
_POLL_INTERVAL_MS = 900_000
"""Longest between two polls before the group gives the partitions away: a round waits for a slow judge's tries."""


@dataclass(slots=True)
class _Part:
    """A partition while it is ours: where it was committed to, and what the hour has cost (None: not known yet)."""

    position: int = 0
    budget: HourlyBudget | None = None


@dataclass(frozen=True, slots=True)
class _Round:
    """What is asked at once, and what is committed when all of it is answered."""

    questions: Sequence[Question]
    mark: OffsetAndMetadata


class Runner(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Runs a reviewer in a group of its own, so that a slow one holds up neither scoring nor the other reviewers.

    At least once: verdicts are written before the offset is committed, and their ids do not depend on the try. What an
    hour may still cost is committed with the offset, so neither a restart nor a new owner asks beyond it. A group that
    is new begins at the end of the topic: agents remember only the newest events to learn from.

    Parameters
    ----------
    settings
        All settings.
    reviewer
        What is asked.
    """

    def __init__(self, settings: Settings, reviewer: Reviewer) -> None:
        self._settings = settings
        self._options = client_options(settings.kafka)
        self._reviewer = reviewer
        self._group = f"{settings.reviewers.group}-{reviewer.name}"
        self._parts: dict[TopicPartition, _Part] = {}
        self._consumer: Any = None
        self._producer: Any = None
        self._admin: Any = None
        self._stopping = asyncio.Event()
        self._stopped = asyncio.Event()
        self.assigned = asyncio.Event()

    async def run(self) -> None:
        """Run until `stop`."""
        kafka = self._settings.kafka
        self._producer = Producer(kafka, ["verdicts", "feedback"])
        self._consumer = AIOKafkaConsumer(
            **self._options,
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            session_timeout_ms=int(kafka.session_timeout_s * 1000),
            heartbeat_interval_ms=int(kafka.heartbeat_s * 1000),
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            max_partition_fetch_bytes=4 << 20,
            metadata_max_age_ms=10_000,
        )
        self._admin = AIOKafkaAdminClient(**self._options)
        try:
            await self._producer.start()
            await self._admin.start()
            self._consumer.subscribe(topics=[kafka.topic("scored")], listener=self)
            await self._consumer.start()
            while not self._stopping.is_set():
                await self._turn()
        except KafkaError as error:
            # Going on would commit past what is not written: the next start asks again from the last commit.
            raise BrokerError(
                f"kafka.brokers={kafka.brokers}: reviewer {self._reviewer.name} stops: {error!r}"
            ) from error
        finally:
            await self._consumer.stop()
            await self._admin.close()
            await self._producer.stop()
            await self._reviewer.close()
            self._stopped.set()

    async def stop(self) -> None:
        """Let the round at hand end; what it has not committed is asked again by the next owner."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._settings.reviewers.drain_timeout_s)

    def lag(self) -> dict[str, int] | None:
        """Return how many records each partition is behind; None before there is an assignment."""
        if not self.assigned.is_set():
            return None
        found: dict[str, int] = {}
        for tp, part in self._parts.items():
            end = self._consumer.highwater(tp)
            if part.budget is not None and end is not None:
                found[f"{self._reviewer.name}-{tp.partition}"] = max(0, end - part.position)
        return found

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's
        """Forget all: a round that still runs will find its partition gone, and not commit."""
        self._parts.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Begin anew from what was committed."""
        self._parts = {tp: _Part() for tp in assigned}
        self.assigned.set()

    async def _turn(self) -> None:
        batches: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
            timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
        )
        # Nothing awaits between the fetch's return and here, so the records belong to these parts.
        work = [(tp, self._parts[tp], records) for tp, records in batches.items() if tp in self._parts]
        try:
            await self._adopt()
            for tp, part, records in work:
                await self._ask_about(tp, part, records)
        except (CommitFailedError, IllegalStateError) as error:
            # The group gave the partition away meanwhile; its next owner asks again from the last commit.
            log.warning("reviewer %s: not committed: %s", self._reviewer.name, error)

    async def _adopt(self) -> None:
        """Learn of new partitions where they stand and what their hour has cost."""
        new = [tp for tp, part in self._parts.items() if part.budget is None]
        if not new:
            return
        found = await self._admin.list_consumer_group_offsets(self._group, partitions=new)
        count = len(self._consumer.partitions_for_topic(self._settings.kafka.topic("scored")) or new)
        for tp in new:
            offset, metadata = found.get(tp) or (-1, "")
            limit = share_of(self._reviewer.budget_per_hour, tp.partition, count)
            budget = HourlyBudget.from_metadata(limit, metadata)
            part = self._parts.get(tp)
            if part is None:
                continue
            if offset < 0:
                # Else a restart would begin at the new end, and pass over what came meanwhile.
                offset = await self._consumer.position(tp)
                await self._consumer.commit({tp: OffsetAndMetadata(offset, budget.metadata())})
            part.position, part.budget = offset, budget

    async def _ask_about(self, tp: TopicPartition, part: _Part, records: Sequence[ConsumerRecord]) -> None:
        for one in self._rounds(part, records):
            if self._stopping.is_set():
                return
            answers = await asyncio.gather(*map(self._ask, one.questions))
            if self._parts.get(tp) is not part:
                return
            await self._publish(tp.partition, zip(one.questions, answers, strict=True))
            await self._consumer.commit({tp: one.mark})
            part.position = one.mark.offset
            REVIEWERS_LAG.labels(self._reviewer.name, str(tp.partition)).set(
                max(0, (self._consumer.highwater(tp) or 0) - part.position)
            )

    def _rounds(self, part: _Part, records: Sequence[ConsumerRecord]) -> Iterator[_Round]:
        """Cut records into rounds of as many questions as are asked at once; the last has all that is left."""
        budget = part.budget
        if budget is None:
            return
        asked: list[Question] = []
        for record in records:
            asked += self._affordable(record, budget)
            if len(asked) >= self._reviewer.concurrency:
                yield _Round(asked, OffsetAndMetadata(record.offset + 1, budget.metadata()))
                asked = []
        yield _Round(asked, OffsetAndMetadata(records[-1].offset + 1, budget.metadata()))

    def _affordable(self, record: ConsumerRecord, budget: HourlyBudget) -> Iterator[Question]:
        for question in questions(record.value, self._reviewer.selection):
            if budget.take(int(question.event.time.timestamp() * 1000), record.timestamp):
                REVIEWERS_CHOSEN.labels(self._reviewer.name, question.why).inc()
                yield question
            else:
                REVIEWERS_OVER_BUDGET.labels(self._reviewer.name).inc()

    async def _ask(self, question: Question) -> Opinion:
        with REVIEWERS_SECONDS.labels(self._reviewer.name).time():
            try:
                opinion = await self._reviewer.ask(question.event, question.signal)
            except Exception as error:  # noqa: BLE001 - one event that a model cannot take must not end the reviewer
                log.error("reviewer %s: event %r: %s", self._reviewer.name, question.event.event_id, describe(error))
                opinion = Opinion("failed")
        REVIEWERS_OUTCOMES.labels(self._reviewer.name, opinion.outcome).inc()
        return opinion

    async def _publish(self, partition: int, answers: Iterable[tuple[Question, Opinion]]) -> None:
        """Write verdicts and labels, to the partition of their event, and wait until they are there.

        One that its topic does not take is counted and left out: asked again, it would be as large.
        """
        sent: list[Delivery] = []
        for question, opinion in answers:
            verdict = verdict_of(self._reviewer, question, opinion)
            if verdict is None:
                continue
            key = event_key(question.event)
            rows = {"verdicts": verdict.model_dump_json()}
            if self._reviewer.teaches:
                rows["feedback"] = label_of(verdict, question.event).model_dump_json()
            for topic, row in rows.items():
                name, value = self._settings.kafka.topic(topic), row.encode()
                if len(key) + len(value) > self._producer.max_record_bytes(name):
                    OUTPUTS_TOO_LARGE.labels(name).inc()
                    continue
                future = await self._producer.send(name, value, key=key, partition=partition)
                sent.append(Delivery(future, name, ((key, value),)))
        outcomes = await asyncio.gather(*(one.future for one in sent), return_exceptions=True)
        for one, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, TOO_LARGE):
                OUTPUTS_TOO_LARGE.labels(one.topic).inc()
                await self._producer.lower_limit(one)
            elif isinstance(outcome, BaseException):
                raise outcome
