"""The runner of a reviewer: consume scored events, review some of them, publish verdicts, commit."""

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
from streams.reviewers.review_budget import HourlyBudget, partition_share
from streams.reviewers.review_request import ReviewRequest, review_requests
from streams.reviewers.reviewer import Review, Reviewer
from streams.reviewers.verdict_records import feedback_of, verdict_of
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
"""Maximum time between two polls before the group reassigns the partitions; a batch waits for the judge's retries."""


@dataclass(slots=True)
class _PartitionState:
    """State of an assigned partition: the committed offset and the budget of the hour (None until it is loaded)."""

    position: int = 0
    budget: HourlyBudget | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Concurrent review requests, and the offset to commit after all of them."""

    requests: Sequence[ReviewRequest]
    commit: OffsetAndMetadata


class ReviewerRunner(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    """Consumer loop of one reviewer, in a separate group: a slow reviewer delays neither scoring nor other reviewers.

    Delivery is at least once: verdicts are written before the offset is committed, and a retry produces the same ids.
    The spent budget is committed with the offset, so neither a restart nor a new owner exceeds it. A new group starts
    at the end of the topic, since agents can learn only from labels of recent events.

    Parameters
    ----------
    settings
        All settings.
    reviewer
        The reviewer to run.
    """

    def __init__(self, settings: Settings, reviewer: Reviewer) -> None:
        self._settings = settings
        self._options = client_options(settings.kafka)
        self._reviewer = reviewer
        self._group = f"{settings.reviewers.group}-{reviewer.name}"
        self._partitions: dict[TopicPartition, _PartitionState] = {}
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
                await self._poll_once()
        except KafkaError as error:
            # To continue would commit past unwritten verdicts. The next start resumes from the last commit.
            raise BrokerError(
                f"kafka.brokers={kafka.brokers}: reviewer {self._reviewer.name} stopped: {error!r}; check the brokers "
                "and restart the reviewers"
            ) from error
        finally:
            await self._consumer.stop()
            await self._admin.close()
            await self._producer.stop()
            await self._reviewer.close()
            self._stopped.set()

    async def stop(self) -> None:
        """Stop after the current batch; the next owner of a partition repeats uncommitted requests."""
        self._stopping.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), self._settings.reviewers.drain_timeout_s)

    def lag(self) -> dict[str, int] | None:
        """Return the lag of each partition in records; None before the first assignment."""
        if not self.assigned.is_set():
            return None
        lags: dict[str, int] = {}
        for tp, state in self._partitions.items():
            end = self._consumer.highwater(tp)
            if state.budget is not None and end is not None:
                lags[f"{self._reviewer.name}-{tp.partition}"] = max(0, end - state.position)
        return lags

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's API
        """Drop the state of all partitions; a batch that still runs then does not commit."""
        self._partitions.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start from the committed offsets."""
        self._partitions = {tp: _PartitionState() for tp in assigned}
        self.assigned.set()

    async def _poll_once(self) -> None:
        batches: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
            timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
        )
        # No await since the fetch returned, so the records belong to these partition states.
        work = [(tp, self._partitions[tp], records) for tp, records in batches.items() if tp in self._partitions]
        try:
            await self._load_new_partitions()
            for tp, state, records in work:
                await self._review_records(tp, state, records)
        except (CommitFailedError, IllegalStateError) as error:
            # The group reassigned the partition meanwhile. Its next owner resumes from the last commit.
            log.warning("reviewer %s: partition reassigned, not committed: %s", self._reviewer.name, error)

    async def _load_new_partitions(self) -> None:
        """Load committed offset and budget of newly assigned partitions."""
        new = [tp for tp, state in self._partitions.items() if state.budget is None]
        if not new:
            return
        committed = await self._admin.list_consumer_group_offsets(self._group, partitions=new)
        count = len(self._consumer.partitions_for_topic(self._settings.kafka.topic("scored")) or new)
        for tp in new:
            offset, metadata = committed.get(tp) or (-1, "")
            limit = partition_share(self._reviewer.budget_per_hour, tp.partition, count)
            budget = HourlyBudget.from_metadata(limit, metadata)
            state = self._partitions.get(tp)
            if state is None:
                continue
            if offset < 0:
                # Without a commit, a restart would start at the new end and skip the records in between.
                offset = await self._consumer.position(tp)
                await self._consumer.commit({tp: OffsetAndMetadata(offset, budget.metadata())})
            state.position, state.budget = offset, budget

    async def _review_records(
        self, tp: TopicPartition, state: _PartitionState, records: Sequence[ConsumerRecord]
    ) -> None:
        for batch in self._batches(state, records):
            if self._stopping.is_set():
                return
            reviews = await asyncio.gather(*map(self._review, batch.requests))
            if self._partitions.get(tp) is not state:
                return
            await self._publish(tp.partition, zip(batch.requests, reviews, strict=True))
            await self._consumer.commit({tp: batch.commit})
            state.position = batch.commit.offset
            REVIEWERS_LAG.labels(self._reviewer.name, str(tp.partition)).set(
                max(0, (self._consumer.highwater(tp) or 0) - state.position)
            )

    def _batches(self, state: _PartitionState, records: Sequence[ConsumerRecord]) -> Iterator[_Batch]:
        """Yield batches of up to ``concurrency`` requests; the last batch covers the remaining records."""
        budget = state.budget
        if budget is None:
            return
        requests: list[ReviewRequest] = []
        for record in records:
            requests += self._within_budget(record, budget)
            if len(requests) >= self._reviewer.concurrency:
                yield _Batch(requests, OffsetAndMetadata(record.offset + 1, budget.metadata()))
                requests = []
        yield _Batch(requests, OffsetAndMetadata(records[-1].offset + 1, budget.metadata()))

    def _within_budget(self, record: ConsumerRecord, budget: HourlyBudget) -> Iterator[ReviewRequest]:
        for request in review_requests(record.value, self._reviewer.selection):
            if budget.take(int(request.event.time.timestamp() * 1000), record.timestamp):
                REVIEWERS_CHOSEN.labels(self._reviewer.name, request.reason).inc()
                yield request
            else:
                REVIEWERS_OVER_BUDGET.labels(self._reviewer.name).inc()

    async def _review(self, request: ReviewRequest) -> Review:
        with REVIEWERS_SECONDS.labels(self._reviewer.name).time():
            try:
                review = await self._reviewer.review(request.event, request.signal)
            except Exception as error:  # noqa: BLE001 - one event that a model cannot process must not stop the reviewer
                log.error("reviewer %s: event %r: %s", self._reviewer.name, request.event.event_id, describe(error))
                review = Review("failed")
        REVIEWERS_OUTCOMES.labels(self._reviewer.name, review.outcome).inc()
        return review

    async def _publish(self, partition: int, reviews: Iterable[tuple[ReviewRequest, Review]]) -> None:
        """Write verdicts and labels to the partition of their event, and wait for the acknowledgements.

        A record that exceeds the limit of its topic is counted and dropped: a retry would produce the same size.
        """
        sent: list[Delivery] = []
        for request, review in reviews:
            verdict = verdict_of(self._reviewer, request, review)
            if verdict is None:
                continue
            key = event_key(request.event)
            rows = {"verdicts": verdict.model_dump_json()}
            if self._reviewer.emits_labels:
                rows["feedback"] = feedback_of(verdict, request.event).model_dump_json()
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
