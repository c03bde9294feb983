"""Train, measure and document the hallucination agent: ``python -m training.train_hallucination DATA_FOLDER``.

The script writes ``agents/hallucination/weights.json`` (from hallucination_train only) and
``docs/models/hallucination.md``. Equal data give equal weights.
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
from sklearn.metrics import roc_auc_score

from agents.base import Chunk
from agents.common.logistic import sigmoid
from agents.hallucination.agent import HallucinationAgent, feature_spec
from agents.hallucination.features import FEATURES, NAMES_ANY, SOURCES_ANY, SUPPORT, UNTRAINED, WORDS
from agents.hallucination.logistic_model import log_odds_of_rows
from agents.hallucination.thresholds import AdaptiveThresholds, ThresholdConfig
from agents.learning import LearningConfig
from agents.learning.deltas import WeightDeltas, WeightedLabel
from evaluation.adapters.hallucination import as_event, feature_rows
from training.hallucination_edits import edited

Row = Mapping[str, Any]
ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "agents/hallucination/weights.json"
CARD = ROOT / "docs/models/hallucination.md"
STEPS, L2, SEED, LABELS = 300, 0.005, 7, 300
EDITED = 0.3
"""Weight of a kind of edit; the weight of a source is 1."""
FALSE_POSITIVES = 0.10

TABLE_HEAD = "| source | rows | unsupported | AUC | AUC of word overlap | recall | false positives |"
HEAD = """# Model card: hallucination

Written by `training/train_hallucination.py`; change it there.

**Model.** Logistic regression with sign constraints over {features} lexical features of a response against its
documents and tool results (`agents/hallucination/features.py` names them), updated online from feedback. The shipped
weights are trained on `hallucination_train` (permissive licences) and on small edits of its supported answers
(`training/hallucination_edits.py`). `hallucination_eval` is used for measurement only.

**Purpose.** Detect answers with words, numbers, names, quotations or sources that the context lacks, and track their
share per application over time. It is not a fact checker. Numbers are compared by value (1,000 = 1k = one thousand;
5 km = 5000 m; 1.2 million for 1,234,567; 1930s for 1934; March for 03), opposites and denials against the best context
sentence, word order by the longest common subsequence. Most false statements made of the context's own words are missed
(bump and covidfact below are little better than chance, ab_expertqa, climate_fever and fool_me_twice not much better),
and a free paraphrase is scored as unsupported. Use the flag to rank events and to track rates.

**Targets.** Mean AUC of .78 over unseen sources, no source under .60. Reached: {reached:.3f}; under .60: {under}.

**Threshold.** {threshold}: the lowest with at most {limit:.0%} false positives on sources unseen in training, averaged
over sources. An application whose scores exceed it in more than {share:.0%} of events gets a higher threshold, raised
by at most {rise} in log odds (`agents/hallucination/thresholds.py`); its effect is measured below. The score is a
probability where supported and unsupported answers are equally frequent; elsewhere it is a ranking.

**Uncertainty.** The signal also reports the disagreement between the choices of a call, or with the previous answer to
the same question and context, and the log-probability of the tokens. No labelled set has these features: their weights
ship as 0, and labels of the stream can only raise them. No training row has an unsupported URL, e-mail address or
citation mark; these have the weight of an unsupported name (set by hand).

**Abstention.** An answer of up to 400 characters that only states that it has no answer, or where to ask
("The passages do not say. Please ask our staff."), makes no claim. It has no score, with the reason `abstention`
(`agents/hallucination/abstention.py` lists the forms: English, and a few refusals in nine other languages; other forms
are scored). Before, all of them were flagged at .735, and a service that abstains correctly raised hallucination-burst.
No set here has such answers; of its 24,244 other answers one is classified as an abstention.

**Cost.** {micros} us per event of 0.8 kB response and 1.2 kB context (`score`, chunks of 256, one core of a shared
2-core machine, best of five).

## Experiments that were not kept

Leave-source-out over `hallucination_train` unless stated otherwise, with a prototype of the same features:

- Word vectors (the input embeddings of all-MiniLM-L6-v2, 128 dimensions), so that a synonym supports, and inverse
  document frequency, so that a rare word weighs more, in coverage and in the alignment: with these and all other
  candidates mean AUC .739, with the previous 12 features .743.
- Piecewise-linear monotone transforms with 3 to 4 pieces per feature: .742, where one piece has .745 (edits added);
  .733, where one piece has .739 (all candidates).
- A number next to other words in the context, the distance in the context between neighbours of the answer, a word
  between two matching words, hedges: among the candidates of the first item, which were worse together.
- Character n-grams, a feature before: weight 0 once the edits are trained on, and 14 of 83 us.
- Upper bound of the features: models fitted inside each of the 16 sources by cross-validation (logistic regression over
  all candidates) have AUC .57 on bump, .61 on covidfact, .62 on ab_expertqa, .65 on fool_me_twice, .68 on
  climate_fever. Exceeding these needs a model that reads meaning, not a faster one (see [reviewers](../reviewers.md)).

## Limits

- Response length is not a feature (it solves halueval_qa, AUC .96, and nothing in production).
- Opposites and absolutes are recognised in English only (denials: English and Korean).
- Bare DOIs and dates written 12.10.2020 are not recognised.
- No translation: if context and response are in different languages, only names and numbers are compared, and the
  response will be flagged.
- A context over 64 KiB is sampled, so support may be missed and the response flagged.

"AUC of word overlap" is the trivial baseline: one minus the share of response words that the context has.
"""


@dataclass(frozen=True, slots=True)
class TrainingData:
    x: NDArray[np.float64]
    y: NDArray[np.int64]
    source: NDArray[np.str_]

    def where(self, mask: NDArray[np.bool_]) -> TrainingData:
        return TrainingData(self.x[mask], self.y[mask], self.source[mask])


@dataclass(frozen=True, slots=True)
class Model:
    """Result of `fit`: weights in the shipped form."""

    weights: NDArray[np.float64]

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Return float64[n], the probability of being unsupported; 0.5 if an event has nothing to compare."""
        x = feature_rows(rows)
        out = np.full(len(x), 0.5)
        scored = ~np.isnan(x[:, 0])
        out[scored] = predict(self.weights, x[scored])
        return out


def fit(rows: Sequence[Row], seed: int = SEED) -> Model:
    """Train on rows of ``context``, ``question``, ``response``, ``label`` and ``src`` for an evaluation.

    ``seed`` selects the edits that training adds (`hallucination_edits`); the optimisation is deterministic.
    """
    return Model(train(labelled([*rows, *edited(rows, seed)])))


def labelled(rows: Sequence[Row]) -> TrainingData:
    """Return features, labels and sources of the rows that the agent scores."""
    x = feature_rows(rows)
    data = TrainingData(x, np.array([int(r["label"]) for r in rows]), np.array([r["src"] for r in rows]))
    return data.where(~np.isnan(x[:, 0]))


def read(folder: Path, name: str) -> tuple[list[dict[str, Any]], TrainingData]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return rows, labelled(rows)


def train(data: TrainingData) -> NDArray[np.float64]:
    """Minimise the log loss by accelerated projected descent, with equal weights for sources and labels and some L2.

    L2 spreads the weight over correlated features, so that no source depends on a single feature. The algorithm is from
    Beck, A., Teboulle, M. (2009), "A fast iterative shrinkage-thresholding algorithm", SIAM J. Imaging Sciences 2.
    """
    x = np.column_stack([data.x, np.ones(len(data.y))])
    row_weights, weights = balance(data), np.zeros(len(FEATURES) + 1)
    low, high = np.zeros(len(weights)), np.zeros(len(weights))
    low[:SUPPORT], high[SUPPORT:], low[-1] = -np.inf, np.inf, -np.inf
    lookahead, pace = weights.copy(), 1.0
    for _ in range(STEPS):
        error = row_weights * (1.0 / (1.0 + np.exp(-(x @ lookahead))) - data.y)
        penalty = L2 * lookahead
        penalty[-1] = 0.0
        previous, weights = weights, np.clip(lookahead - 0.5 * (x.T @ error + penalty), low, high)
        pace, last = (1.0 + np.sqrt(1.0 + 4.0 * pace * pace)) / 2.0, pace
        lookahead = weights + (last - 1.0) / pace * (weights - previous)
    # No row has an unsupported address or citation mark; it gets the weight of an unsupported name.
    weights[SOURCES_ANY] = weights[NAMES_ANY]
    weights[list(UNTRAINED)] = 0.0
    return weights


def balance(data: TrainingData) -> NDArray[np.float64]:
    """Return the row weights: equal over sources within a label (`EDITED` for an edit), and over labels."""
    weights = np.zeros(len(data.y))
    for label in (0, 1):
        for source in np.unique(data.source):
            part = (data.source == source) & (data.y == label)
            weights[part] = (EDITED if source.startswith("edit_") else 1.0) / max(int(part.sum()), 1)
        weights[data.y == label] /= weights[data.y == label].sum()
    return weights


def predict(weights: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    odds = np.empty(len(x))
    log_odds_of_rows(weights, x, odds)
    return np.array([sigmoid(v) for v in odds.tolist()])


def auc(y: NDArray[np.int64], score: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve; NaN if one label is missing."""
    return float(roc_auc_score(y, score)) if 0 < y.sum() < len(y) else float("nan")


def leave_one_out(rows: Sequence[Row], data: TrainingData) -> NDArray[np.float64]:
    """Return the score of each row by a model trained without its source and edits of it."""
    out = np.zeros(len(data.y))
    for source in np.unique(data.source):
        held_out = data.source == source
        out[held_out] = predict(fit([r for r in rows if r["src"] != source]).weights, data.x[held_out])
    return out


def by_source(data: TrainingData, score: NDArray[np.float64]) -> dict[str, float]:
    """Return the AUC of each source with both labels."""
    aucs = {str(s): auc(data.y[data.source == s], score[data.source == s]) for s in np.unique(data.source)}
    return {source: value for source, value in aucs.items() if not np.isnan(value)}


def pick_threshold(data: TrainingData, score: NDArray[np.float64]) -> float:
    """Return the lowest threshold with at most `FALSE_POSITIVES` on held-out sources, as an unweighted mean."""
    sources = [s for s in np.unique(data.source) if ((data.source == s) & (data.y == 0)).any()]
    for threshold in np.arange(0.2, 1.0, 0.005):
        shares = [float(np.mean(score[(data.source == s) & (data.y == 0)] >= threshold)) for s in sources]
        if statistics.mean(shares) <= FALSE_POSITIVES:
            return round(float(threshold), 3)
    return 0.995


def table(data: TrainingData, score: NDArray[np.float64], threshold: float) -> list[str]:
    lines = [TABLE_HEAD, "|---|---|---|---|---|---|---|"]
    figures: list[tuple[float, float, float, float]] = []
    for source in np.unique(data.source):
        part = data.source == source
        y, s, flagged = data.y[part], score[part], score[part] >= threshold
        agent, base = auc(y, s), auc(y, -data.x[part, WORDS])
        recall = float(flagged[y == 1].mean()) if (y == 1).any() else float("nan")
        wrong = float(flagged[y == 0].mean()) if (y == 0).any() else float("nan")
        figures.append((agent, base, recall, wrong))
        lines.append(
            f"| {source} | {len(y)} | {int(y.sum())} | {agent:.3f} | {base:.3f} | {recall:.2f} | {wrong:.2f} |"
        )
    agent, base, recall, wrong = (float(np.nanmean([f[k] for f in figures])) for k in range(4))
    n, unsupported = len(data.y), int(data.y.sum())
    lines.append(f"| mean of sources | {n} | {unsupported} | {agent:.3f} | {base:.3f} | {recall:.2f} | {wrong:.2f} |")
    return [line.replace("nan", "-") for line in lines]


def feedback_table(data: TrainingData, weights: NDArray[np.float64]) -> list[str]:
    """Return the AUC on the rows after the first `LABELS` of a shuffled source, without and with learning from them."""
    lines = ["| source | shipped | after labels |", "|---|---|---|"]
    c = LearningConfig()
    base = np.empty(len(data.x))
    log_odds_of_rows(weights, data.x, base)
    for source in np.unique(data.source):
        order = np.random.default_rng(SEED).permutation(np.flatnonzero(data.source == source))
        if len(order) < 2 * LABELS:
            continue
        moves = WeightDeltas(feature_spec(weights), c.shared_weight, c.tenant_weight, c.labels_kept, c.tenants, c.noise)
        for i in order[:LABELS]:
            moves.add(data.x[i], float(base[i]), WeightedLabel("", 1 if data.y[i] else -1, c.strength, 1.0), c.revisits)
        rest = order[LABELS:]
        before, after = base[rest], base[rest].copy()
        moves.apply(data.x[rest], np.full(len(rest), moves.slot("")), after)
        lines.append(f"| {source} | {auc(data.y[rest], before):.3f} | {auc(data.y[rest], after):.3f} |")
    return lines


def adapted(data: TrainingData, score: NDArray[np.float64], threshold: float) -> list[str]:
    """Return recall and false positives in the second half of each source, at the shipped and the adapted threshold."""
    lines = ["| source | recall | false positives | recall, adapted | false positives, adapted |"]
    lines.append("|---|---|---|---|---|")
    for source in np.unique(data.source):
        order = np.random.default_rng(SEED).permutation(np.flatnonzero(data.source == source))
        y, odds = data.y[order], np.log(score[order] / (1.0 - score[order]))
        limits = AdaptiveThresholds(threshold)
        own = np.array([limits.update(("", str(source)), float(value)) for value in odds])
        rest = np.arange(len(order)) >= len(order) // 2
        figures = [
            float(np.mean(odds[rest & (y == label)] >= limit[rest & (y == label)]))
            for limit in (np.full(len(odds), limits.base), own)
            for label in (1, 0)
        ]
        lines.append(f"| {source} | " + " | ".join(f"{v:.2f}" for v in figures) + " |")
    return lines


def cost(rows: list[dict[str, Any]]) -> float:
    """Return the microseconds per event of 0.8 kB response and 1.2 kB context in chunks of 256, best of five."""
    context = "".join(r["context"] + "\n" for r in rows[:4000])
    response = "".join(r["response"] + "\n" for r in rows[:4000])
    texts = [
        {
            "context": context[1200 * i : 1200 * (i + 1)],
            "question": "Who was it?",
            "response": response[800 * i : 800 * (i + 1)],
        }
        for i in range(256)
    ]
    events = [as_event(row, i) for i, row in enumerate(texts)]
    agent, best = HallucinationAgent(), float("inf")
    for _ in range(6):
        chunk = Chunk(events)
        _ = chunk.texts, chunk.times
        start = time.perf_counter()
        agent.score(chunk)
        best = min(best, time.perf_counter() - start)
    return best / len(events) * 1e6


def card(parts: dict[str, list[str]], weights: NDArray[np.float64], threshold: float, **figures: Any) -> str:
    adapt = ThresholdConfig()
    figures |= {"features": len(FEATURES), "limit": FALSE_POSITIVES, "threshold": threshold}
    lines = [HEAD.format(share=adapt.share, rise=adapt.max_rise, **figures).rstrip(), ""]
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
    held_out = leave_one_out(rows, data)
    threshold = pick_threshold(data, held_out)
    weights = np.round(fit(rows).weights, 6)
    shipped = {"features": list(FEATURES), "weights": weights.tolist(), "threshold": threshold}
    WEIGHTS.write_text(json.dumps(shipped, indent=1) + "\n", "utf-8")
    _, evaluation = read(folder, "hallucination_eval")
    parts = {
        "Held-out sources (hallucination_eval)": table(evaluation, predict(weights, evaluation.x), threshold),
        "Leave-source-out on hallucination_train": table(data, held_out, threshold),
        "Application thresholds (hallucination_eval, second half of each source)": adapted(
            evaluation, predict(weights, evaluation.x), threshold
        ),
        f"Feedback of {LABELS} labels (hallucination_eval, AUC on the rest)": feedback_table(evaluation, weights),
    }
    reached = by_source(data, held_out) | by_source(evaluation, predict(weights, evaluation.x))
    under = ", ".join(f"{name} {value:.3f}" for name, value in sorted(reached.items()) if value < 0.6)
    figures = {"reached": statistics.mean(reached.values()), "under": under or "none", "micros": f"{cost(rows):.0f}"}
    CARD.write_text(card(parts, weights, threshold, **figures), "utf-8")


if __name__ == "__main__":
    main()
