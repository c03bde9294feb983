"""Learning from labels on sources held out from the shipped weights: cost of poisoned and other wrong labels.

    python evaluation/learning.py ../shared/data

Reads ``injection_eval.jsonl.gz`` for measurement only. 500 rows of each source are labelled, and 1,500 other rows are
scored. A source without enough harmless rows uses the harmless rows of all sources. Figures are means over three
orders.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from sklearn.metrics import roc_auc_score

from agents.base import Chunk
from agents.injection import InjectionAgent
from agents.learning import LearningConfig
from evaluation.adapters.injection import as_event
from schemas.feedback import Feedback

LABELS, TESTED, SEEDS, PEOPLE = 500, 1500, 3, 5
MIN_ATTACKS = 300

GivenLabel = tuple[int, bool, str, str]
"""Row number, label, annotator, source of the label."""


def honest(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
    del rng
    for k, label in enumerate(truth):
        yield k, label, f"person {k % PEOPLE}", "annotator"


def flipped(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
    for k, label, annotator, source in honest(truth, rng):
        yield k, label ^ bool(rng.random() < 0.2), annotator, source


def wrong_labels(source: str, lie: Callable[[bool], bool]) -> Callable[..., Iterator[GivenLabel]]:
    def scenario(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
        for k, label, annotator, honest_source in honest(truth, rng):
            yield k, lie(label), "liar", source
            yield k, label, annotator, honest_source

    return scenario


def repeated(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
    for given in honest(truth, rng):
        yield given
        yield given


def contradicted(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
    """Yield three labels of different annotators per event, a fifth of them wrong."""
    for k, label in enumerate(truth):
        for n in range(3):
            yield k, label ^ bool(rng.random() < 0.2), f"person {(k + n) % PEOPLE}", "annotator"


def missing(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[GivenLabel]:
    return (given for given in honest(truth, rng) if rng.random() < 0.5)


SCENARIOS: dict[str, Callable[..., Iterator[GivenLabel]]] = {
    "honest": honest,
    "20 % of labels flipped": flipped,
    "a user gives 500 wrong labels": wrong_labels("user", lambda label: not label),
    "a user labels 500 as attacks": wrong_labels("user", lambda _: True),
    "a user labels 500 as harmless": wrong_labels("user", lambda _: False),
    "an annotator gives 500 wrong labels": wrong_labels("annotator", lambda label: not label),
    "every label twice": repeated,
    "three labels per event, 20 % wrong": contradicted,
    "50 % of labels missing": missing,
}


def measure(data: Path) -> dict[str, Any]:
    """Return by source the AUC without labels and after 500 correct labels, and the AUC loss of each scenario."""
    with gzip.open(data / "injection_eval.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    out: dict[str, Any] = {}
    for source, attacks, harmless in _sources(rows):
        runs = [_run(attacks, harmless, seed) for seed in range(SEEDS)]
        mean = {name: round(float(np.mean([run[name] for run in runs])), 4) for name in runs[0]}
        cost = {name: round(mean["honest"] - mean[name], 4) for name in list(SCENARIOS)[1:]}
        out[source] = {"before": mean["before"], "honest": mean["honest"], "cost": cost}
        out[source]["us_per_label"] = round(mean["us"], 1)
    means = {name: round(float(np.mean([s["cost"][name] for s in out.values()])), 4) for name in list(SCENARIOS)[1:]}
    whole = {name: round(float(np.mean([s[name] for s in out.values()])), 4) for name in ("before", "honest")}
    return {"labels": LABELS, "orders": SEEDS, "mean": whole | {"cost": means}, "sources": out}


def _sources(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[str]]]:
    for source in sorted({row["src"] for row in rows}):
        attacks = [row["text"] for row in rows if row["src"] == source and row["label"]]
        own_harmless = [row["text"] for row in rows if row["src"] == source and not row["label"]]
        if len(attacks) < MIN_ATTACKS:
            continue
        enough = len(own_harmless) >= len(attacks) // 2
        yield source, attacks, own_harmless if enough else [r["text"] for r in rows if not r["label"]]


def _run(attacks: list[str], harmless: list[str], seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    size = min(len(attacks), len(harmless), (LABELS + TESTED) // 2)
    chosen = [(attacks[i], True) for i in rng.permutation(len(attacks))[:size].tolist()]
    chosen += [(harmless[i], False) for i in rng.permutation(len(harmless))[:size].tolist()]
    chosen = [chosen[i] for i in rng.permutation(len(chosen)).tolist()]
    events = [as_event({"text": text}, k) for k, (text, _) in enumerate(chosen)]
    truth = [label for _, label in chosen]
    given = min(LABELS, len(events) // 2)
    out: dict[str, float] = {}
    for name, scenario in {"before": None, **SCENARIOS}.items():
        agent = InjectionAgent(learning=LearningConfig(label_window_events=10_000, requests_per_hour=0.0))
        agent.score(Chunk(events[:given]))
        labels = list(scenario(truth[:given], np.random.default_rng(seed + 100))) if scenario else []
        start = time.perf_counter()
        for n, (k, label, annotator, source) in enumerate(labels):
            agent.learn(_feedback(events[k].call_id, n, label=label, annotator=annotator, source=source))
        if name == "honest":
            out["us"] = (time.perf_counter() - start) / len(labels) * 1e6
        agent.score(Chunk(events[given:]))
        buffered = [agent.learner.label_buffer.get((e.tenant, e.app, e.call_id)) for e in events[given:]]
        scores = np.array([-99.0 if event is None else event.margin for event in buffered])
        out[name] = float(roc_auc_score(truth[given:], scores))
    return out


def _feedback(call: str, n: int, *, label: bool, annotator: str, source: Any) -> Feedback:
    return Feedback(
        feedback_id=f"f{n}", call_id=call, time="2026-01-01T00:00:00Z", tenant="eval", app="eval", signal="injection",
        label=label, source=source, user_id=annotator,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with injection_eval.jsonl.gz")
    print(json.dumps(measure(parser.parse_args().data), indent=1))


if __name__ == "__main__":
    main()
