"""Train, measure and document the hallucination agent: ``python benchmarks/train_hallucination.py DATA_FOLDER``.

Writes ``agents/hallucination/weights.json`` (from hallucination_train only) and ``docs/models/hallucination.md``. The
same data give the same weights.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk
from agents.hallucination.agent import HallucinationAgent, HallucinationConfig
from agents.hallucination.features import ADDRESSES_ANY, FEATURES, NAMES_ANY, SUPPORT, WORDS
from agents.hallucination.model import SignedLogistic, probability
from agents.hallucination.rows import as_event, feature_rows

Row = Mapping[str, Any]
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "agents/hallucination/weights.json"
CARD = ROOT / "docs/models/hallucination.md"
STEPS, L2, SEED, LABELS = 1500, 0.02, 7, 300
FALSE_POSITIVES = 0.10

TABLE_HEAD = "| source | rows | unsupported | AUC | AUC of word overlap | recall | false positives |"
HEAD = """# Model card: hallucination

Written by `benchmarks/train_hallucination.py`; change it there.

What it is: logistic regression with sign constraints over {features} lexical features of a response against its
documents and tool answers (`agents/hallucination/features.py` names them), updated online from feedback. Base
weights are trained on `hallucination_train` (permissive licences); `hallucination_eval` is measured only.

What it is for: seeing answers that bring in words, numbers, names or addresses that the context lacks, and the
share of them per application over time. It is not a fact checker. It cannot see a false statement made of the
context's own words (a changed role, time or negation: summedits, bump, covidfact and fool_me_twice below, little
better than chance) and it takes a free paraphrase for unsupported (climate_fever, fool_me_twice: claims written
apart from their evidence). Use the flag to rank and to watch rates; an application with another style needs a
threshold of its own (`HallucinationConfig.threshold`) or some labels.

Threshold: {threshold}, the lowest with at most {limit:.0%} false positives on sources unseen in training, averaged
over sources. It does not carry over everywhere: the false positives by source below reach several times that where
answers paraphrase freely. The score is a probability where supported and unsupported answers are equally frequent;
elsewhere it ranks.

Cost: {micros} us per event of 0.8 kB response and 1.2 kB context (`score`, chunks of 256, one core of a shared
2-core machine, best of five).

No training row has a URL or e-mail address; an unsupported one is given the weight of an unsupported name (by
hand).

Left out: response length (it solves halueval_qa, AUC .96, and nothing in production), negation in other languages
than English, number words above fifteen other than round ones, synonyms, translation (context and response in
different languages are compared only by names and numbers, and will be flagged). A context over 64 KiB is sampled,
so what it supports may be missed and be flagged.

"AUC of word overlap" is the trivial baseline: one minus the share of response words that the context has.
"""


@dataclass(frozen=True, slots=True)
class Labelled:
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    source: NDArray[np.str_]

    def where(self, mask: NDArray[np.bool_]) -> Labelled:
        return Labelled(self.x[mask], self.y[mask], self.source[mask])


@dataclass(frozen=True, slots=True)
class Model:
    """What `fit` makes: weights as they would ship."""

    weights: NDArray[np.float64]

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """float64[n], probability of being unsupported; 0.5 where an event has nothing to compare."""
        x = feature_rows(rows)
        out = np.full(len(x), 0.5)
        judged = ~np.isnan(x[:, 0])
        out[judged] = predict(self.weights, x[judged])
        return out


def fit(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train on rows of ``context``, ``question``, ``response``, ``label`` and ``src``, for an evaluation elsewhere.

    The descent is over all rows at once from zero, so every ``seed`` gives the same model.
    """
    del seed
    return Model(train(labelled(rows)))


def labelled(rows: Sequence[Row]) -> Labelled:
    """Features, labels and sources of the rows that an agent would score."""
    x = feature_rows(rows)
    data = Labelled(x, np.array([int(r["label"]) for r in rows]), np.array([r["src"] for r in rows]))
    return data.where(~np.isnan(x[:, 0]))


def read(folder: Path, name: str) -> tuple[list[dict[str, Any]], Labelled]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return rows, labelled(rows)


def train(data: Labelled) -> NDArray[np.float64]:
    """Projected gradient descent on the log loss, each source and each label weighing the same, with a little L2.

    L2 spreads the weight over features that say nearly the same, so that no source's habits rest on one of them.
    """
    x = np.column_stack([data.x, np.ones(len(data.y))])
    weigh, weights = balance(data), np.zeros(len(FEATURES) + 1)
    low, high = np.zeros(len(weights)), np.zeros(len(weights))
    low[:SUPPORT], high[SUPPORT:], low[-1] = -np.inf, np.inf, -np.inf
    for _ in range(STEPS):
        error = weigh * (1.0 / (1.0 + np.exp(-(x @ weights))) - data.y)
        penalty = L2 * weights
        penalty[-1] = 0.0
        weights = np.clip(weights - 0.5 * (x.T @ error + penalty), low, high)
    if not data.x[:, ADDRESSES_ANY].any():  # no row has an address: it counts as a name does
        weights[ADDRESSES_ANY] = weights[NAMES_ANY]
    return weights


def balance(data: Labelled) -> NDArray[np.float64]:
    """Weight of each row: even over sources within a label, and over labels."""
    weigh = np.zeros(len(data.y))
    for label in (0, 1):
        for source in np.unique(data.source):
            part = (data.source == source) & (data.y == label)
            weigh[part] = 1.0 / max(int(part.sum()), 1)
        weigh[data.y == label] /= weigh[data.y == label].sum()
    return weigh


def predict(weights: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([probability(v) for v in SignedLogistic(weights.tolist()).scores(x)])


def auc(y: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    """Mann-Whitney with ties; NaN where one label is missing."""
    positives = int(y.sum())
    if positives in (0, len(y)):
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((rank[y == 1].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


def leave_one_out(data: Labelled) -> NDArray[np.float64]:
    """Score of each row by the model that never saw its source."""
    out = np.zeros(len(data.y))
    for source in np.unique(data.source):
        held = data.source == source
        out[held] = predict(train(data.where(~held)), data.x[held])
    return out


def pick_threshold(data: Labelled, score: NDArray[np.float64]) -> float:
    """Lowest threshold with at most `FALSE_POSITIVES` on unseen sources, each source weighing the same."""
    sources = [s for s in np.unique(data.source) if ((data.source == s) & (data.y == 0)).any()]
    for threshold in np.arange(0.2, 1.0, 0.005):
        shares = [float(np.mean(score[(data.source == s) & (data.y == 0)] >= threshold)) for s in sources]
        if statistics.mean(shares) <= FALSE_POSITIVES:
            return round(float(threshold), 3)
    return 0.995


def table(data: Labelled, score: NDArray[np.float64], threshold: float) -> list[str]:
    lines = [TABLE_HEAD, "|---|---|---|---|---|---|---|"]
    figures: list[tuple[float, float, float, float]] = []
    for source in np.unique(data.source):
        part = data.source == source
        y, s, flagged = data.y[part], score[part], score[part] >= threshold
        own, base = auc(y, s), auc(y, -data.x[part, WORDS])
        recall = float(flagged[y == 1].mean()) if (y == 1).any() else float("nan")
        wrong = float(flagged[y == 0].mean()) if (y == 0).any() else float("nan")
        figures.append((own, base, recall, wrong))
        lines.append(f"| {source} | {len(y)} | {int(y.sum())} | {own:.3f} | {base:.3f} | {recall:.2f} | {wrong:.2f} |")
    own, base, recall, wrong = (float(np.nanmean([f[k] for f in figures])) for k in range(4))
    n, bad = len(data.y), int(data.y.sum())
    lines.append(f"| mean of sources | {n} | {bad} | {own:.3f} | {base:.3f} | {recall:.2f} | {wrong:.2f} |")
    return [line.replace("nan", "-") for line in lines]


def feedback_table(data: Labelled, weights: NDArray[np.float64]) -> list[str]:
    """AUC on the rows after the first `LABELS` of a shuffled source, without and with learning from those."""
    lines = ["| source | shipped | after labels |", "|---|---|---|"]
    config = HallucinationConfig()
    for source in np.unique(data.source):
        order = np.random.default_rng(SEED).permutation(np.flatnonzero(data.source == source))
        if len(order) < 2 * LABELS:
            continue
        model = SignedLogistic(weights.tolist(), rate=config.rate, confidence=config.confidence)
        for i in order[:LABELS]:
            model.learn(data.x[i], label=bool(data.y[i]))
        rest = order[LABELS:]
        before, after = predict(weights, data.x[rest]), predict(model.weights, data.x[rest])
        lines.append(f"| {source} | {auc(data.y[rest], before):.3f} | {auc(data.y[rest], after):.3f} |")
    return lines


def cost(rows: list[dict[str, Any]]) -> float:
    """Microseconds per event of 0.8 kB response and 1.2 kB context in chunks of 256, best of five."""
    context = "".join(r["context"] + "\n" for r in rows[:4000])
    response = "".join(r["response"] + "\n" for r in rows[:4000])
    made = [
        {
            "context": context[1200 * i : 1200 * (i + 1)],
            "question": "Who was it?",
            "response": response[800 * i : 800 * (i + 1)],
        }
        for i in range(256)
    ]
    events = [as_event(row, i) for i, row in enumerate(made)]
    agent, best = HallucinationAgent(), float("inf")
    for _ in range(6):
        chunk = Chunk(events)
        _ = chunk.texts, chunk.times
        begin = time.perf_counter()
        agent.score(chunk)
        best = min(best, time.perf_counter() - begin)
    return best / len(events) * 1e6


def card(parts: dict[str, list[str]], weights: NDArray[np.float64], threshold: float, micros: float) -> str:
    lines = [
        HEAD.format(
            features=len(FEATURES), limit=FALSE_POSITIVES, threshold=threshold, micros=f"{micros:.0f}"
        ).rstrip(),
        "",
    ]
    for title, body in parts.items():
        lines += [f"## {title}", "", *body, ""]
    lines += ["## Weights", "", "| feature | weight |", "|---|---|"]
    lines += [f"| {name} | {w:+.3f} |" for name, w in zip((*FEATURES, "intercept"), weights, strict=True)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    folder: Path = parser.parse_args().data
    rows, data = read(folder, "hallucination_train")
    unseen = leave_one_out(data)
    threshold = pick_threshold(data, unseen)
    weights = np.round(train(data), 6)
    shipped = {"features": list(FEATURES), "weights": weights.tolist(), "threshold": threshold}
    WEIGHTS.write_text(json.dumps(shipped, indent=1) + "\n", "utf-8")
    _, other = read(folder, "hallucination_eval")
    parts = {
        "Sources never used (hallucination_eval)": table(other, predict(weights, other.x), threshold),
        "Leave-source-out on hallucination_train": table(data, unseen, threshold),
        f"After {LABELS} labels fed back (hallucination_eval, AUC on the rest)": feedback_table(other, weights),
    }
    CARD.write_text(card(parts, weights, threshold, cost(rows)), "utf-8")


if __name__ == "__main__":
    main()
