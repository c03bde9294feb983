"""Cost per event by stage: ``docs/budget.md``, written from the rows of a full run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.harness.report import Bound, Row, figure
from benchmarks.suites import agents, transport

_TARGET, _LIMIT = 7_000, 5_000
_DETECTORS = ("injection", "hallucination", "drift")
_PAGE = """# Cost per event

Written by `make bench`, {at}: {cores} cores (the worker has one, broker and clients the other),
Python {python}, events of 2.4 kB with two documents, 4 partitions. `benchmarks/results/latest.json`
has the same figures. The machine is shared and runs differ by a fifth: compare ratios, not absolute values.

## Stages: {whole:.0f} us of one core per event

| stage | us per event | share |
|---|---|---|
{stages}

The target is {target:.0f} us (7,000 events/s); {limit:.0f} us (5,000 events/s) is the limit.

## All measurements

| what | value | ratio |
|---|---|---|
{rows}

## Bounds

{bounds}

Memory per segment is the resident memory with 10,000 apps minus the resident memory with 10 apps, divided by the
difference: the drift record, about four open one-minute windows, two alert windows of five minutes, keys, and allocator
overhead.

At a steady 1,000 events/s a fetch returns one or two records, so the fixed cost of a chunk dominates: about 1 ms,
mostly the wait for the previous batch of outputs. Records that arrive meanwhile join the waiting chunk
(`streams/worker/chunks.py`).
"""


def budget(rows: Sequence[Row], bounds: Sequence[Bound], machine: Mapping[str, object]) -> str:
    """Return the page."""
    values = {row.name: row.value or 0.0 for row in rows}
    whole = 1e6 / values[agents.ALL]
    transported = 1e6 / values[transport.OURS]
    validation = 1e6 / values[transport.VALIDATED] - transported
    processed = values["of it: decode and score"]
    detectors = {name: values[f"of it: {name}"] for name in _DETECTORS}
    stages = {
        "transport (Faust, chunks), with orjson": transported,
        "validation (beyond orjson)": validation,
        **detectors,
        "segments, rows, aggregates, rules": processed - validation - sum(detectors.values()),
        "writing outputs, snapshots, other": whole - processed - transported,
    }
    return _PAGE.format(
        **machine,
        whole=whole,
        target=1e6 / _TARGET,
        limit=1e6 / _LIMIT,
        stages="\n".join(f"| {name} | {us:.1f} | {us / whole:.0%} |" for name, us in stages.items()),
        rows="\n".join(f"| {r.name} | {_value(r)} | {_ratio(r)} |" for r in rows),
        bounds="\n".join(f"- {b.row}, {b.text}: {_outcome(b)}" for b in bounds),
    )


def _value(row: Row) -> str:
    return row.note if row.value is None else f"{figure(row.value)} {row.unit}"


def _ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f} x {row.to}"


def _outcome(bound: Bound) -> str:
    return {True: "holds", False: "does not hold", None: "not measured"}[bound.holds]
