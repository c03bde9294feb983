"""Hallucination: how well unsupported answers of sources never seen are told from supported ones."""

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
from evaluation import ours
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

OURS = "hallucination agent"
OVERLAP = "word overlap"
BOOSTED = "batch gradient boosting on the agent's features"
LINEAR = "batch logistic regression on the agent's features"
BINS, FEWER_DRAWS = 10, 100
LEAST = 20

Scores = NDArray[np.float64]


def measure(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return all figures of the section, JSON-able."""
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
    found: dict[str, list[tuple[NDArray[np.int64], Scores]]] = {}
    for learned, held in tests:
        for name, score in _systems(rows, features, learned, held).items():
            found.setdefault(name, []).append((held, score))
        say(f"{sorted({rows[i]['src'] for i in held.tolist()})}: {len(learned)} to train on, {len(held)} to test")
    at = np.concatenate([held for held, _ in found[OURS]])
    source = np.array([rows[i]["src"] for i in at.tolist()])
    label = np.array([rows[i]["label"] == 1 for i in at.tolist()])
    scores = {name: np.concatenate([score for _, score in parts]) for name, parts in found.items()}
    unseen = at >= len(train)
    return {
        "by_source": _by_source(source, label, scores, unseen),
        "means": {
            name: {
                part: _mean(source[chosen], label[chosen], score[chosen], DRAWS if name == OURS else FEWER_DRAWS)
                for part, chosen in (("all", np.ones(len(at), np.bool_)), ("train", ~unseen), ("eval", unseen))
            }
            for name, score in scores.items()
        },
        "calibration": calibration(source, label, scores[OURS]),
        "shipped": shipped(data, near.of(np.arange(len(train), len(rows)), np.arange(len(train)))),
    }


def _evaluation(train: Sequence[Row], rows: Sequence[Row], alike: Callable[..., NDArray[np.bool_]]) -> Any:
    test = np.arange(len(train), len(rows))
    kin = {family_of(rows[i]["src"]) for i in test.tolist()}
    learned = np.array(
        [i for i, r in enumerate(train) if r["src"] not in NOT_TRAINED and family_of(r["src"]) not in kin]
    )
    return learned[~alike(learned, test)], test


def _systems(
    rows: Sequence[Row], features: Scores, train: NDArray[np.int64], test: NDArray[np.int64]
) -> dict[str, Scores]:
    label = np.array([rows[i]["label"] for i in train.tolist()])
    weigh = _even(np.array([rows[i]["src"] for i in train.tolist()]), label)
    boosted = HistGradientBoostingClassifier(
        max_iter=150, learning_rate=0.05, max_leaf_nodes=15, random_state=ours.SEED
    )
    linear = LogisticRegression(max_iter=1000)
    theirs = [rows[i] for i in test.tolist()]
    return {
        OURS: ours.fit_hallucination([rows[i] for i in train.tolist()]).scores(theirs),
        OVERLAP: np.array([missing_words(_context(row), row["response"]) for row in theirs]),
        LINEAR: linear.fit(features[train], label, sample_weight=weigh).predict_proba(features[test])[:, 1],
        BOOSTED: boosted.fit(features[train], label, sample_weight=weigh).predict_proba(features[test])[:, 1],
    }


def _context(row: Row) -> str:
    context = row.get("context") or ""
    return context if isinstance(context, str) else "\n".join(context)


def _even(source: NDArray[np.str_], label: NDArray[np.int64]) -> Scores:
    """Weigh sources alike within a label, and labels alike, as the agent's trainer does."""
    weigh = np.zeros(len(label))
    for value in (0, 1):
        for name in np.unique(source[label == value]):
            part = (source == name) & (label == value)
            weigh[part] = 1.0 / part.sum()
        weigh[label == value] /= weigh[label == value].sum()
    return weigh * len(label) / 2


def _both(source: NDArray[np.str_], label: NDArray[np.bool_]) -> list[str]:
    """Sources with enough rows of either label."""
    names = np.unique(source).tolist()
    return [s for s in names if min((label & (source == s)).sum(), (~label & (source == s)).sum()) >= LEAST]


def _ranked(source: NDArray[np.str_], label: NDArray[np.bool_], score: Scores, draws: int) -> Means:
    names = _both(source, label)
    positives = {s: Ranked(score[label & (source == s)], s) for s in names}
    return ranked_means(positives, {s: [score[~label & (source == s)]] for s in names}, draws)


def _mean(source: NDArray[np.str_], label: NDArray[np.bool_], score: Scores, draws: int) -> dict[str, Any]:
    found = _ranked(source, label, score, draws)
    return {"sources": len(found.names), **{m: asdict(i) for m, i in found.mean().items()}}


def _by_source(
    source: NDArray[np.str_], label: NDArray[np.bool_], scores: Mapping[str, Scores], unseen: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    mine = _ranked(source, label, scores[OURS], DRAWS)
    others = {n: _ranked(source, label, s, 0) for n, s in scores.items() if n != OURS}
    out = []
    for name in mine.names:
        here = source == name
        row = {"source": name, "rows": int(here.sum()), "unsupported": int((label & here).sum())}
        row["part"] = "eval" if unseen[here].any() else "train"
        row |= {m: asdict(i) for m, i in mine.of(name).items()}
        row["ece"] = expected_calibration_error(label[here], scores[OURS][here])
        out.append({**row, "baselines": {b: o.of(name)["auc"].value for b, o in others.items()}})
    return sorted(out, key=lambda row: row["auc"]["value"])


def expected_calibration_error(label: NDArray[np.bool_], probability: Scores, bins: int = BINS) -> float:
    """Mean distance between what was said and what was so, over bins of as many rows.

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
    """Say how far probabilities are off, each source and label weighing the same as the agent states it."""
    weigh = _even(source, label.astype(np.int64))
    keep = np.isin(source, _both(source, label))
    weigh, score, label = weigh[keep], score[keep], label[keep]
    order = np.argsort(score, kind="stable")
    reached = np.cumsum(weigh[order]) / weigh.sum()
    table = []
    for b in range(BINS):
        part = order[(reached > b / BINS) & (reached <= (b + 1) / BINS)]
        if len(part):
            said, was = (float(np.average(v[part], weights=weigh[part])) for v in (score, label))
            table.append(
                {"said": said, "was": was, "rows": len(part), "weight": float(weigh[part].sum() / weigh.sum())}
            )
    return {"ece": sum(row["weight"] * abs(row["said"] - row["was"]) for row in table), "bins": table}


def shipped(data: Path, known: NDArray[np.bool_]) -> dict[str, Any]:
    """Measure the agent as it ships on hallucination_eval, rows that are nearly training rows left out."""
    rows = read_labelled(data / "hallucination_eval.jsonl.gz", "hallucination")
    agent = HallucinationAgent()
    kept = [row for row, drop in zip(rows, known.tolist(), strict=True) if not drop]
    found = score_rows(agent, kept)
    label = np.array([row.label == 1 for row in kept])
    source = np.array([row.src for row in kept])
    out: dict[str, Any] = {"threshold": agent.threshold, "left_out": int(known.sum()), "sources": {}}
    ranking = _ranked(source, label, found.score, DRAWS)
    for name in ranking.names:
        here = source == name
        out["sources"][name] = {m: asdict(i) for m, i in ranking.of(name).items()} | {
            "recall": float(found.flag[here & label].mean()),
            "fpr": float(found.flag[here & ~label].mean()),
        }
    out["mean"] = _mean(source, label, found.score, DRAWS)
    return out
