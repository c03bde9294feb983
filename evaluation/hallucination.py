"""Quality of the hallucination agent on unsupported and supported answers of held-out sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from agents.hallucination.agent import HallucinationAgent
from evaluation import retrained
from evaluation.adapters.hallucination import feature_rows
from evaluation.resample import DRAWS, Means, Ranked, ranked_means
from evaluation.rows import read
from evaluation.splits import (
    NOT_TESTED,
    NOT_TRAINED,
    Row,
    family_of,
    leave_family_out,
    near_duplicates_of,
)
from tools.evaluation.baseline import missing_words
from tools.evaluation.labelled_rows import read_labelled
from tools.evaluation.scoring import score_rows

AGENT = "hallucination agent"
OVERLAP = "word overlap"
BOOSTED = "batch gradient boosting on the agent's features"
LINEAR = "batch logistic regression on the agent's features"
BINS, FEWER_DRAWS = 10, 100
MIN_ROWS = 20

Scores = NDArray[np.float64]


def measure(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return all figures of the section as JSON-serialisable values."""
    del jobs  # a minute on one core
    train, evaluation = read(data, "hallucination_train"), read(data, "hallucination_eval")
    rows: list[Row] = [*train, *evaluation]
    near = near_duplicates_of(rows)
    features = np.nan_to_num(feature_rows(rows))
    testable = sorted({family_of(r["src"]) for r in train if r["src"] not in NOT_TESTED})
    tests: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = [
        (fold.train, fold.test) for fold in leave_family_out(train, len(testable), near)
    ]
    tests.append(_evaluation(train, rows, near.of))
    scored: dict[str, list[tuple[NDArray[np.int64], Scores]]] = {}
    for train_rows, test_rows in tests:
        for name, score in _systems(rows, features, train_rows, test_rows).items():
            scored.setdefault(name, []).append((test_rows, score))
        sources = sorted({rows[i]["src"] for i in test_rows.tolist()})
        log(f"{sources}: {len(train_rows)} training rows, {len(test_rows)} test rows")
    at = np.concatenate([test_rows for test_rows, _ in scored[AGENT]])
    source = np.array([rows[i]["src"] for i in at.tolist()])
    label = np.array([rows[i]["label"] == 1 for i in at.tolist()])
    scores = {name: np.concatenate([score for _, score in parts]) for name, parts in scored.items()}
    unseen = at >= len(train)
    return {
        "by_source": _by_source(source, label, scores, unseen),
        "means": {
            name: {
                part: _mean(source[chosen], label[chosen], score[chosen], DRAWS if name == AGENT else FEWER_DRAWS)
                for part, chosen in (("all", np.ones(len(at), np.bool_)), ("train", ~unseen), ("eval", unseen))
            }
            for name, score in scores.items()
        },
        "calibration": calibration(source, label, scores[AGENT]),
        "shipped": shipped(data, near.of(np.arange(len(train), len(rows)), np.arange(len(train)))),
    }


def _evaluation(train: Sequence[Row], rows: Sequence[Row], near_duplicate: Callable[..., NDArray[np.bool_]]) -> Any:
    test = np.arange(len(train), len(rows))
    related = {family_of(rows[i]["src"]) for i in test.tolist()}
    learned = np.array(
        [i for i, r in enumerate(train) if r["src"] not in NOT_TRAINED and family_of(r["src"]) not in related]
    )
    return learned[~near_duplicate(learned, test)], test


def _systems(
    rows: Sequence[Row], features: Scores, train: NDArray[np.int64], test: NDArray[np.int64]
) -> dict[str, Scores]:
    label = np.array([rows[i]["label"] for i in train.tolist()])
    weight = _balanced(np.array([rows[i]["src"] for i in train.tolist()]), label)
    boosted = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.05, max_leaf_nodes=15, random_state=retrained.SEED
    )
    linear = LogisticRegression(max_iter=1000)
    test_rows = [rows[i] for i in test.tolist()]
    return {
        AGENT: retrained.fit_hallucination([rows[i] for i in train.tolist()]).scores(test_rows),
        OVERLAP: np.array([missing_words(_context(row), row["response"]) for row in test_rows]),
        LINEAR: linear.fit(features[train], label, sample_weight=weight).predict_proba(features[test])[:, 1],
        BOOSTED: boosted.fit(features[train], label, sample_weight=weight).predict_proba(features[test])[:, 1],
    }


def _context(row: Row) -> str:
    context = row.get("context") or ""
    return context if isinstance(context, str) else "\n".join(context)


def _balanced(source: NDArray[np.str_], label: NDArray[np.int64]) -> Scores:
    """Return row weights that are equal over sources within a label, and over labels, as in the agent's training."""
    weight = np.zeros(len(label))
    for value in (0, 1):
        for name in np.unique(source[label == value]):
            part = (source == name) & (label == value)
            weight[part] = 1.0 / part.sum()
        weight[label == value] /= weight[label == value].sum()
    return weight * len(label) / 2


def _testable(source: NDArray[np.str_], label: NDArray[np.bool_]) -> list[str]:
    """Return the sources with enough rows of each label."""
    names = np.unique(source).tolist()
    return [s for s in names if min((label & (source == s)).sum(), (~label & (source == s)).sum()) >= MIN_ROWS]


def _ranked(source: NDArray[np.str_], label: NDArray[np.bool_], score: Scores, draws: int) -> Means:
    names = _testable(source, label)
    positives = {s: Ranked(score[label & (source == s)], s) for s in names}
    return ranked_means(positives, {s: [score[~label & (source == s)]] for s in names}, draws)


def _mean(source: NDArray[np.str_], label: NDArray[np.bool_], score: Scores, draws: int) -> dict[str, Any]:
    means = _ranked(source, label, score, draws)
    return {"sources": len(means.names), **{m: asdict(i) for m, i in means.mean().items()}}


def _by_source(
    source: NDArray[np.str_], label: NDArray[np.bool_], scores: Mapping[str, Scores], unseen: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    agent = _ranked(source, label, scores[AGENT], DRAWS)
    baselines = {n: _ranked(source, label, s, 0) for n, s in scores.items() if n != AGENT}
    out = []
    for name in agent.names:
        here = source == name
        row = {"source": name, "rows": int(here.sum()), "unsupported": int((label & here).sum())}
        row["part"] = "eval" if unseen[here].any() else "train"
        row |= {m: asdict(i) for m, i in agent.of(name).items()}
        row["ece"] = expected_calibration_error(label[here], scores[AGENT][here])
        out.append({**row, "baselines": {b: o.of(name)["auc"].value for b, o in baselines.items()}})
    return sorted(out, key=lambda row: row["auc"]["value"])


def expected_calibration_error(label: NDArray[np.bool_], probability: Scores, bins: int = BINS) -> float:
    """Return the mean distance between predicted and observed frequency over bins of equal size.

    References
    ----------
    Naeini, M., Cooper, G., Hauskrecht, M. (2015). Obtaining well calibrated probabilities using Bayesian binning. AAAI.

    Examples
    --------
    >>> expected_calibration_error(np.array([True, False]), np.array([0.5, 0.5]), bins=1)
    0.0
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [len(part) * abs(float(probability[part].mean() - label[part].mean())) for part in parts]
    return sum(gaps) / len(label)


def calibration(source: NDArray[np.str_], label: NDArray[np.bool_], score: Scores) -> dict[str, Any]:
    """Return the calibration error with equal weights for sources and labels, as the agent defines its probability."""
    weight = _balanced(source, label.astype(np.int64))
    keep = np.isin(source, _testable(source, label))
    weight, score, label = weight[keep], score[keep], label[keep]
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(weight[order]) / weight.sum()
    table = []
    for b in range(BINS):
        part = order[(reached > b / BINS) & (reached <= (b + 1) / BINS)]
        if len(part):
            predicted, observed = (float(np.average(v[part], weights=weight[part])) for v in (score, label))
            share = float(weight[part].sum() / weight.sum())
            table.append({"predicted": predicted, "observed": observed, "rows": len(part), "weight": share})
    return {"ece": sum(row["weight"] * abs(row["predicted"] - row["observed"]) for row in table), "bins": table}


def shipped(data: Path, duplicate: NDArray[np.bool_]) -> dict[str, Any]:
    """Measure the shipped agent on hallucination_eval without near-duplicates of training rows."""
    rows = read_labelled(data / "hallucination_eval.jsonl.gz", "hallucination")
    agent = HallucinationAgent()
    kept = [row for row, drop in zip(rows, duplicate.tolist(), strict=True) if not drop]
    results = score_rows(agent, kept)
    label = np.array([row.label == 1 for row in kept])
    source = np.array([row.src for row in kept])
    out: dict[str, Any] = {"threshold": agent.threshold, "left_out": int(duplicate.sum()), "sources": {}}
    ranking = _ranked(source, label, results.score, DRAWS)
    for name in ranking.names:
        here = source == name
        out["sources"][name] = {m: asdict(i) for m, i in ranking.of(name).items()} | {
            "recall": float(results.flag[here & label].mean()),
            "fpr": float(results.flag[here & ~label].mean()),
        }
    out["mean"] = _mean(source, label, results.score, DRAWS)
    return out
