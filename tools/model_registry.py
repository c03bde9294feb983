"""``streamgauge model`` and ``streamgauge labels``: what was learned, and which labels to give next."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from pydantic import BaseModel, ValidationError

from agents.learning.output_rows import TrainableAgent
from agents.learning.weight_versions import SHIPPED, WeightVersion, from_file, to_file
from schemas.errors import BrokerError, RecordError, SettingsError, StateError
from schemas.feedback import Feedback
from schemas.files import read_json
from schemas.learning import LabelRequest, ModelCommand, Signal, WeightsFile
from schemas.setting_sections import KafkaSettings
from schemas.settings import Settings
from streams.runtime.decode import COMMAND_HEADER, check_size
from streams.runtime.producer import Producer
from streams.runtime.registry import build_agents
from streams.runtime.signing import Signer
from streams.runtime.snapshot_store import load
from streams.runtime.topics import client_options

T = TypeVar("T", bound=BaseModel)
_TAIL = 2000
"""Records of each partition of the requests that are looked at: the latest."""


@dataclass(frozen=True, slots=True)
class Found:
    """A version in the snapshot of a partition; ``current`` if the weights are it now."""

    partition: int
    signal: Signal
    base: str
    version: WeightVersion
    current: bool


async def versions(settings: Settings, signal: Signal | None = None) -> list[Found]:
    """Read what each partition has learned from its newest snapshot.

    A snapshot is written every ``worker.snapshot_interval_s``: what was learned since is not in it yet.

    Raises
    ------
    BrokerError
        If Kafka does not answer.
    """
    found: list[Found] = []
    for partition in range(settings.kafka.partitions):
        try:
            snapshot = await load(settings, partition)
        except KafkaError as error:
            raise _away(settings.kafka, error) from error
        for agent in build_agents(settings):
            part = snapshot.parts.get(agent.name) if snapshot else None
            if part is None or not isinstance(agent, TrainableAgent) or signal not in {None, agent.name}:
                continue
            try:
                agent.restore(part)
            except StateError:
                continue  # of another version of the code: the worker begins it anew, and so do we
            learner = agent.learner
            now = learner.current_version()
            kept = [v for v in learner.versions if v.name != now.name]
            found += [Found(partition, learner.signal, learner.base, v, current=False) for v in kept]
            found.append(Found(partition, learner.signal, learner.base, now, current=True))
    return found


def pick(found: Iterable[Found], name: str, partition: int | None) -> list[Found]:
    """Return the versions of a name, or of the first digits of one.

    Raises
    ------
    SettingsError
        If there is none, or the digits are those of several.
    """
    fits = [f for f in found if f.version.name.startswith(name) and partition in {None, f.partition}]
    names = {f.version.name for f in fits}
    if not fits:
        raise SettingsError(
            f"version {name!r}: no partition keeps it; see: streamgauge model list", "version", "unknown"
        )
    if len(names) > 1:
        raise SettingsError(
            f"version {name!r}: could be {', '.join(sorted(names))}; give more of it", "version", "ambiguous"
        )
    return fits


def summary(found: Found) -> dict[str, Any]:
    """Return a version as a row of ``model list``."""
    version = found.version
    quality = next((q for q in version.quality if q["estimator"] == "observed"), {})
    measures = ("precision", "recall", "auc", "calibration_error")
    return {
        "partition": found.partition,
        "signal": found.signal,
        "version": version.name,
        "current": found.current,
        "created": datetime.fromtimestamp(version.created_ms / 1000, UTC).isoformat(timespec="seconds"),
        "labels": version.labels,
        "reason": version.reason,
        **{name: quality.get(name) for name in measures},
    }


def describe(found: Found) -> dict[str, Any]:
    """Return a version in full, for ``model show``: how much moved, for whom, and the quality by estimator."""
    weights = found.version.weights
    ends = np.cumsum(weights["counts"])
    owners = ["(all)", *weights["tenants"]]
    tables = [weights["moves"][end - count : end] for end, count in zip(ends, weights["counts"], strict=True)]
    moved = {
        owner: {"features": len(table), "largest": round(float(np.abs(table).max(initial=0)) / 4096, 3)}
        for owner, table in zip(owners, tables, strict=True)
    }
    return summary(found) | {"base": found.base, "moved": moved, "quality": [dict(q) for q in found.version.quality]}


def export(found: Found, path: Path) -> WeightsFile:
    """Write a version to a file that `read` takes."""
    file = to_file(found.version, found.signal, found.base)
    path.write_text(file.model_dump_json(indent=1) + "\n")
    return file


def read(path: Path, settings: Settings) -> WeightsFile:
    """Read a file of weights and check that they are whole and fit the weights that ship here.

    Raises
    ------
    SettingsError
        If they do not.
    """
    file = read_json(path, str(path), WeightsFile, "give a file that `streamgauge model export` wrote")
    try:
        from_file(file)
    except StateError as error:
        raise SettingsError(f"{path}: {error}", code="malformed", path=path) from error
    learners = [agent.learner for agent in build_agents(settings) if isinstance(agent, TrainableAgent)]
    ours = next(learner.base for learner in learners if learner.signal == file.signal)
    if file.base != ours:
        raise SettingsError(
            f"{path}: learned beside other base weights ({file.base}, ours are {ours}); "
            "import into the release that exported it",
            code="conflict",
            path=path,
        )
    return file


def rollback_commands(
    found: Sequence[Found], signal: Signal, name: str, partitions: Iterable[int]
) -> list[ModelCommand]:
    """Return a command for each partition that keeps the version; for every one of ``partitions`` if it is shipped."""
    where = sorted({f.partition for f in found}) if name != SHIPPED else sorted(partitions)
    return [_command("rollback", signal, name, partition) for partition in where]


def import_commands(file: WeightsFile, partitions: Iterable[int]) -> list[ModelCommand]:
    """Return a command for each partition."""
    return [_command("import", file.signal, file.version, partition, file) for partition in sorted(partitions)]


def _command(action: Any, signal: Signal, name: str, partition: int, file: WeightsFile | None = None) -> ModelCommand:
    return ModelCommand(
        command_id=uuid.uuid4().hex,
        time=datetime.now(UTC),
        action=action,
        signal=signal,
        version=name,
        weights=file,
        partition=partition,
    )


async def send(settings: Settings, commands: Iterable[ModelCommand]) -> None:
    """Put commands into the logs of the events, each into that of its partition (ADR 0010), signed if there is a key.

    Raises
    ------
    BrokerError
        If Kafka does not answer.
    """
    kafka, signer, topic = settings.kafka, Signer.of(settings), settings.kafka.topic("events")
    producer = Producer(kafka, linger_ms=0)
    try:
        await producer.start()
        try:
            for command in commands:
                value = command.model_dump_json(exclude_none=True).encode()
                signed = signer.sign_json(value, command.kind, topic, command.partition)
                await producer.send_and_wait(topic, signed, partition=command.partition, headers=[COMMAND_HEADER])
        finally:
            await producer.stop()
    except KafkaError as error:
        raise _away(kafka, error) from error


async def wanted(kafka: KafkaSettings, limit: int, signal: Signal | None, tenant: str | None) -> list[LabelRequest]:
    """Return the latest requests whose labels are not on the topic of feedback yet, the newest first.

    Raises
    ------
    BrokerError
        If Kafka does not answer.
    """
    try:
        asked = [request async for request in _read(kafka, "label_requests", LabelRequest)]
        given = {(f.signal, f.tenant, f.call_id) async for f in _read(kafka, "feedback", Feedback)}
    except KafkaError as error:
        raise _away(kafka, error) from error
    fresh = {
        (r.signal, r.tenant, r.call_id): r
        for r in asked
        if signal in {None, r.signal} and tenant in {None, r.tenant} and (r.signal, r.tenant, r.call_id) not in given
    }
    return sorted(fresh.values(), key=lambda r: r.time, reverse=True)[:limit]


async def _read(kafka: KafkaSettings, topic: str, contract: type[T]) -> AsyncIterator[T]:
    """Yield the latest records of a topic; one that is none of its contract is dead-lettered elsewhere."""
    async for raw in _latest(kafka, topic):
        try:
            check_size(raw or b"")
            yield contract.model_validate_json(raw or b"")
        except (ValidationError, RecordError):
            continue


async def _latest(kafka: KafkaSettings, topic: str) -> AsyncIterator[bytes | None]:
    """Yield the values of the last records of each partition of a topic."""
    consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        for partition in range(kafka.partitions):
            tp = TopicPartition(kafka.topic(topic), partition)
            consumer.assign([tp])
            begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, max(begin, end - _TAIL))
            while await consumer.position(tp) < end:
                for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
                    for record in batch:
                        yield record.value
    finally:
        await consumer.stop()


def _away(kafka: KafkaSettings, error: Exception) -> BrokerError:
    return BrokerError(f"kafka.brokers={kafka.brokers}: {error!r}; is the broker up, and are the topics there?")


def signals() -> Iterator[str]:
    """Yield the signals that learn."""
    yield from ("injection", "hallucination")
