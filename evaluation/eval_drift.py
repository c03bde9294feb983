"""Measure false alarms, delays and cost of the drift agent for ``docs/models/drift.md``.

    python -m evaluation.eval_drift null|scalars|text|words|flags|streams|cost|calibration DATA

DATA is the folder with ``drift.jsonl.gz``.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from agents.base import Chunk
from agents.common.flag_rate import FlagRateMonitor
from agents.drift import DriftAgent, DriftConfig, adwin
from agents.drift.alarm_report import TEXT_FEATURES
from agents.drift.calibration import calibrate
from agents.drift.chunk_kernel import advance
from agents.drift.columns import Columns
from agents.drift.control_limits import control_limits
from agents.drift.layout import (
    CATEGORIES,
    FIRST_CATEGORICAL,
    NAME_BYTES,
    OUTPUT,
    SCALARS,
    SEGMENT,
    SIGNALS,
    TEXT,
    empty_pool,
)
from agents.drift.word_embedding import DIMENSIONS
from evaluation.adapters.drift import changes_of
from evaluation.drift_causes import read
from schemas.event import LLMEvent

Rows = list[dict[str, Any]]
FLAG_RATES = (0.03, 0.01)
WORDED = {SIGNALS[feature] for feature in TEXT_FEATURES}
LATENCY, REFUSAL = SCALARS.index("latency_ms"), SCALARS.index("refusal")


def streams(data: Path) -> dict[int, Rows]:
    """Return the rows by stream."""
    by_stream: dict[int, Rows] = defaultdict(list)
    with gzip.open(data / "drift.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            by_stream[row["stream"]].append(row)
    return by_stream


def before(rows: Rows) -> list[str]:
    return [r["text"] for r in rows[: rows[0]["change_at"] or len(rows)]]


def null(data: Path) -> None:
    """Print the false alarms without a change: each stream up to its change, shuffled ten times, and normal scalars."""
    for stated in (2_000, 10_000):
        config = DriftConfig(events_per_false_alarm=stated)
        monitored, signals = 0, Counter[str]()
        for k, rows in streams(data).items():
            texts = before(rows)
            for seed in range(10):
                order = np.random.default_rng((seed, k)).permutation(len(texts))
                alarms = changes_of([texts[i] for i in order], config)
                monitored += len(texts) - config.reference_events * (1 + len(alarms))
                signals.update(c.signal for _, c in alarms)
        _print_alarms("texts", stated, monitored, signals)
        for waves in (0.0, 0.5, 0.8):
            monitored, signals = 0, Counter()
            for seed in range(60):
                alarms = [name for _, name in scalar_alarms(_wavy(synthetic(10_000, seed), waves), config)]
                monitored += 10_000 - config.reference_events * (1 + len(alarms))
                signals.update(alarms)
            _print_alarms(f"scalars, latency AR(1) of {waves}", stated, monitored, signals)


def _print_alarms(name: str, stated: int, monitored: int, signals: Counter[str]) -> None:
    count = sum(signals.values())
    print(
        f"{name}: nominal {stated}, {monitored} events, {count} alarms, one in {monitored // max(count, 1)}", end="; "
    )
    print(dict(signals.most_common()))


def synthetic(n: int, seed: int, shift: float = 0.0, at: int = 0, feature: int = 2) -> Columns:
    """Return events without text: seven log-normal values, two flags, three categories; one value shifts at ``at``."""
    rng = np.random.default_rng(seed)
    scalars = np.full((n, FIRST_CATEGORICAL), np.nan)
    scalars[:, :7] = 5.0 + 0.5 * rng.standard_normal((n, 7))
    scalars[:, REFUSAL : REFUSAL + 2] = rng.random((n, 2)) < FLAG_RATES
    scalars[at:, feature] += 0.5 * shift if feature < REFUSAL else 0.0
    if feature == REFUSAL and shift:
        scalars[at:, feature] = rng.random(n - at) < shift
    rates = (0.02, 0.001, 0.05, 0.1, 0.3, 0.001, 0.001, 0.001)
    values = 1 + (rng.random((n, len(CATEGORIES))) < rates).astype(np.int64)
    at_ms = np.arange(n, dtype=np.int64)
    codes, names = np.array([0, 11, 13], np.uint64), np.zeros((3, NAME_BYTES), np.uint8)
    none, no_words = np.zeros(n + 1, np.int64), np.zeros((1, 2), np.int64)
    return Columns(
        *(at_ms, at_ms, scalars, values, codes, names, np.zeros((n, DIMENSIONS)), none, codes, no_words, names[0]),
        np.ones(n, np.uint16),
    )


def _wavy(data: Columns, correlation: float) -> Columns:
    """Correlate each latency with the previous one (AR(1))."""
    values = data.scalars[:, 2]
    for i in range(1, len(values)):
        noise = (values[i] - 5.0) * np.sqrt(1.0 - correlation**2)
        values[i] = 5.0 + correlation * (values[i - 1] - 5.0) + noise
    return data


def scalar_alarms(data: Columns, config: DriftConfig) -> Iterator[tuple[int, str]]:
    """Yield index and signal of each alarm of one segment."""
    rows, pool, n, alarm, at = np.zeros(1, SEGMENT), empty_pool(1), len(data.times), np.zeros(3), 0
    owner, distances, strange = np.zeros(n, np.int64), np.zeros(n), np.zeros(n, np.bool_)
    work, bounds = (np.zeros(DIMENSIONS), np.zeros(TEXT), np.zeros(len(OUTPUT))), control_limits(config)
    while (at := advance(at, n, rows, pool, owner, data, bounds, work, distances, strange, alarm)) < n:
        if alarm[0] == 0.0:
            calibrate(rows[0], pool, bounds)
        else:
            yield at, SIGNALS[int(alarm[1])] + (" (ADWIN)" if alarm[2] == 2 else "")
            rows[0] = np.zeros((), SEGMENT)
            pool = empty_pool(1)
        at += 1


def scalars(_: Path) -> None:
    """Print the median delay of 40 runs after a change at event 1500, for the agent and for ADWIN alone."""
    cases = [(LATENCY, s) for s in (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)] + [(REFUSAL, p) for p in (0.05, 0.1, 0.3, 1.0)]
    for feature, shift in cases:
        delays, signals, adwin_delays = [], Counter[str](), []
        for seed in range(40):
            data = synthetic(7_500, seed, shift, 1500, feature)
            alarms = [(i, s) for i, s in scalar_alarms(data, DriftConfig()) if i >= 1500]
            delays.append(alarms[0][0] - 1500 if alarms else np.inf)
            signals.update(s for _, s in alarms[:1])
            values = data.scalars[:, feature]
            adwin_delays.append(_adwin_delay(*((values, 0.03) if feature == REFUSAL else ((values - 3.0) / 4.0, 0.1))))
        case = f"latency_ms +{shift} sd" if feature == LATENCY else f"refusal {FLAG_RATES[0]} -> {shift}"
        print(f"{case}: agent {np.median(delays)} {dict(signals)}, ADWIN alone {np.median(adwin_delays)}")


def _adwin_delay(values: np.ndarray[Any, Any], delta: float) -> float:
    window, totals, counts = np.zeros(5), np.zeros((24, 6)), np.zeros(24, np.int64)
    variances = np.zeros_like(totals)
    for i, value in enumerate(values.tolist()):
        if adwin.update(window, totals, variances, counts, value, delta, 32, 5.0, 10.0) and i >= 1500:
            return i - 1500
    return np.inf


def text(data: Path) -> None:
    """Print the median delay by stream over 20 shuffles before and after the change, and for a full change of topic."""
    by_stream = streams(data)
    for k, rows in by_stream.items():
        if rows[0]["change_at"]:
            old, new = before(rows), [r["text"] for r in rows[rows[0]["change_at"] :]]
            _delays(f"stream {k} {rows[0]['kind']} {rows[0]['mix']}", old, new, gradual=rows[0]["kind"] == "gradual")
    for a, b in ((10, 8), (8, 10)):
        _delays(f"stream {a} -> stream {b}, all at once", before(by_stream[a])[:1500], before(by_stream[b])[:1500])
        for share in (0.3, 0.1):
            _mixed(f"stream {a}, then {share:.0%} of stream {b}", before(by_stream[a]), before(by_stream[b]), share)


def _mixed(name: str, old: list[str], new: list[str], share: float) -> None:
    """Print the delays if a share of the texts comes from another stream of similar length and language."""
    delays, signals = [], Counter[str]()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        baseline, other = ([texts[i] for i in rng.permutation(len(texts))] for texts in (old, new))
        head, rest = baseline[:1500], baseline[1500:]
        tail = [other[i] if rng.random() < share else text for i, text in enumerate(rest)]
        late = [(i - len(head), c.signal) for i, c in changes_of(head + tail) if i >= len(head)]
        delays.append(late[0][0] if late else np.inf)
        signals.update(s for _, s in late[:1])
    _print_delays(name, delays, signals)


def _delays(name: str, old: list[str], new: list[str], *, gradual: bool = False) -> None:
    delays, signals = [], Counter[str]()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        head = [old[i] for i in rng.permutation(len(old))]
        tail = new if gradual else [new[i] for i in rng.permutation(len(new))]
        late = [(i - len(head), c.signal) for i, c in changes_of(head + tail) if i >= len(head)]
        delays.append(late[0][0] if late else np.inf)
        signals.update(s for _, s in late[:1])
    _print_delays(name, delays, signals)


def _print_delays(name: str, delays: list[float], signals: Counter[str]) -> None:
    low, middle, high = np.quantile(delays, (0.1, 0.5, 0.9), method="lower")
    print(f"{name}: median {middle}, 10-90 % {low} to {high}, {dict(signals)}")


def words(data: Path) -> None:
    """Print how many words and events of text alarms belong to the change, over 10 shuffles of each case."""
    by_stream, texts = streams(data), read(data)
    cases = {
        f"stream {k} {rows[0]['kind']} {rows[0]['mix']}": (
            before(rows),
            [r["text"] for r in rows[len(before(rows)) :]],
            1.0,
        )
        for k, rows in by_stream.items()
        if rows[0]["change_at"]
    }
    for a, b in ((10, 8), (8, 10)):
        cases |= {
            f"stream {a}, {s:.0%} of {b}": (before(by_stream[a]), before(by_stream[b]), s) for s in (1.0, 0.3, 0.1)
        }
    for share in (0.3, 0.1, 0.05):
        cases[f"stream 10, {share:.0%} attacks"] = before(by_stream[10]), list(texts.attacks), share
    total = Counter[str]()
    for name, (old, new, share) in cases.items():
        counted = Counter[str]()
        for seed in range(10):
            counted += _named(old, new, share, seed)
        total += counted
        print(f"{name}: {_shares(counted)}")
    print(f"all: {_shares(total)}")


def _named(old: list[str], new: list[str], share: float, seed: int) -> Counter[str]:
    rng = np.random.default_rng(seed)
    baseline, other = ([texts[i] for i in rng.permutation(len(texts))] for texts in (old, new))
    head, rest = baseline[:1000], baseline[1000:1500]
    kinds = rng.random(len(rest)) < share
    tail = [other[i] if kind else text for i, (text, kind) in enumerate(zip(rest, kinds, strict=False))]
    counted = Counter[str](runs=1)
    late = [(i, c) for i, c in changes_of(head + tail) if i >= len(head) and c.signal.split(".")[1] in WORDED]
    for _, change in late[:1]:
        counted["alarms"] += 1
        for name, terms, sign in (("gained", change.terms_gained, 1), ("lost", change.terms_lost, -1)):
            counted[name] += len(terms)
            counted[f"{name} right"] += sum(sign * _moved(term, old, new) > 2.0 for term in terms)
        places = [int(event_id.removeprefix("row-")) - len(head) for event_id in change.event_ids]
        counted["events"] += len(places)
        counted["events right"] += sum(place >= 0 and bool(kinds[place]) for place in places)
    return counted


def _moved(term: str, old: list[str], new: list[str]) -> float:
    """Return the difference between the fractions of texts with a word, in standard errors."""
    word = re.compile(
        rf"(?<![^\W\d_]){re.escape(term)}" + ("" if len(term.encode()) > 12 or not term.isascii() else r"(?![^\W\d_])"),
        re.IGNORECASE,
    )
    n, m = len(old), len(new)
    p, q = (sum(bool(word.search(text[:1024])) for text in texts) / len(texts) for texts in (old, new))
    pooled = (n * p + m * q) / (n + m)
    return (q - p) / math.sqrt(max(pooled * (1.0 - pooled), 1e-9) * (1 / n + 1 / m))


def _shares(counted: Counter[str]) -> str:
    return (
        ", ".join(f"{name} {counted[name + ' right']} of {counted[name]}" for name in ("gained", "lost", "events"))
        + f" ({counted['alarms']} alarms in {counted['runs']} runs)"
    )


def flags(_: Path) -> None:
    """Print the delay of `agents.common.flag_rate` for a rise to 2 %, and its false alarms at constant rates."""
    for baseline, risen, events_before in (
        (0.0, 0.02, 400),
        (0.0, 0.02, 1000),
        (0.0, 0.02, 3600),
        (0.001, 0.021, 3600),
        (0.002, 0.018, 3600),
    ):
        delays = [_flag_delay(baseline, risen, events_before, seed) for seed in range(201)]
        low, middle, high = np.quantile(delays, (0.1, 0.5, 0.9), method="lower")
        print(f"{baseline:.1%} -> {risen:.1%} after {events_before} events: median {middle}, 10-90 % {low} to {high}")
    events = alarms = 0
    for rate in (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.45):
        for seed in range(20):
            draw, cusum = np.random.default_rng(seed).random(5_000) < rate, FlagRateMonitor()
            alarms += sum(cusum.update(("t", "a"), bool(f), i, i, "e") is not None for i, f in enumerate(draw))
            events += 5_000 - cusum.config.reference_events
    print(f"constant rates of 0.05 to 45 %: {events} events, {alarms} alarms, one in {events // max(alarms, 1)}")


def _flag_delay(baseline: float, risen: float, events_before: int, seed: int) -> float:
    draw, cusum = np.random.default_rng(seed).random(events_before + 6_000), FlagRateMonitor()
    for i, u in enumerate(draw.tolist()):
        change = cusum.update(("t", "a"), u < (baseline if i < events_before else risen), i, i, "e")
        if change is not None and i >= events_before:
            return i - events_before + 1
    return np.inf


def calibration(_: Path) -> None:
    """Print the milliseconds of the calibration of one segment with all features."""
    took = []
    for seed in range(9):
        data, rng, bounds = synthetic(900, seed), np.random.default_rng(seed), control_limits(DriftConfig())
        data.vectors[:] = 0.18 * rng.standard_normal(data.vectors.shape)
        data.first[:] = np.arange(901)
        data = data._replace(words=rng.integers(1, 2**62, 901).astype(np.uint64), spans=np.zeros((901, 2), np.int64))
        rows, pool, alarm = np.zeros(1, SEGMENT), empty_pool(1), np.zeros(3)
        owner, distances, strange = np.zeros(900, np.int64), np.zeros(900), np.zeros(900, np.bool_)
        work = (np.zeros(DIMENSIONS), np.zeros(TEXT), np.zeros(len(OUTPUT)))
        at = advance(0, 900, rows, pool, owner, data, bounds, work, distances, strange, alarm)
        if at < 900 and alarm[0] == 0.0:
            start = time.perf_counter()
            calibrate(rows[0], pool, bounds)
            took.append(time.perf_counter() - start)
    print(f"calibration: {1e3 * min(took):.1f} ms at best, median {1e3 * float(np.median(took)):.1f}")


def in_order(data: Path) -> None:
    """Print the alarms of each stream in its original order."""
    for k, rows in streams(data).items():
        first = rows[0]
        alarms = changes_of([r["text"] for r in rows])
        print(f"{k} {first['kind']} {first['mix']} change at {first['change_at']}:", end=" ")
        print([(i, c.signal, c.since_offset, c.terms_gained[:5], c.terms_lost[:5]) for i, c in alarms])


def cost(_: Path) -> None:
    """Print the cost per event of 2.4 kB in chunks of 256 (best of six), the record size and the time of `state`."""
    print(f"record: {SEGMENT.itemsize} bytes")
    for apps in (10, 10_000):
        agent, events = DriftAgent(), [_event(i, apps) for i in range(10_240)]
        best = np.inf
        for _ in range(6):
            chunks = [Chunk(events[k : k + 256]) for k in range(0, len(events), 256)]
            for chunk in chunks:
                _ = chunk.texts, chunk.times
            start = time.perf_counter()
            for chunk in chunks:
                agent.score(chunk)
            best = min(best, (time.perf_counter() - start) / len(events))
        start = time.perf_counter()
        agent.state()
        took = time.perf_counter() - start
        print(f"{len(agent.segments)} segments: {best * 1e6:.1f} us per event, state in {took * 1e3:.0f} ms")


WORDS = ("account", "balance", "card", "transfer", "limit", "fee", "dose", "tablet", "the", "of", "to", "how", "please")


def _event(i: int, apps: int) -> LLMEvent:
    rng = np.random.default_rng(i)
    prompt, document, answer = (" ".join(rng.choice(WORDS, k)) for k in (170, 130, 90))
    return LLMEvent.model_validate(
        {
            "event_id": f"e{i}",
            "call_id": f"c{i}",
            "time": "2026-01-01T00:00:00Z",
            "tenant": "acme",
            "app": f"app{i % apps}",
            "request_model": "m",
            "prompt_version": "v1",
            "messages": [{"role": "system", "content": "You help."}, {"role": "user", "content": prompt}],
            "documents": [{"text": document}],
            "choices": [{"content": answer, "finish_reason": "stop"}],
            "usage": {"input_tokens": int(rng.integers(50, 500)), "output_tokens": int(rng.integers(5, 200))},
            "cost_usd": 0.001,
            "latency_ms": rng.lognormal(6, 0.4),
            "ttft_ms": 100.0,
        }
    )


if __name__ == "__main__":
    {
        "null": null,
        "scalars": scalars,
        "text": text,
        "words": words,
        "flags": flags,
        "streams": in_order,
        "cost": cost,
        "calibration": calibration,
    }[sys.argv[1]](Path(sys.argv[2]))
