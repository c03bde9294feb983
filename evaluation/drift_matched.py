"""Comparison of drift detectors: delay at an equal rate of false alarms.

    python -m evaluation.drift_matched DATA [RUNS]

DATA is the folder with ``drift.jsonl.gz``. Each method has one sensitivity parameter. For each kind of stream, the
parameter is set to the most sensitive value of its grid with at most one false alarm in ``EVENTS_PER_ALARM`` events of
streams without a change. The delays on streams with a change are measured at that setting, so that no method gains or
loses from its defaults. The reference is the first 600 events.

Texts: ADWIN, Page-Hinkley, HDDM-A and HDDM-W (from river) and a CUSUM use the distance of each text from the reference
in the agent's own embedding (HDDM: 1 if the distance exceeds the reference's 95 % quantile). MEWMA and RFF-MMD (a
kernel two-sample statistic on random Fourier features against a moving average) use the embedding. "streamgauge" is the
whole agent. River's generators: the 0/1 error of a naive Bayes classifier of the reference when the concept of SEA
changes, and seven features of a random RBF stream when its centroids are redrawn; "streamgauge" is the agent's charts
of a flag and of measured values.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from river import datasets, naive_bayes
from river.drift import ADWIN, PageHinkley
from river.drift.binary import HDDMA, HDDMW

from agents.base import Chunk
from agents.drift import DriftConfig
from agents.drift.columns import extract_columns
from evaluation.adapters.drift import as_event, changes_of
from evaluation.eval_drift import REFUSAL, before, scalar_alarms, streams, synthetic

Vector: TypeAlias = "NDArray[np.float64]"
REFERENCE, QUIET, CHANGED = 600, 1_800, 900
EVENTS_PER_ALARM = 5_000
_MISSED = 99_999


@dataclass(frozen=True, slots=True)
class Stream:
    """Stream of one run: the reference, then further events; events from ``change`` on are changed (None: no change).

    Attributes
    ----------
    values
        float64[n, d], input of the vector methods.
    binary
        True if the values are 0 and 1.
    texts
        Input of the agent; empty for streams of numbers.
    """

    values: Vector
    change: int | None
    binary: bool = False
    texts: Sequence[str] = ()


Method: TypeAlias = Callable[[Stream, Sequence[float]], list[int]]
"""Function that returns the position of the first alarm after the reference for each setting; `_MISSED` without one."""


def _whitened(stream: Stream) -> Vector:
    head = stream.values[:REFERENCE]
    cov = np.cov(head.T).reshape(head.shape[1], -1)
    cov += 0.02 * np.trace(cov) / len(cov) * np.eye(len(cov))
    white: Vector = np.linalg.solve(np.linalg.cholesky(cov), (stream.values - head.mean(0)).T).T
    return white


def _univariate(stream: Stream) -> Vector:
    """Return one number per event: the value of a flag, or the distance scaled to 0..1 on the reference."""
    if stream.binary:
        return stream.values[:, 0]
    distance = np.sqrt((_whitened(stream) ** 2).sum(1))
    low, high = distance[:REFERENCE].min(), distance[:REFERENCE].max()
    scaled: Vector = np.clip((distance - low) / max(high - low, 1e-9), 0.0, 2.0)
    return scaled


def _crossings(statistic: Vector, grid: Sequence[float]) -> list[int]:
    """Return the first position after the reference at which a statistic reaches each limit."""
    highest = np.maximum.accumulate(statistic[REFERENCE:])
    positions = np.searchsorted(highest, grid) + REFERENCE
    return [int(p) if p < len(statistic) else _MISSED for p in positions]


def _cusum(stream: Stream, grid: Sequence[float]) -> list[int]:
    """Run Page's CUSUM (1954): the larger of two one-sided sums of standardised values with an allowance of 0.25."""
    x = _univariate(stream)
    z = (x - x[:REFERENCE].mean()) / max(x[:REFERENCE].std(), 0.05)
    out, up, down = np.zeros(len(z)), 0.0, 0.0
    for i in range(REFERENCE, len(z)):
        up, down = max(0.0, up + z[i] - 0.25), max(0.0, down - z[i] - 0.25)
        out[i] = max(up, down)
    return _crossings(out, grid)


def _mewma(stream: Stream, grid: Sequence[float]) -> list[int]:
    """Run the MEWMA of Lowry et al. (1992) with weight 0.03."""
    white, average, out = _whitened(stream), np.zeros(stream.values.shape[1]), np.zeros(len(stream.values))
    for i in range(REFERENCE, len(white)):
        average += 0.03 * (white[i] - average)
        out[i] = average @ average / (0.03 / 1.97 + 1.0 / REFERENCE)
    return _crossings(out, grid)


@cache
def _frequencies(dimensions: int) -> tuple[Vector, Vector]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((dimensions, 128)) / np.sqrt(dimensions), rng.uniform(0, 2 * np.pi, 128)


def _mmd(stream: Stream, grid: Sequence[float]) -> list[int]:
    """Run RFF-MMD: Rahimi and Recht (2007) features, Gretton et al. (2012) statistic, moving average of weight 0.03."""
    weights, phase = _frequencies(stream.values.shape[1])
    features = np.sqrt(2.0 / 128) * np.cos(_whitened(stream) @ weights + phase)
    mean, average, out = features[:REFERENCE].mean(0), features[:REFERENCE].mean(0), np.zeros(len(features))
    for i in range(REFERENCE, len(features)):
        average = average + 0.03 * (features[i] - average)
        out[i] = ((average - mean) ** 2).sum()
    return _crossings(out, grid)


def _river(make: Callable[[float], Any], *, flags: bool = False) -> Method:
    def run(stream: Stream, grid: Sequence[float]) -> list[int]:
        x = _univariate(stream)
        if flags and not stream.binary:
            x = (x > np.quantile(x[:REFERENCE], 0.95)).astype(np.float64)
        return [_first(make(setting), x.tolist()) for setting in grid]

    return run


def _first(detector: Any, values: Sequence[float]) -> int:
    for i, value in enumerate(values):
        detector.update(value)
        if i >= REFERENCE and detector.drift_detected:
            return i
    return _MISSED


def _streamgauge(stream: Stream, grid: Sequence[float]) -> list[int]:
    """Run the agent, or its charts on a stream of numbers, at each nominal number of events per false alarm."""
    return [next((i for i in _alarms(stream, int(stated)) if i >= REFERENCE), _MISSED) for stated in grid]


def _alarms(stream: Stream, stated: int) -> list[int]:
    config = DriftConfig(events_per_false_alarm=stated)
    if stream.texts:
        return [i for i, _ in changes_of(stream.texts, config)]
    data = synthetic(len(stream.values), 0)
    data.scalars[:] = np.nan
    data.values[:] = 0
    if stream.binary:
        data.scalars[:, REFUSAL] = stream.values[:, 0]
    else:
        data.scalars[:, : stream.values.shape[1]] = 5.0 + stream.values
    return [i for i, _ in scalar_alarms(data, config)]


METHODS: Mapping[str, tuple[Method, Sequence[float]]] = {
    "ADWIN": (_river(lambda d: ADWIN(delta=d)), (0.9, 0.5, 0.2, 0.05, 0.01, 1e-3, 1e-4, 1e-6)),
    "CUSUM": (_cusum, tuple(np.arange(3.0, 60.0, 0.5))),
    "Page-Hinkley": (
        _river(lambda t: PageHinkley(min_instances=30, delta=0.005, threshold=t)),
        (1, 1.5, 2, 3, 4, 6, 8, 12, 18, 27, 40),
    ),
    "HDDM-A": (
        _river(lambda c: HDDMA(drift_confidence=c, two_sided_test=True), flags=True),
        (0.1, 0.03, 0.01, 1e-3, 1e-4, 1e-5, 1e-7),
    ),
    "HDDM-W": (
        _river(lambda c: HDDMW(drift_confidence=c, two_sided_test=True), flags=True),
        (0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 1e-10),
    ),
    "MEWMA": (_mewma, tuple(np.arange(10.0, 150.0, 1.0))),
    "RFF-MMD": (_mmd, tuple(np.arange(0.004, 0.4, 0.001))),
    "streamgauge": (_streamgauge, (100, 300, 1_000, 2_000, 4_000, 8_000, 16_000)),
}
"""Methods with their grids, the most sensitive setting first."""


def texts(data: Path, seed: int, case: str) -> Stream:
    """Return a run on the texts of the drift streams; ``case`` is a key of `TEXT_CASES` or ``quiet``."""
    rows, rng = _texts(data), np.random.default_rng((seed, len(case)))
    old = rows[10] if case == "quiet" else rows[TEXT_CASES[case][0]]
    head = [old[i] for i in rng.permutation(len(old))[:QUIET]]
    if case == "quiet":
        return Stream(_embedded(head), None, texts=head)
    _, new, share = TEXT_CASES[case]
    changed = [rows[new][i] for i in rng.permutation(len(rows[new]))]
    unchanged = [old[i] for i in rng.permutation(len(old))]
    tail = [
        changed.pop() if changed and rng.random() < share else unchanged[i % len(unchanged)] for i in range(CHANGED)
    ]
    head = head[:1_200]
    return Stream(_embedded(head + tail), len(head), texts=head + tail)


TEXT_CASES: Mapping[str, tuple[int, int, float]] = {
    "all texts of another kind": (10, 8, 1.0),
    "30 % of another kind": (10, 8, 0.3),
    "10 % of another kind": (10, 8, 0.1),
    "10 % jailbreaks (stream 4 after its change)": (-4, 4, 1.0),
    "20 % Korean (stream 6 after its change)": (-6, 6, 1.0),
}
"""Streams before and after the change, and the share of the second; a negative number is a stream up to its change."""


@cache
def _texts(data: Path) -> dict[int, list[str]]:
    by_stream = {}
    for k, rows in streams(data).items():
        at = rows[0]["change_at"] or 0
        by_stream[k], by_stream[-k] = [r["text"] for r in rows[at:]], before(rows)
    return by_stream


def _embedded(texts: Sequence[str]) -> Vector:
    chunk = Chunk([as_event(text, i) for i, text in enumerate(texts)])
    return extract_columns(chunk, 1024).vectors


def sea(seed: int, *, changed: bool) -> Stream:
    """Return the errors of a classifier of the first concept."""
    first = islice(datasets.synth.SEA(variant=0, seed=seed, noise=0.1), 1_400 + QUIET)
    second = islice(datasets.synth.SEA(variant=3, seed=seed + 1_000, noise=0.1), CHANGED)
    model, errors = naive_bayes.GaussianNB(), []
    for i, (x, y) in enumerate([*first, *second]):
        if i < 1_400:
            model.learn_one(x, y)
        else:
            errors.append(float(model.predict_one(x) != y))
    values = np.array(errors)[:, None]
    if not changed:
        return Stream(values[:QUIET], None, binary=True)
    return Stream(np.concatenate((values[:1_200], values[QUIET:])), 1_200, binary=True)


def rbf(seed: int, *, changed: bool) -> Stream:
    """Return the features of a mixture with redrawn centroids."""

    def draw(model: int, n: int, part: int) -> Vector:
        generator = datasets.synth.RandomRBF(seed_model=model, seed_sample=part, n_features=7, n_centroids=20)
        return np.array([list(x.values()) for x, _ in islice(generator, n)])

    head = draw(seed, 1_200 if changed else QUIET, 1)
    if not changed:
        return Stream(head, None)
    return Stream(np.concatenate((head, draw(seed + 1_000, CHANGED, 2))), len(head))


def measure(data: Path, runs: int = 30) -> dict[str, Any]:
    """Return by kind of stream and method the setting, its false alarms, and the delays by case."""
    kinds: dict[str, tuple[list[Stream], dict[str, list[Stream]]]] = {
        "texts": (
            [texts(data, seed, "quiet") for seed in range(3 * runs)],
            {case: [texts(data, seed, case) for seed in range(runs)] for case in TEXT_CASES},
        ),
        "river SEA, errors of a classifier": (
            [sea(seed, changed=False) for seed in range(3 * runs)],
            {"concept 0 -> 3": [sea(seed, changed=True) for seed in range(runs)]},
        ),
        "river RandomRBF, seven features": (
            [rbf(seed, changed=False) for seed in range(3 * runs)],
            {"other centroids": [rbf(seed, changed=True) for seed in range(runs)]},
        ),
    }
    return {
        "events_per_false_alarm_at_least": EVENTS_PER_ALARM,
        "runs": runs,
        "kinds": {kind: {name: _matched(name, *runs_) for name in METHODS} for kind, runs_ in kinds.items()},
    }


def _matched(name: str, quiet: Sequence[Stream], cases: Mapping[str, Sequence[Stream]]) -> dict[str, Any]:
    method, grid = METHODS[name]
    firsts = np.array([method(stream, grid) for stream in quiet])
    lengths = np.array([len(stream.values) for stream in quiet])[:, None]
    # Every run ends at its first alarm: alarms per observed event estimate the rate under censoring.
    observed = (np.minimum(firsts, lengths) - REFERENCE).sum(0)
    alarms = (firsts < _MISSED).sum(0)
    allowed = [k for k in range(len(grid)) if alarms[k] * EVENTS_PER_ALARM <= observed[k]]
    at = allowed[0] if allowed else len(grid) - 1
    delays = {case: _delays([method(s, grid[at : at + 1])[0] for s in runs], runs) for case, runs in cases.items()}
    return {"setting": float(grid[at]), "false_alarms": int(alarms[at]), "events": int(observed[at]), "delays": delays}


def _delays(positions: Sequence[int], runs: Sequence[Stream]) -> dict[str, float]:
    """Return median delay and missed runs; runs with an alarm before the change are excluded and counted."""
    late = [p - (s.change or 0) for p, s in zip(positions, runs, strict=True) if p >= (s.change or 0)]
    missed = sum(d >= CHANGED for d in late)
    median = float(np.median(late)) if late else float("nan")
    return {"median": median if median < CHANGED else -1.0, "missed": missed, "early": len(runs) - len(late)}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), *map(int, sys.argv[2:])), indent=1))
