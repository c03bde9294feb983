"""The worker with all agents on and the sink behind it, over Kafka; then what 10,000 segments cost."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.harness.testbed import Bed
from benchmarks.harness.events import lines
from benchmarks.harness.report import Row
from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.connectors.clickhouse.migrations import migrate
from tests.faults.clickhouse import ClickHouseProcess
from tests.faults.processes import free_port

ALL = "our worker: all agents, outputs written"
SINK = "our sink: scored events into ClickHouse"
FEW, MANY = 10, 10_000
COST, EACH = f"pipeline: {MANY:,} segments", f"memory: each of {MANY:,} segments"
STAGES = ("injection", "hallucination", "drift", "decode and judge")


def measure(bed: Bed, total: int, rounds: int, transport: tuple[str, float], say: Callable[[str], None]) -> list[Row]:
    """Return rows of the worker and its stages, then of the sink reading what the worker wrote.

    Every round has topics of its own: a worker that found its own snapshots would have nothing to do.
    """
    name, bare = transport
    rates: list[float] = []
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    memory = 0.0
    for turn in range(rounds):
        bed.topics(f"agents{turn}")
        bed.fill(f"agents{turn}.events", lines(total, seed=turn))
        got = bed.contend("ours", "worker_agents.py", f"agents{turn}.events", total)
        rates.append(got["events"] / got["seconds"])
        memory = max(memory, got["rss_mb"])
        for stage, found in stages.items():
            found.append(got[stage])
        say(f"round {turn + 1}/{rounds} {ALL}: {rates[-1]:,.0f} events/s")
    whole = 1e6 / median(rates)
    rows = [Row.of(ALL, rates, "events/s", name, bare)]
    rows += [Row.of(f"of it: {stage}", found, "us/event", "the whole", whole) for stage, found in stages.items()]
    rows.append(Row.of(f"RSS: {ALL}", [memory], "MB"))
    return rows + sink(bed, total, rounds, median(rates), say)


def sink(bed: Bed, total: int, rounds: int, worker: float, say: Callable[[str], None]) -> list[Row]:
    """Return rows/s into a ClickHouse process that shares the other core with the broker."""
    with ClickHouseProcess(bed.folder / "clickhouse", free_port()) as clickhouse:
        clickhouse.start()
        rates: list[float] = []
        memory = 0.0
        for turn in range(rounds):
            database = f"streamgauge{turn}"
            settings = Settings(clickhouse={"port": clickhouse.port, "database": database})
            client = connect(settings.clickhouse)
            migrate(client, settings)
            got = bed.contend("ours", "sink.py", f"agents{turn}.scored", total, str(clickhouse.port), database)
            stored = client.command(f"SELECT uniqExact(event_id) FROM {database}.events")
            client.close()
            if stored != total:
                raise RuntimeError(f"sink: {stored} of {total} events are in ClickHouse")
            rates.append(got["events"] / got["seconds"])
            memory = max(memory, got["rss_mb"])
            say(f"round {turn + 1}/{rounds} {SINK}: {rates[-1]:,.0f} rows/s")
    return [Row.of(SINK, rates, "rows/s", ALL, worker), Row.of(f"RSS: {SINK}", [memory], "MB")]


def segments(bed: Bed, total: int, rounds: int, say: Callable[[str], None]) -> list[Row]:
    """Return microseconds per event with few and with many apps, and the memory of one."""
    cost: dict[int, list[float]] = {FEW: [], MANY: []}
    resident: dict[int, float] = {}
    for turn in range(rounds):
        for apps, found in cost.items():
            got = bed.contend("ours", "segments.py", "-", total, str(apps))
            found.append(got["seconds"] / got["events"] * 1e6)
            resident[apps] = got["kb_each"] * apps
            say(f"round {turn + 1}/{rounds} {apps:,} segments: {found[-1]:.1f} us/event")
    few = f"pipeline: {FEW} segments"
    return [
        Row.of(few, cost[FEW], "us/event"),
        Row.of(COST, cost[MANY], "us/event", few, median(cost[FEW])),
        Row.of(EACH, [(resident[MANY] - resident[FEW]) / (MANY - FEW)], "kB"),
    ]
