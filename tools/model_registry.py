"""Commands ``streamgauge model`` and ``streamgauge labels``: learned model versions and requested labels."""

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
"""Number of latest records that are read from each partition of a topic."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A model version in the snapshot of a partition; ``current`` if it is in use."""

    partition: int
    signal: Signal
    base: str
    version: WeightVersion
    current: bool


async def versions(settings: Settings, signal: Signal | None = None) -> list[StoredVersion]:
    """Read the model versions of each partition from its latest snapshot.

    A snapshot is written every ``worker.snapshot_interval_s``; it does not include labels learned since then.

    Raises
    ------
    BrokerError
        If Kafka does not answer.
    """
    stored: list[StoredVersion] = []
    for partition in range(settings.kafka.partitions):
        try:
            snapshot = await load(settings, partition)
        except KafkaError as error:
            raise _unreachable(settings.kafka, error) from error
        for agent in build_agents(settings):
            state = snapshot.parts.get(agent.name) if snapshot else None
            if state is None or not isinstance(agent, TrainableAgent) or signal not in {None, agent.name}:
                continue
            try:
                agent.restore(state)
            except StateError:
                continue  # state of another code version: the worker also starts this agent without it
            learner = agent.learner
            current = learner.current_version()
            previous = [v for v in learner.versions if v.name != current.name]
            stored += [StoredVersion(partition, learner.signal, learner.base, v, current=False) for v in previous]
            stored.append(StoredVersion(partition, learner.signal, learner.base, current, current=True))
    return stored


def pick(stored: Iterable[StoredVersion], name: str, partition: int | None) -> list[StoredVersion]:
    """Return the versions whose name starts with ``name``.

    Raises
    ------
    SettingsError
        If no version matches, or versions of several names do.
    """
    matches = [s for s in stored if s.version.name.startswith(name) and partition in {None, s.partition}]
    names = {s.version.name for s in matches}
    if not matches:
        raise SettingsError(
            f"version {name!r}: not found in any partition; list versions with: streamgauge model list",
            "version",
            "unknown",
        )
    if len(names) > 1:
        raise SettingsError(
            f"version {name!r}: matches {', '.join(sorted(names))}; give more characters", "version", "ambiguous"
        )
    return matches


def summary(stored: StoredVersion) -> dict[str, Any]:
    """Return the row of a version in ``model list``."""
    version = stored.version
    quality = next((q for q in version.quality if q["estimator"] == "observed"), {})
    measures = ("precision", "recall", "auc", "calibration_error")
    return {
        "partition": stored.partition,
        "signal": stored.signal,
        "version": version.name,
        "current": stored.current,
        "created": datetime.fromtimestamp(version.created_ms / 1000, UTC).isoformat(timespec="seconds"),
        "labels": version.labels,
        "reason": version.reason,
        **{name: quality.get(name) for name in measures},
    }


def describe(stored: StoredVersion) -> dict[str, Any]:
    """Return the details of a version for ``model show``: weight changes by tenant, and quality by estimator."""
    weights = stored.version.weights
    ends = np.cumsum(weights["counts"])
    owners = ["(all)", *weights["tenants"]]
    tables = [weights["moves"][end - count : end] for end, count in zip(ends, weights["counts"], strict=True)]
    moved = {
        owner: {"features": len(table), "largest": round(float(np.abs(table).max(initial=0)) / 4096, 3)}
        for owner, table in zip(owners, tables, strict=True)
    }
    return summary(stored) | {"base": stored.base, "moved": moved, "quality": [dict(q) for q in stored.version.quality]}


def export(stored: StoredVersion, path: Path) -> WeightsFile:
    """Write a version to a file that `read` accepts."""
    file = to_file(stored.version, stored.signal, stored.base)
    path.write_text(file.model_dump_json(indent=1) + "\n")
    return file


def read(path: Path, settings: Settings) -> WeightsFile:
    """Read a file of weights; verify its checksum and that it matches the shipped base weights.

    Raises
    ------
    SettingsError
        If the file is damaged or belongs to other base weights.
    """
    file = read_json(path, str(path), WeightsFile, "give a file written by `streamgauge model export`")
    try:
        from_file(file)
    except StateError as error:
        raise SettingsError(f"{path}: {error}", code="malformed", path=path) from error
    learners = [agent.learner for agent in build_agents(settings) if isinstance(agent, TrainableAgent)]
    base = next(learner.base for learner in learners if learner.signal == file.signal)
    if file.base != base:
        raise SettingsError(
            f"{path}: learned on other base weights ({file.base}, this release has {base}); "
            "import the file into the release that exported it",
            code="conflict",
            path=path,
        )
    return file


def rollback_commands(
    stored: Sequence[StoredVersion], signal: Signal, name: str, partitions: Iterable[int]
) -> list[ModelCommand]:
    """Return a command for each partition that keeps the version, or for all ``partitions`` if it is ``shipped``."""
    targets = sorted({s.partition for s in stored}) if name != SHIPPED else sorted(partitions)
    return [_command("rollback", signal, name, partition) for partition in targets]


def import_commands(file: WeightsFile, partitions: Iterable[int]) -> list[ModelCommand]:
    """Return an import command for each partition."""
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
    """Send each command to its partition of the events topic (ADR 0010), signed if a key is configured.

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
        raise _unreachable(kafka, error) from error


async def pending_requests(
    kafka: KafkaSettings, limit: int, signal: Signal | None, tenant: str | None
) -> list[LabelRequest]:
    """Return the latest label requests without feedback, newest first.

    Raises
    ------
    BrokerError
        If Kafka does not answer.
    """
    try:
        requests = [request async for request in _read(kafka, "label_requests", LabelRequest)]
        labelled = {(f.signal, f.tenant, f.call_id) async for f in _read(kafka, "feedback", Feedback)}
    except KafkaError as error:
        raise _unreachable(kafka, error) from error
    pending = {
        (r.signal, r.tenant, r.call_id): r
        for r in requests
        if signal in {None, r.signal} and tenant in {None, r.tenant} and (r.signal, r.tenant, r.call_id) not in labelled
    }
    return sorted(pending.values(), key=lambda r: r.time, reverse=True)[:limit]


async def _read(kafka: KafkaSettings, topic: str, contract: type[T]) -> AsyncIterator[T]:
    """Yield the latest records of a topic; skip malformed records, which the worker and the sink dead-letter."""
    async for raw in _latest(kafka, topic):
        try:
            check_size(raw or b"")
            yield contract.model_validate_json(raw or b"")
        except (ValidationError, RecordError):
            continue


async def _latest(kafka: KafkaSettings, topic: str) -> AsyncIterator[bytes | None]:
    """Yield the values of the latest records of each partition of a topic."""
    consumer = AIOKafkaConsumer(**client_options(kafka), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        for partition in range(kafka.partitions):
            tp = TopicPartition(kafka.topic(topic), partition)
            consumer.assign([tp])
            start, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
            consumer.seek(tp, max(start, end - _TAIL))
            while await consumer.position(tp) < end:
                for batch in (await consumer.getmany(tp, timeout_ms=500)).values():
                    for record in batch:
                        yield record.value
    finally:
        await consumer.stop()


def _unreachable(kafka: KafkaSettings, error: Exception) -> BrokerError:
    return BrokerError(f"kafka.brokers={kafka.brokers}: {error!r}; check that the broker is up and the topics exist")


def signals() -> Iterator[str]:
    """Yield the names of the signals that learn from labels."""
    yield from ("injection", "hallucination")
