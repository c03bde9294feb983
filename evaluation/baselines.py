"""Baselines on the same folds: a keyword list, river's online classifiers and a batch linear model.

Each baseline is a function of training rows, test rows and a seed that returns the scores of the test rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from river import feature_extraction, forest, linear_model, optim
from scipy.sparse import csr_matrix
from sklearn.linear_model import SGDClassifier

from agents.common.hashing import FOLD, KIND, SIZE, fold, hash_features, kinds_of
from evaluation.splits import Row
from tools.evaluation.baseline import keywords

Scores = NDArray[np.float64]


class Baseline(Protocol):
    """Function that trains on some rows and scores other rows."""

    def __call__(self, train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
        """Return a score for each test row."""
        ...


@dataclass(frozen=True, slots=True)
class SampledBaseline:
    """Baseline with optional limits on its rows, for slow baselines.

    Attributes
    ----------
    run
        Function of the baseline.
    train, test
        Maximum numbers of rows for training and testing, drawn by seed; None for all rows.
    """

    run: Baseline
    train: int | None = None
    test: int | None = None


def keyword_list(train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    """Count the phrases of `tools.evaluation.baseline`."""
    del train, seed
    return np.array([float(keywords(row["text"])) for row in test])


def batch_linear(train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    """Train logistic regression by batch SGD on the agent's hashed n-grams, words and word pairs of the whole text."""
    model = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=8, tol=None, class_weight="balanced", random_state=seed)
    model.fit(hashed(train), [row["label"] for row in train])
    out: Scores = model.decision_function(hashed(test))
    return out


def river_logistic(train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    """Train river's BagOfWords and LogisticRegression (AdaGrad) in one pass."""
    return _online(linear_model.LogisticRegression(optim.AdaGrad(0.1)), train, test, seed)


def river_passive_aggressive(train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    """Train river's BagOfWords and PAClassifier in one pass."""
    make: Any = linear_model.PAClassifier  # untyped in river
    return _online(make(C=0.01, mode=1), train, test, seed)


def river_forest(train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    """Train river's BagOfWords and ARFClassifier (10 trees) in one pass."""
    return _online(forest.ARFClassifier(n_models=10, seed=seed), train, test, seed)


INJECTION: Mapping[str, SampledBaseline] = {
    "keyword list": SampledBaseline(keyword_list),
    "river BagOfWords + LogisticRegression": SampledBaseline(river_logistic),
    "river BagOfWords + PAClassifier": SampledBaseline(river_passive_aggressive),
    "river BagOfWords + ARFClassifier": SampledBaseline(river_forest, train=2000, test=1500),
    "batch SGD on the agent's n-grams": SampledBaseline(batch_linear),
}
"""Baselines by their name in the report."""


def sample(rows: Sequence[Row], limit: int | None, seed: int) -> NDArray[np.int64]:
    """Return at most ``limit`` random row numbers, ascending."""
    if limit is None or len(rows) <= limit:
        return np.arange(len(rows))
    return np.sort(np.random.default_rng(seed).permutation(len(rows))[:limit])


def hashed(rows: Sequence[Row]) -> csr_matrix:
    """Return the counts of the agent's hashed features, each row normalised to length 1."""
    parts: list[NDArray[np.uint32]] = []
    for row in rows:
        raw = np.frombuffer(row["text"].encode("utf-8", "replace"), np.uint8)
        text, where = np.empty(len(raw) + 1, np.int32), np.empty(len(raw) + 1, np.int64)
        n, _ = fold(raw, 0, len(raw), FOLD, len(raw) + 1, text, where)
        grams, words = np.empty(3 * n + 3, np.uint32), np.empty(2 * n + 2, np.uint32)
        gram_ends, word_ends = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
        kind = np.empty(n + 1, np.uint8)
        kinds_of(text, n, KIND, kind, np.zeros(6, np.int64))
        blocks = hash_features(text, kind, n, n + 1, grams, gram_ends, words, word_ends)
        features = [grams[: gram_ends[0]], words[: word_ends[0]]] if blocks else []
        parts.append(np.concatenate(features) if features else np.zeros(0, np.uint32))
    ends = np.cumsum([0, *(len(p) for p in parts)])
    index = np.concatenate(parts).astype(np.int32)
    length = np.maximum(1.0, np.sqrt(np.diff(ends).astype(np.float64)))
    out = csr_matrix((np.repeat(1.0 / length, np.diff(ends)), index, ends), shape=(len(rows), SIZE))
    out.sum_duplicates()
    return out


def _online(model: Any, train: Sequence[Row], test: Sequence[Row], seed: int) -> Scores:
    bag: Any = feature_extraction.BagOfWords(lowercase=True)
    for i in np.random.default_rng(seed).permutation(len(train)).tolist():
        model.learn_one(bag.transform_one(train[i]["text"]), bool(train[i]["label"]))
    words = (bag.transform_one(row["text"]) for row in test)
    if hasattr(model, "_raw_dot_one"):  # river's probability saturates at 0 and 1, which would tie rows
        return np.array([float(model._raw_dot_one(x)) for x in words])  # noqa: SLF001
    return np.array([model.predict_proba_one(x).get(True, 0.0) for x in words])
