"""Train the weights that `agents.injection` ships, and say how well they do on sources they have not seen.

    python benchmarks/train_injection.py ../shared/data

Reads ``injection_train.jsonl.gz`` (permissive licences only), leaves out the sources that the demo plays, writes
``agents/injection/weights.npz``, prints leave-source-out figures. ``injection_eval.jsonl.gz`` is never opened.

The model is logistic regression over hashed features (AdaGrad), a text being as bad as its worst window. It is the mean
of models that each saw a random share of the sources: what only one source taught is diluted, what many taught is kept.
Attack strings are put into clean documents, tool answers and system prompts, so that it is the attack that tells and
not the host.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numba import njit
from numpy.typing import NDArray

from agents.base import Role
from agents.hashing import FOLD, KIND, SIZE, fold, hash_features
from agents.injection.scan import margins
from agents.injection.weights import GROUPS, HALF_WINDOW, SCRIPTS

HELD_OUT = Path("streams/simulator/samples/held_out.json")
MADE_BY_OTHERS = ("composed_doc_tool", "tasktracker_composed")
"""Attacks that others put into documents: their hosts and strings are rows of other sources, so they are not trained
on (we make our own, per fold) and would leak if they were measured."""
FOLDS, BAGS, SHARE, EPOCHS = 6, 8, 0.7, 6
RATE, RIDGE, SOURCE_CAP = 0.2, 1e-6, 400
COMPOSED = 5000
FALSE_POSITIVES = 0.01
ALIKE = 0.1
"""Share of the tail that each further window of a text adds: windows of one text are alike, so their highest is not
that of as many strangers. With 1 an attack at the end of 50 kB was lost."""
LEAST_ROWS = 300
"""Harmless rows that a role and script needs for a threshold of its own."""


@dataclass(frozen=True)
class Texts:
    """Rows with features: block ``b`` has ``index[ends[b]:ends[b + 1]]``, row ``r`` blocks from ``rows[r]``."""

    index: NDArray[np.uint32]
    ends: NDArray[np.int64]
    rows: NDArray[np.int64]
    label: NDArray[np.float64]
    source: NDArray[np.str_]
    role: NDArray[np.int64]
    scripts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


def hashed(rows: list[dict[str, Any]]) -> Texts:
    """Hash every text in blocks of its role's half window."""
    index: list[NDArray[np.uint32]] = []
    ends, first = [0], [0]
    scripts = np.zeros((len(rows), len(SCRIPTS) + 1), np.int64)
    for r, row in enumerate(rows):
        raw = np.frombuffer(row["text"].encode("utf-8", "replace"), np.uint8)
        text, where = np.empty(len(raw) + 1, np.int32), np.empty(len(raw) + 1, np.int64)
        block = HALF_WINDOW[Role[row["role"].upper()]]
        n, _ = fold(raw, 0, len(raw), FOLD, block, text, where)
        grams, words = np.empty(3 * n + 3, np.uint32), np.empty(2 * n + 2, np.uint32)
        gram_ends, word_ends = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
        blocks = hash_features(text, n, KIND, block, grams, gram_ends, words, word_ends)
        scripts[r] = np.bincount(KIND[text[:n][text[:n] < len(KIND)]], minlength=len(SCRIPTS) + 1)
        g = w = 0
        for b in range(blocks):
            index += [grams[g : gram_ends[b]], words[w : word_ends[b]]]
            g, w = gram_ends[b], word_ends[b]
            ends.append(ends[-1] + len(index[-1]) + len(index[-2]))
        first.append(len(ends) - 1)
    return Texts(
        np.concatenate(index),
        np.array(ends),
        np.array(first),
        np.array([float(row["label"]) for row in rows]),
        np.array([row["src"] for row in rows]),
        np.array([Role[row["role"].upper()] for row in rows]),
        scripts,
    )


def both(one: Texts, other: Texts) -> Texts:
    """Return the rows of both."""
    return Texts(
        np.concatenate([one.index, other.index]),
        np.concatenate([one.ends, one.ends[-1] + other.ends[1:]]),
        np.concatenate([one.rows, one.rows[-1] + other.rows[1:]]),
        *(np.concatenate([getattr(one, n), getattr(other, n)]) for n in ("label", "source", "role", "scripts")),
    )


@njit(cache=True)
def odds_of(index, ends, first, last, table):
    """Return the highest sum over sqrt(features) of two neighbouring blocks, the first of them, and their ends."""
    best, at = -np.inf, first
    for b in range(first, max(first + 1, last - 1)):
        begin, end = ends[b], ends[min(b + 2, last)]
        total = 0.0
        for k in range(begin, end):
            total += table[index[k]]
        if end > begin and total / math.sqrt(end - begin) > best:
            best, at = total / math.sqrt(end - begin), b
    return best, at


@njit(cache=True)
def descend(  # noqa: PLR0913, PLR0917 - a compiled kernel
    index, ends, rows, label, weight, order, table, squares, state, rate, ridge, worst
):
    """One pass of AdaGrad on the log loss of each row's worst window (of its first two blocks where not ``worst``)."""
    for r in order:
        first, last = rows[r], rows[r + 1]
        odds, b = odds_of(index, ends, first, last if worst else min(last, first + 2), table)
        if odds == -np.inf:
            continue
        begin, end = ends[b], ends[min(b + 2, last)]
        error = (1.0 / (1.0 + math.exp(-odds - state[0])) - label[r]) * weight[r]
        if abs(error) < 1e-4:
            continue
        for k in range(begin, end):
            j = index[k]
            gradient = error / math.sqrt(end - begin) + ridge * table[j]
            squares[j] += gradient * gradient
            table[j] -= rate * gradient / math.sqrt(squares[j])
        state[1] += error * error
        state[0] -= rate * error / math.sqrt(state[1])


def weights_of(texts: Texts, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weigh rows so that a large source does not drown the others, and attacks count as much as the rest."""
    weight = np.zeros(len(texts))
    for label in (0.0, 1.0):
        mine = chosen[texts.label[chosen] == label]
        _, which, count = np.unique(texts.source[mine], return_inverse=True, return_counts=True)
        w = np.minimum(1.0, SOURCE_CAP / count)[which] ** 0.5
        weight[mine] = w / w.sum()
    return weight * len(chosen) / 2


def train(texts: Texts, chosen: NDArray[np.int64], seed: int) -> tuple[NDArray[np.float64], float]:
    """Return the mean of models over random shares of the sources."""
    table, bias = np.zeros(SIZE), 0.0
    sources = np.unique(texts.source[chosen])
    for bag in range(BAGS):
        rng = np.random.default_rng((seed, bag))
        kept = set(sources[rng.random(len(sources)) < SHARE]) | {"composed"}
        mine = chosen[[s in kept for s in texts.source[chosen]]]
        weight = weights_of(texts, mine)
        one, squares, state = np.zeros(SIZE), np.full(SIZE, 1e-6), np.array([0.0, 1e-8])
        for epoch in range(EPOCHS):
            descend(
                texts.index, texts.ends, texts.rows, texts.label, weight, rng.permutation(mine), one, squares, state,
                RATE, RIDGE, epoch > 0,
            )  # fmt: skip
        table += one / BAGS
        bias += state[0] / BAGS
    return table, bias


def compose(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Put short attacks into clean documents, tool answers and system prompts, at the end of a line or sentence."""
    rng = np.random.default_rng(seed)
    attacks = [r for r in rows if r["label"] and r["role"] == "user" and 20 < len(r["text"]) < 400]
    hosts = [r for r in rows if not r["label"] and r["role"] != "user" and len(r["text"]) > 200]
    _, which, count = np.unique([r["src"] for r in attacks], return_inverse=True, return_counts=True)
    share = (1.0 / np.sqrt(count))[which]
    picked = rng.choice(len(attacks), COMPOSED, p=share / share.sum())
    out = []
    for a, h in zip(picked, rng.integers(len(hosts), size=COMPOSED), strict=True):
        host = hosts[h]["text"][:3000]
        cut = _seam(host, int(rng.integers(len(host))))
        text = f"{host[max(0, cut - 300) : cut]}{attacks[a]['text']} {host[cut : cut + 300]}"
        out.append({"text": text, "label": 1, "src": "composed", "role": hosts[h]["role"]})
    return out


def _seam(host: str, near: int) -> int:
    for end in ("\n", ". ", "。", " "):
        at = host.find(end, near)
        if 0 <= at < near + 120:
            return at + len(end)
    return near


def folds_of(texts: Texts) -> NDArray[np.int64]:
    """Deal sources to folds, largest first to the emptiest, attacks and harmless ones apart."""
    fold_by: dict[str, int] = {}
    for label in (1.0, 0.0):
        load = np.zeros(FOLDS)
        names, counts = np.unique(texts.source[texts.label == label], return_counts=True)
        for name, count in sorted(zip(names, counts, strict=True), key=lambda pair: -pair[1]):
            fold_by.setdefault(str(name), int(np.argmin(load)))
            load[fold_by[str(name)]] += count
    fold_by["cyberseceval_pi_multi"] = fold_by["cyberseceval_pi"]  # the same attacks, translated
    return np.array([fold_by[str(s)] for s in texts.source])


def odds(texts: Texts, chosen: NDArray[np.int64], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each row's highest odds, without the bias."""
    return np.array(
        [odds_of(texts.index, texts.ends, texts.rows[r], texts.rows[r + 1], table)[0] for r in chosen.tolist()]
    )


def auc(label: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve (Mann-Whitney, ties shared)."""
    _, which, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[which]
    positive = label.sum()
    return float((rank[label == 1].sum() - positive * (positive + 1) / 2) / (positive * (len(label) - positive)))


def calibrate(texts: Texts, odds_: NDArray[np.float64], bias: float) -> dict[str, NDArray[np.float64]]:
    """Return thresholds by role group and script, and the tails, from odds of models that had not seen the source."""
    groups = np.array([GROUPS[Role(r)] for r in texts.role])
    script = texts.scripts[:, 1:].argmax(1)
    windows = np.maximum(1, np.diff(texts.rows) - 1)
    tails, thresholds = np.zeros(3), np.zeros((3, len(SCRIPTS)))
    harmless = (texts.label == 0) & np.isfinite(odds_)
    for g in range(3):
        mine = odds_[harmless & (groups == g)] + bias
        tails[g] = ALIKE * np.mean(mine[mine > np.quantile(mine, 0.9)] - np.quantile(mine, 0.9))
        level = odds_ + bias - tails[g] * np.log(windows)
        thresholds[g] = np.quantile(level[harmless & (groups == g)], 1 - FALSE_POSITIVES)
        for s in range(len(SCRIPTS)):
            few = level[harmless & (groups == g) & (script == s)]
            if len(few) >= LEAST_ROWS:
                thresholds[g, s] = np.quantile(few, 1 - FALSE_POSITIVES)
    return {"tails": tails, "thresholds": thresholds}


def margins_of(texts: Texts, odds_: NDArray[np.float64], bias: float, limits: dict[str, Any]) -> NDArray[np.float64]:
    """Return how far each row is over its threshold, by the agent's own kernel."""
    out = np.empty(len(texts))
    groups = np.array([GROUPS[Role(r)] for r in texts.role])
    windows = np.maximum(1, np.diff(texts.rows) - 1)
    margins(odds_, windows, texts.scripts, groups, 1.0, bias, limits["thresholds"], limits["tails"], out)
    return out


def main() -> None:
    """Train, calibrate on unseen sources, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with injection_train.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("agents/injection/weights.npz"))
    arguments = parser.parse_args()
    held_out = set(json.loads(HELD_OUT.read_text())["injection"])
    with gzip.open(arguments.data / "injection_train.jsonl.gz") as lines:
        rows = [orjson.loads(line) for line in lines]
    rows = [r for r in rows if r["src"] not in MADE_BY_OTHERS and r["src"] not in held_out]
    texts = hashed(rows)
    folds = folds_of(texts)
    unseen = np.empty(len(texts))
    for f in range(FOLDS):
        seen, other = np.flatnonzero(folds != f), np.flatnonzero(folds == f)
        made = hashed(compose([rows[r] for r in seen.tolist()], f))
        more = both(texts, made)
        table, bias = train(more, np.concatenate([seen, np.arange(len(texts), len(more))]), f)
        unseen[other] = odds(texts, other, table) + bias
        print(f"fold {f}: AUC {auc(texts.label[other], unseen[other]):.3f}", flush=True)
    limits = calibrate(texts, unseen, 0.0)
    level = margins_of(texts, unseen, 0.0, limits)
    harmless = texts.label == 0
    gain = math.log(0.97 / 0.03) / max(0.1, float(np.quantile(level[harmless], 1 - FALSE_POSITIVES / 10)))
    print(f"leave-source-out: AUC {auc(texts.label, level):.3f}, recall {np.mean(level[~harmless] >= 0):.3f}")
    print(f"harmless flagged {np.mean(level[harmless] >= 0):.4f}, gain {gain:.2f}, {limits}")
    more = both(texts, hashed(compose(rows, FOLDS)))
    table, bias = train(more, np.arange(len(more)), FOLDS)
    unit = float(np.abs(table).max() / 32_000)
    np.savez_compressed(
        arguments.out, table=np.round(table / unit).astype(np.int16), unit=unit, bias=bias, gain=gain, **limits
    )
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
