"""Learning from labels on sources that the weights which ship never saw: what poisoned and other bad labels cost.

    python evaluation/learning.py ../shared/data

Opens ``injection_eval.jsonl.gz``, to measure only. Of each source 500 rows are labelled and 1,500 others scored; a
source without harmless (or without enough) rows of its own takes them from all the others. Figures are means over
three orders.
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

from agents.base import Chunk
from agents.injection import InjectionAgent
from agents.learning import LearningConfig
from evaluation.adapters.injection import as_event
from schemas.feedback import Feedback
from tools.evaluation.ranking_metrics import auc, rank

LABELS, TESTED, SEEDS, PEOPLE = 500, 1500, 3, 5
LEAST_ATTACKS = 300

Said = tuple[int, bool, str, str]
"""Which row, what is said of it, by whom, as what."""


def honest(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
    del rng
    for k, label in enumerate(truth):
        yield k, label, f"person {k % PEOPLE}", "annotator"


def flipped(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
    for k, label, who, source in honest(truth, rng):
        yield k, label ^ bool(rng.random() < 0.2), who, source


def liar(source: str, lie: Callable[[bool], bool]) -> Callable[..., Iterator[Said]]:
    def story(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
        for k, label, who, honest_source in honest(truth, rng):
            yield k, lie(label), "liar", source
            yield k, label, who, honest_source

    return story


def repeated(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
    for said in honest(truth, rng):
        yield said
        yield said


def contradicted(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
    """Three people on each event, each wrong in a fifth."""
    for k, label in enumerate(truth):
        for n in range(3):
            yield k, label ^ bool(rng.random() < 0.2), f"person {(k + n) % PEOPLE}", "annotator"


def missing(truth: Sequence[bool], rng: np.random.Generator) -> Iterator[Said]:
    return (said for said in honest(truth, rng) if rng.random() < 0.5)


STORIES: dict[str, Callable[..., Iterator[Said]]] = {
    "honest": honest,
    "a fifth flipped": flipped,
    "a user contradicts all 500": liar("user", lambda label: not label),
    "a user labels all 500 true": liar("user", lambda _: True),
    "a user labels all 500 false": liar("user", lambda _: False),
    "an annotator contradicts all 500": liar("annotator", lambda label: not label),
    "every label twice": repeated,
    "three labels each, a fifth of them wrong": contradicted,
    "half missing": missing,
}


def measure(data: Path) -> dict[str, Any]:
    """Return, by source, AUC before any label, after 500 honest ones, and what each kind of bad labels costs."""
    with gzip.open(data / "injection_eval.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    out: dict[str, Any] = {}
    for source, attacks, harmless in _sources(rows):
        runs = [_run(attacks, harmless, seed) for seed in range(SEEDS)]
        mean = {name: round(float(np.mean([run[name] for run in runs])), 4) for name in runs[0]}
        cost = {name: round(mean["honest"] - mean[name], 4) for name in list(STORIES)[1:]}
        out[source] = {"before": mean["before"], "honest": mean["honest"], "cost": cost}
        out[source]["us_per_label"] = round(mean["us"], 1)
    means = {name: round(float(np.mean([s["cost"][name] for s in out.values()])), 4) for name in list(STORIES)[1:]}
    whole = {name: round(float(np.mean([s[name] for s in out.values()])), 4) for name in ("before", "honest")}
    return {"labels": LABELS, "orders": SEEDS, "mean": whole | {"cost": means}, "sources": out}


def _sources(rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[str]]]:
    for source in sorted({row["src"] for row in rows}):
        attacks = [row["text"] for row in rows if row["src"] == source and row["label"]]
        own = [row["text"] for row in rows if row["src"] == source and not row["label"]]
        if len(attacks) < LEAST_ATTACKS:
            continue
        yield source, attacks, own if len(own) >= len(attacks) // 2 else [r["text"] for r in rows if not r["label"]]


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
    for name, story in {"before": None, **STORIES}.items():
        agent = InjectionAgent(learning=LearningConfig(label_window_events=10_000, requests_per_hour=0.0))
        agent.score(Chunk(events[:given]))
        labels = list(story(truth[:given], np.random.default_rng(seed + 100))) if story else []
        begin = time.perf_counter()
        for n, (k, label, who, source) in enumerate(labels):
            agent.learn(_feedback(events[k].call_id, n, label=label, who=who, source=source))
        if name == "honest":
            out["us"] = (time.perf_counter() - begin) / len(labels) * 1e6
        agent.score(Chunk(events[given:]))
        seen = [agent.learner.label_buffer.get((e.tenant, e.app, e.call_id)) for e in events[given:]]
        scores = np.array([-99.0 if event is None else event.margin for event in seen])
        out[name] = auc(rank(np.array(truth[given:]), scores)) or 0.0
    return out


def _feedback(call: str, n: int, *, label: bool, who: str, source: Any) -> Feedback:
    return Feedback(
        feedback_id=f"f{n}", call_id=call, time="2026-01-01T00:00:00Z", tenant="eval", app="eval", signal="injection",
        label=label, source=source, user_id=who,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with injection_eval.jsonl.gz")
    print(json.dumps(measure(parser.parse_args().data), indent=1))


if __name__ == "__main__":
    main()
