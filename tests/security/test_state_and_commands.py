"""Forged state and commands on Apache Kafka itself: the worker goes on, and obeys only whom it should."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from aiokafka import ConsumerRecord
from pydantic import SecretStr

from schemas.errors import SettingsError
from schemas.learning import ModelCommand
from schemas.settings import Settings, load_settings
from streams.runtime.decode import COMMAND_HEADER, FEEDBACK_HEADER
from streams.runtime.registry import build_pipeline, state_versions
from streams.runtime.signing import Signer
from streams.runtime.snapshot_codec import Snapshot, decode, encode
from streams.runtime.snapshot_store import SnapshotAssembler, load, to_records
from streams.runtime.topics import create_topics
from streams.worker.app import Worker
from tests.conftest import MakeSettings
from tests.faults.processes import Service, free_port
from tests.judging import judged
from tests.kafka.broker import KafkaBroker
from tests.security.forging import (
    FEW,
    ONE_PARTITION,
    Run,
    forged,
    in_pieces,
    judged_whole,
    learner_of,
    log_of,
    packed,
    publish,
    running,
    signing,
    write,
)  # fmt: skip
from tests.security.test_state_fuzz import forged_sizes
from tests.topics import read_all, values
from tests.waiting import until
from tools.model_registry import rollback_commands, send
from tools.replay import replay


def ready(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def peak_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0])


def metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


@pytest.fixture
async def run() -> AsyncIterator[Run]:
    async with running() as start:
        yield start


# State


async def test_a_worker_starts_cold_where_state_is_forged_and_loses_no_event(
    kafka: KafkaBroker, settings: MakeSettings, tmp_path: Path
) -> None:
    """An offset of 10**9 dropped every event while /ready was true; the others ended the worker at each start."""
    port = free_port()
    kinds = ("offset", "size", "format", "parts", "partition", "format")
    tree = settings(kafka.brokers, kafka={"partitions": len(kinds)}, worker={"health_port": port})
    await create_topics(tree.kafka)
    bomb = next(raw for what, raw in forged_sizes() if "says so" in what)
    raws = [
        to_records(forged(tree, 0, 10**9), 0),
        in_pieces(bomb, 1),
        in_pieces(b"SGS1 and what is none", 2),
        to_records(
            replace(forged(tree, 3, 0), parts={name: {"x": np.zeros(3)} for name in forged(tree, 3, 0).parts}), 0
        ),
        [(k.replace(b"0/", b"4/", 1), v) for k, v in to_records(forged(tree, 0, 0), 0)],
        [(b"5/manifest/0", manifest) for manifest in (b"{", b"[]", b'{"offset":"1"}', b'{"offset":1,"slot":0}')],
    ]
    for partition, records in enumerate(raws):
        await publish(tree, FEW, partition)
        await write(tree, "snapshots", [*records, (b"junk", b"junk")], partition)
    with Service("worker", tree, tmp_path / "worker.log") as worker:
        worker.start()
        await settled(tree, worker)
        shown, counted = ready(port), metrics(port)
        peak = peak_kb(worker.pid)
    assert worker.exits in ([], [-9])
    assert shown["ready"] is True
    assert shown["rejected"] == {str(p): [kind] for p, kind in enumerate(kinds)}
    assert set(shown["cold"]) == set(map(str, range(len(kinds))))
    for kind in set(kinds):
        assert f'streamgauge_worker_state_rejected_total{{reason="{kind}"}}' in counted
    assert peak < 1_200_000  # the bomb alone is 2 GB


async def settled(tree: Settings, worker: Service) -> None:
    """Wait until every event of every partition is scored that one run scores; others wait for their other half."""
    expected = [len(build_pipeline(0, tree).process(await log_of(tree)).scored)] * tree.kafka.partitions
    scored: list[int] = []
    async with asyncio.timeout(180):
        while scored != expected:
            assert worker.running
            rows = [orjson.loads(r.value) for r in await read_all(tree, "scored")]
            scored = [sum(row["source_partition"] == p for row in rows) for p in range(tree.kafka.partitions)]
            assert all(n <= most for n, most in zip(scored, expected, strict=True))


async def test_a_forged_snapshot_gives_way_to_the_older_one_and_nothing_is_missed(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    """The older one is behind the last commit: what lies between is judged again, so the state is that of one run."""
    tree = settings(kafka.brokers, kafka=ONE_PARTITION, worker={"snapshot_interval_s": 3600.0})
    await create_topics(tree.kafka)
    await publish(tree, FEW[:100])
    worker = await run(tree, 100)
    await worker.runners[0].save()
    await publish(tree, FEW[100:150])
    await until(lambda: judged(worker) == 150)
    await worker.stop()
    assert (await assembled(tree))[0].manifest.offset == 149
    assert len(await assembled(tree)) == 2
    for slot in (0, 1):
        await write(tree, "snapshots", to_records(forged(tree, 0, 10**9), slot))
    await publish(tree, FEW[150:])
    worker = await run(tree, len(FEW))
    engine = worker.runners[0]
    state, rejected = engine.pipeline.state(), engine.rejected
    await worker.stop()
    assert set(rejected) == {"offset"}
    assert packed(state) == packed(await judged_whole(tree, len(FEW)))


async def assembled(tree: Settings) -> list[Any]:
    assembly = SnapshotAssembler(0)
    for record in await read_all(tree, "snapshots"):
        assembly.add(record)
    return assembly.newest_first()


async def test_a_part_that_fails_in_use_starts_cold_and_the_others_go_on(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    """Values may pass every check and still divide by zero hours later: that stopped the worker at every start."""
    tree = settings(kafka.brokers, kafka=ONE_PARTITION)
    await create_topics(tree.kafka)
    pipeline = build_pipeline(0, tree)
    await publish(tree, FEW)
    items = await log_of(tree)
    pipeline.process(items[:150])
    state = decode(encode(Snapshot(0, 149, state_versions(pipeline), pipeline.state())))
    columns: Any = state.parts["drift"]["segments"]["columns"]
    columns["n"][:] = 300
    columns["unit"][:] = 0.0
    columns["limit"][:] = 0.0
    await write(tree, "snapshots", to_records(state, 0))
    worker = await run(tree, len(FEW))
    cold, rejected = worker.runners[0].cold, worker.runners[0].rejected
    after = worker.runners[0].pipeline.state()
    await worker.stop()
    pipeline.process(items[150:])
    assert (cold, rejected) == (("drift",), ("failed",))
    for part in ("injection", "join", "repeats", "aggregates", "hallucination"):
        assert packed(after[part]) == packed(pipeline.state()[part]), part
    assert {r["source_offset"] for r in await values(tree, "scored")} >= set(range(150, 190))


# Signatures


async def test_with_a_key_only_signed_snapshots_count_and_keys_rotate(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    old, both, new = (signing(settings, kafka, *names) for names in (("old",), ("new", "old"), ("new",)))
    await create_topics(old.kafka)
    await publish(old, FEW[:50])
    await (await run(old, 50)).stop()
    topic, unsigned = old.kafka.topic("snapshots"), forged(old, 0, 49)
    stranger, ours = Signer({"old": SecretStr("x" * 32)}), Signer.of(old)
    for records in (
        to_records(unsigned, 0),
        to_records(unsigned, 1, stranger, topic),
        to_records(replace(unsigned, partition=1), 1, ours, topic),
        [(k.replace(b"1/", b"0/", 1), v) for k, v in to_records(replace(unsigned, partition=1), 1, ours, topic)],
        to_records(unsigned, 1, ours, "another.snapshots"),
        [
            (k, v.replace(b'"offset":48', b'"offset":49'))
            for k, v in to_records(replace(unsigned, offset=48), 1, ours, topic)
        ],
    ):
        await write(old, "snapshots", records)
    await publish(old, FEW[50:100])
    worker = await run(both, 100)  # what the old key signed is still known
    assert (worker.runners[0].cold, worker.runners[0].rejected) == ((), ("signature",))
    assert packed(worker.runners[0].pipeline.state()) == packed(await judged_whole(both, 100))
    await worker.stop()
    await publish(old, FEW[100:])
    worker = await run(new, len(FEW))  # by now all state is signed with the new key
    assert worker.runners[0].cold == ()
    assert packed(worker.runners[0].pipeline.state()) == packed(await judged_whole(both, len(FEW)))
    await worker.stop()
    assert (await load(new, 0)) is not None


async def test_an_unsigned_snapshot_alone_is_a_cold_start(kafka: KafkaBroker, settings: MakeSettings, run: Run) -> None:
    tree = signing(settings, kafka, "new")
    await create_topics(tree.kafka)
    await publish(tree, FEW)
    await write(tree, "snapshots", to_records(forged(tree, 0, len(FEW) - 1), 0))
    worker = await run(tree, len(FEW))
    assert (worker.runners[0].cold, worker.runners[0].rejected) == (("all",), ("signature",))
    await worker.stop()


def command(number: int, partition: int = 0) -> ModelCommand:
    (made,) = rollback_commands([], "injection", "shipped", [partition])
    return made.model_copy(update={"command_id": f"c{number}"})


async def counts(worker: Worker, done: int) -> tuple[int, int]:
    await until(lambda: judged(worker) == done)
    found = learner_of(worker).counts
    return found.command_applied, found.command_rejected


async def test_without_a_key_commands_are_obeyed_as_before_and_none_twice(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    tree = settings(kafka.brokers, kafka=ONE_PARTITION)
    await create_topics(tree.kafka)
    await send(tree, [command(1), command(2)])
    log = await read_all(tree, "events")
    worker = await run(tree, 2)
    assert await counts(worker, 2) == (2, 0)
    await again(tree, log[0])
    assert await counts(worker, 3) == (2, 1)
    await worker.stop()
    await again(tree, log[1])
    worker = await run(tree, 4)  # known after a restart as well
    assert await counts(worker, 4) == (2, 2)
    await worker.stop()


async def again(tree: Settings, record: ConsumerRecord, partition: int = 0) -> None:
    """Write a record that was read from the log once more, as somebody may who can read and write it."""
    await write(tree, "events", [(record.key, record.value)], partition, headers=list(record.headers))


async def test_with_a_key_a_forged_moved_or_replayed_command_is_not_obeyed(
    kafka: KafkaBroker, settings: MakeSettings, run: Run, tmp_path: Path
) -> None:
    tree, other = (signing(settings, kafka, name, partitions=2) for name in ("new", "old"))
    none = settings(kafka.brokers, kafka={"partitions": 2})
    await create_topics(tree.kafka)
    await send(tree, [command(1)])
    (signed,) = await read_all(tree, "events")
    await again(tree, signed)
    await again(tree, signed, partition=1)
    await send(none, [command(2)])
    await send(other, [command(3)])
    tampered = signed.value.replace(b'"action":"rollback"', b'"action":"import" ')
    await write(tree, "events", [(None, tampered), (None, b"{}"), (None, b"")], headers=[COMMAND_HEADER])
    await publish(tree, FEW[:20])
    await publish(tree, FEW[:20], partition=1)
    worker = await run(tree)
    obeyed = [learner_of(worker, p).counts.command_applied for p in (0, 1)]
    refused = learner_of(worker).counts.command_rejected
    await worker.stop()
    letters = [letter["reason"] for letter in await values(tree, "dead_letters")]
    assert (obeyed, refused) == ([1, 0], 1)
    assert letters == ["signature"] * 6
    # A replay of the log of a partition obeys what its worker obeyed.
    log = [record.value for record in await read_all(tree, "events") if record.partition == 0]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(log))
    report = replay([tmp_path / "log.jsonl"], tmp_path / "out", tree, partition=0)
    assert report.commands == 2
    assert replay([tmp_path / "log.jsonl"], tmp_path / "free", none, partition=0).commands == 4


async def test_with_a_key_labels_count_only_by_way_of_the_topic_of_feedback(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    tree = signing(settings, kafka, "new")
    await create_topics(tree.kafka)
    await publish(tree, FEW)
    calls = [orjson.loads(raw) for raw in FEW if b'"kind"' not in raw][:3]
    labels = [
        orjson.dumps(
            {"kind": "feedback", "feedback_id": f"f{n}", "signal": "injection", "label": True}
            | {name: call[name] for name in ("call_id", "time", "tenant", "app")}
        )
        for n, call in enumerate(calls)
    ]
    worker = await run(tree, len(FEW))
    await write(tree, "events", [(None, labels[0])], headers=[FEEDBACK_HEADER])
    await until(lambda: judged(worker) == len(FEW) + 1)
    assert learner_of(worker).counts.learned == 0
    await write(tree, "feedback", [(None, labels[1])])
    await until(lambda: judged(worker) == len(FEW) + 2)
    assert learner_of(worker).counts.learned == 1
    await worker.stop()
    assert [letter["reason"] for letter in await values(tree, "dead_letters")] == ["signature"]


async def test_a_label_is_not_taken_for_a_command_whatever_its_headers_say(
    kafka: KafkaBroker, settings: MakeSettings, run: Run
) -> None:
    """The worker copied headers into the log of the events: who may write labels could roll back a model."""
    tree = settings(kafka.brokers, kafka=ONE_PARTITION)
    await create_topics(tree.kafka)
    value = command(1).model_dump_json(exclude_none=True).encode()
    await write(tree, "feedback", [(None, value)], headers=[COMMAND_HEADER])
    worker = await run(tree, 1)
    assert await counts(worker, 1) == (0, 0)
    await worker.stop()
    assert [letter["reason"] for letter in await values(tree, "dead_letters")] == ["contract"]


@pytest.mark.parametrize("keys", [{"a b": "x" * 32}, {"k": "short"}, {"": "x" * 32}])
def test_keys_that_are_none_are_refused_and_never_shown(keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_SECURITY__SIGNING_KEYS", json.dumps(keys))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert caught.value.field.startswith("security.signing_keys")
    assert not any(secret in str(caught.value) for secret in keys.values())
