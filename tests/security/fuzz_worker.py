"""``python -m tests.security.fuzz_worker 100000``: hostile records against the worker on real Kafka.

Two runs with the same honest events of one tenant: beside ordinary events of other tenants, and beside hostile records,
decompression bombs and forged snapshots. In both the worker is killed once. The honest tenant's scored events and
aggregates must be equal in both and equal to a replay of its events alone; the peak memory of the worker in the second
run is at most 1.5 times that of the first.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Producer

from schemas.settings import Settings
from streams.runtime.decode import decode_event
from streams.runtime.partitioning import event_key
from streams.runtime.snapshot_codec import Snapshot
from streams.runtime.snapshot_store import to_records
from streams.runtime.topics import create_topics
from tests.faults.processes import Service
from tests.faults.test_kill import waiting
from tests.kafka.broker import KafkaBroker
from tests.security.hostile import Hostile, hostile
from tests.topics import values
from tests.traffic import events
from tools.replay import replay

HONEST = 20_000
APPS = 20_000
"""Apps of ordinary tenants: they fill the bounded maps, as the floods of hostile ones do."""
MEMORY_RATIO = 1.5
_STALL_S = 300.0
_COUNTS = (
    "events", "errors", "refusals", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens",
    "cost_nanousd", "injection_flags", "hallucination_flags", "grounded",
)  # fmt: skip
_BOMB = """
import sys
from confluent_kafka import Producer
brokers, topic, codec, partition = sys.argv[1:]
producer = Producer({"bootstrap.servers": brokers, "compression.type": codec, "message.max.bytes": 1_000_000_000})
producer.produce(topic, b"0" * 900_000_000, partition=int(partition))
sys.exit(producer.flush(120))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the worker.

    Attributes
    ----------
    scored
        Of the honest tenant: event id to signals.
    windows
        Of the honest tenant: (window, app, model, prompt version, partition) to counts.
    peak_mb
        The most memory that the worker had, MB.
    """

    scored: dict[str, Any]
    windows: dict[tuple[Any, ...], tuple[int, ...]]
    peak_mb: float
    dead_letters: int
    seconds: float


def ordinary(number: int) -> Iterator[Hostile]:
    """Yield that many events of other tenants, as made by services that mean well, from as many apps as maps hold."""
    for event in events(number, seed=2, apps=APPS):
        changed = event | {"tenant": f"other{int(event['call_id'][1:]) % 5}"}
        yield Hostile("ordinary", orjson.dumps(changed), f"{changed['tenant']}/{changed['app']}".encode())


def honest() -> list[bytes]:
    """Return the events of the tenant that nobody may harm, as JSON lines."""
    return [orjson.dumps(event) for event in events(HONEST)]


def _send(producer: Producer, topic: str, record: Hostile) -> None:
    while True:
        try:
            producer.produce(topic, record.value, key=record.key, headers=list(record.headers))
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)


def publish(tree: Settings, others: Iterator[Hostile], honest_part: list[bytes]) -> Counter[str]:
    """Publish both kinds in turn; return how many of each kind were sent."""
    options = {
        "bootstrap.servers": tree.kafka.brokers,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,  # a retry would change the order, and with it what drift learns
        "linger.ms": 5,
        "message.max.bytes": 30_000_000,
        "queue.buffering.max.kbytes": 200_000,
    }
    producer, sent = Producer(options), Counter[str]()
    mine = iter(honest_part)
    per_honest = 0
    for record in others:
        _send(producer, tree.kafka.topic(record.topic), record)
        sent[record.kind] += 1
        per_honest += 1
        if per_honest == 5:
            per_honest = 0
            _send_honest(producer, tree, mine)
    while _send_honest(producer, tree, mine):
        pass
    assert producer.flush(120) == 0
    return sent


def _send_honest(producer: Producer, tree: Settings, mine: Iterator[bytes]) -> bool:
    raw = next(mine, None)
    if raw is not None:
        _send(producer, tree.kafka.topic("events"), Hostile("honest", raw, event_key(decode_event(raw))))
    return raw is not None


def bombs(tree: Settings) -> int:
    """Produce a batch of 900 MB of zeros in every codec, to every partition."""
    count = 0
    for partition in range(tree.kafka.partitions):
        for codec in ("gzip", "zstd", "lz4", "snappy"):
            arguments = [tree.kafka.brokers, tree.kafka.topic("events"), codec, str(partition)]
            subprocess.run([sys.executable, "-c", _BOMB, *arguments], check=False, timeout=300)
            count += 1
    return count


def forged(tree: Settings) -> None:
    """Write snapshots that nobody took: from far ahead, and malformed ones."""
    producer = Producer({"bootstrap.servers": tree.kafka.brokers, "message.max.bytes": 30_000_000})
    topic = tree.kafka.topic("snapshots")
    for partition in range(tree.kafka.partitions):
        for slot in (0, 1):
            for key, value in to_records(Snapshot(partition, 10**9, {"injection": 6}, {"injection": {"x": 1}}), slot):
                producer.produce(topic, value, key=key, partition=partition)
        for slot in (0, 1, 7, -1):
            manifest = {"offset": 10**9, "slot": slot, "pieces": 10**9, "crc": 0}
            key = f"{partition}/manifest/{slot}".encode()
            producer.produce(topic, orjson.dumps(manifest), key=key, partition=partition)
        producer.produce(topic, b"not JSON", key=b"%d/manifest/0" % partition, partition=partition)
    assert producer.flush(60) == 0


def peak_mb(pid: int) -> float:
    """Return the most memory a process has had, MB."""
    (line,) = [li for li in Path(f"/proc/{pid}/status").read_text().splitlines() if li.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


async def drained(tree: Settings, worker: Service) -> None:
    """Wait until the worker has committed everything on its inputs; fail if it ends or makes no progress."""
    left, deadline = -1, time.monotonic() + _STALL_S
    while (now := await waiting(tree, tree.worker.group, ("events", "feedback"))) > 0:
        assert worker.running, f"the worker ended: {worker.exits}"
        if now != left:
            left, deadline = now, time.monotonic() + _STALL_S
        assert time.monotonic() < deadline, f"the worker stands still at {left} records"
        await asyncio.sleep(0.5)


async def run(tree: Settings, others: Sequence[Iterator[Hostile]], folder: Path, *, attacked: bool) -> Run:
    """Publish in two halves with a SIGKILL of the worker between them; return what came out."""
    start, mine = time.monotonic(), honest()
    await create_topics(tree.kafka)
    peak = 0.0
    with Service("worker", tree, folder / f"{tree.kafka.topic_prefix}.log") as worker:
        worker.start()
        for half, records in enumerate(others):
            sent = publish(tree, records, mine[half * HONEST // 2 : (half + 1) * HONEST // 2])
            sys.stdout.write(f"sent {dict(sent)}\n")
            if attacked and half == 0:
                bombs(tree)
            await drained(tree, worker)
            peak = max(peak, peak_mb(worker.pid))
            if half == 0:
                worker.kill()
                if attacked:
                    forged(tree)
                worker.start()
        await asyncio.sleep(tree.aggregates.flush_interval_s + 1)
        worker.stop()
    return await _outputs(tree, peak, time.monotonic() - start)


async def _outputs(tree: Settings, peak: float, seconds: float) -> Run:
    scored = {
        row["event"]["event_id"]: row["signals"]
        for row in await values(tree, "scored")
        if row["event"]["tenant"] == "acme"
    }
    rows = [row for row in await values(tree, "aggregates") if row["tenant"] == "acme"]
    windows = _windows(rows)
    return Run(scored, windows, peak, len(await values(tree, "dead_letters")), seconds)


def _windows(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """Return the counts of the newest version of each window."""
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("window_start", "app", "model", "prompt_version", "source_partition"))
        if key not in newest or row["version"] >= newest[key]["version"]:
            newest[key] = row
    return {key: tuple(row[name] for name in _COUNTS) for key, row in newest.items()}


def expected(tree: Settings, folder: Path) -> Run:
    """Return what a replay of the honest events alone gives."""
    source, out = folder / "honest.jsonl", folder / "replayed"
    source.write_bytes(b"\n".join(honest()))
    replay([source], out, tree)
    read = {
        name: [orjson.loads(line) for line in (out / f"{name}.jsonl").open("rb")] for name in ("scored", "aggregates")
    }
    scored = {row["event"]["event_id"]: row["signals"] for row in read["scored"]}
    return Run(scored, _windows(read["aggregates"]), 0.0, 0, 0.0)


def differences(name: str, found: Run, wanted: Run) -> list[str]:
    """Return in what a run differs from another one."""
    out = []
    for what in ("scored", "windows"):
        mine, theirs = getattr(found, what), getattr(wanted, what)
        if missing := theirs.keys() - mine.keys():
            out.append(f"{name}: {len(missing)} of {len(theirs)} {what} are missing, {sorted(missing)[:3]}")
        if more := mine.keys() - theirs.keys():
            out.append(f"{name}: {len(more)} {what} too many, {sorted(more)[:3]}")
        if other := [key for key in theirs.keys() & mine.keys() if mine[key] != theirs[key]]:
            out.append(f"{name}: {len(other)} {what} differ, {other[0]}: {mine[other[0]]} against {theirs[other[0]]}")
    return out


def _keep_logs(folder: Path) -> None:
    for log in folder.glob("*.log"):
        Path(tempfile.gettempdir(), f"fuzz-{log.name}").write_bytes(log.read_bytes())


def settings(brokers: str, prefix: str) -> Settings:
    """Return settings of one run."""
    return Settings.model_validate(
        {
            "kafka": {"brokers": brokers, "topic_prefix": prefix},
            "worker": {"group": f"{prefix}-worker", "health_port": 0},
        }
    )


async def main(count: int) -> None:
    """Run both, compare, and print the figures; exit with 1 on any difference."""
    with tempfile.TemporaryDirectory(prefix="streamgauge-fuzz-") as name:
        folder = Path(name)
        broker = KafkaBroker(folder / "kafka")
        broker.start()
        try:
            clean_tree, hostile_tree = settings(broker.brokers, "clean"), settings(broker.brokers, "hostile")
            halves = [ordinary(count // 2), ordinary(count - count // 2)]
            clean = await run(clean_tree, halves, folder, attacked=False)
            attacks = [(hostile(n) for n in range(start, end)) for start, end in ((0, count // 2), (count // 2, count))]
            attacked = await run(hostile_tree, attacks, folder, attacked=True)
            wanted = expected(clean_tree, folder)
            failed = differences("clean", clean, wanted) + differences("attacked", attacked, wanted)
        finally:
            broker.kill()
            _keep_logs(folder)
    ratio = attacked.peak_mb / clean.peak_mb
    if ratio > MEMORY_RATIO:
        failed.append(f"peak memory {attacked.peak_mb:.0f} MB against {clean.peak_mb:.0f} MB: {ratio:.2f} times")
    figures = {
        "hostile_records": count,
        "honest_scored": len(attacked.scored),
        "honest_windows": len(attacked.windows),
        "dead_letters": attacked.dead_letters,
        "peak_mb": [round(clean.peak_mb), round(attacked.peak_mb)],
        "memory_ratio": round(ratio, 2),
        "seconds": [round(clean.seconds), round(attacked.seconds)],
        "failed": failed,
    }
    sys.stdout.write(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode() + "\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
