"""Benchmarks of the worker with all agents, of the sink, and of 10,000 segments."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.harness.events import lines
from benchmarks.harness.report import Row
from benchmarks.harness.testbed import Testbed
from schemas.settings import Settings
from streams.connectors.clickhouse.connection import connect
from streams.connectors.clickhouse.migrations import migrate
from tests.faults.clickhouse import ClickHouseProcess
from tests.faults.processes import free_port

ALL = "our worker: all agents, outputs written"
SINK = "our sink: scored events into ClickHouse"
FEW, MANY = 10, 10_000
COST, EACH = f"pipeline: {MANY:,} segments", f"memory: each of {MANY:,} segments"
STAGES = ("injection", "hallucination", "drift", "decode and score")


def measure(
    testbed: Testbed, total: int, rounds: int, transport: tuple[str, float], log: Callable[[str], None]
) -> list[Row]:
    """Return the rows of the worker, of its stages, and of the sink that reads the worker's outputs.

    Every round uses new topics, because a worker with snapshots of the previous round would skip all records.
    """
    name, bare = transport
    rates: list[float] = []
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    memory = 0.0
    for turn in range(rounds):
        testbed.topics(f"agents{turn}")
        testbed.fill(f"agents{turn}.events", lines(total, seed=turn))
        result = testbed.run_baseline("ours", "worker_agents.py", f"agents{turn}.events", total)
        rates.append(result["events"] / result["seconds"])
        memory = max(memory, result["rss_mb"])
        for stage, values in stages.items():
            values.append(result[stage])
        log(f"round {turn + 1}/{rounds} {ALL}: {rates[-1]:,.0f} events/s")
    whole = 1e6 / median(rates)
    rows = [Row.of(ALL, rates, "events/s", name, bare)]
    rows += [Row.of(f"of it: {stage}", values, "us/event", "the whole", whole) for stage, values in stages.items()]
    rows.append(Row.of(f"RSS: {ALL}", [memory], "MB"))
    return rows + sink(testbed, total, rounds, median(rates), log)


def sink(testbed: Testbed, total: int, rounds: int, worker: float, log: Callable[[str], None]) -> list[Row]:
    """Return the rows/s into a ClickHouse process that shares a core with the broker."""
    with ClickHouseProcess(testbed.folder / "clickhouse", free_port()) as clickhouse:
        clickhouse.start()
        rates: list[float] = []
        memory = 0.0
        for turn in range(rounds):
            database = f"streamgauge{turn}"
            settings = Settings(clickhouse={"port": clickhouse.port, "database": database})
            client = connect(settings.clickhouse)
            migrate(client, settings)
            result = testbed.run_baseline(
                "ours", "sink.py", f"agents{turn}.scored", total, str(clickhouse.port), database
            )
            stored = client.command(f"SELECT uniqExact(event_id) FROM {database}.events")
            client.close()
            if stored != total:
                raise RuntimeError(f"sink: {stored} of {total} events stored in ClickHouse")
            rates.append(result["events"] / result["seconds"])
            memory = max(memory, result["rss_mb"])
            log(f"round {turn + 1}/{rounds} {SINK}: {rates[-1]:,.0f} rows/s")
    return [Row.of(SINK, rates, "rows/s", ALL, worker), Row.of(f"RSS: {SINK}", [memory], "MB")]


def segments(testbed: Testbed, total: int, rounds: int, log: Callable[[str], None]) -> list[Row]:
    """Return the time per event with few and with many apps, and the memory per app."""
    cost: dict[int, list[float]] = {FEW: [], MANY: []}
    resident: dict[int, float] = {}
    for turn in range(rounds):
        for apps, values in cost.items():
            result = testbed.run_baseline("ours", "segments.py", "-", total, str(apps))
            values.append(result["seconds"] / result["events"] * 1e6)
            resident[apps] = result["kb_each"] * apps
            log(f"round {turn + 1}/{rounds} {apps:,} segments: {values[-1]:.1f} us/event")
    few = f"pipeline: {FEW} segments"
    return [
        Row.of(few, cost[FEW], "us/event"),
        Row.of(COST, cost[MANY], "us/event", few, median(cost[FEW])),
        Row.of(EACH, [(resident[MANY] - resident[FEW]) / (MANY - FEW)], "kB"),
    ]
