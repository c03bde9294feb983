"""Train the weights that `agents.injection` ships.

    python -m training.train_injection ../shared/data

Reads ``injection_train.jsonl.gz`` (permissive licences only), leaves out the sources that the demo plays, writes
``agents/injection/weights.npz``. ``injection_eval.jsonl.gz`` is never opened. How well `fit` does on families of
sources that it has not seen: ``make quality``.

Two linear models are added: one over hashed n-grams, one over the concepts of `agents.injection.concepts`. Texts around
a prompt have weights of concepts of their own, trained on them alone. Each is logistic regression (AdaGrad), a text
being as bad as its worst window, and the mean of models that each saw two thirds of the families: what only one family
taught is diluted, what many taught is kept. Small trees then learn, from the odds that each row got from the models
that had not seen its family, how far to trust them. Thresholds come from the scores of trees, too, that had not seen
the family.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

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
MADE_BY_OTHERS = ("composed_doc_tool", "tasktracker_composed")
"""Attacks that others put into documents: their hosts and strings are rows of other sources, so they are not trained
on (we make our own) and would leak if they were measured."""
SAME_ORIGIN = {"cyberseceval_pi_multi": "cyberseceval_pi", "shire_llama3": "deepset", "shire_benign": "deepset"}
SAME_PREFIX = (
    "garak", "pyrit", "hermes", "xsafety", "react_docs", "agentbench", "plexpt", "bfcl", "fuzzyai", "ps_fuzz", "hard",
)  # fmt: skip
PARTINGS, THIRDS = 8, 3
"""How often the families are dealt into parts; a model is trained without each part, so all families have as many
models that never saw them."""
EPOCHS, RATE, SOURCE_CAP = 3, 0.2, 400
MOST_HARMLESS, MOST_ATTACKS, LONGEST = 400, 500, 4000
"""Rows of one source and role, and characters of a row, that are trained on."""
HARD, COMPOSED = 4500, 4000
"""Pairs of an attack and a harmless row."""
FALSE_POSITIVES = (0.012, 0.015, 0.003)
"""By role group, what a source of mean noise may give; `ABOVE` then takes the noisy ones in. A system prompt comes with
every call, so it may be wrong less often."""
PARTS = 4
"""Shares of the families that thresholds are crossed over."""
RISING = np.isin(np.arange(EVIDENCE_SIZE), (WORST_WORDS, WORST_CONCEPTS, MAX_WORDS, MAX_CONCEPTS))
LEAST_ROWS = 20
"""Harmless rows of a source in a script that are enough to tell its level."""
TAIL = 0.03
"""Share of a source's harmless rows by which its level is told; what a smaller share exceeds is extrapolated."""
ABOVE = 1.0
"""Deviations of sources above the mean at which a threshold is."""
SHRINK_GROUP, SHRINK_SCRIPT, SHRINK_SOURCE = 0.1, 5.0, 0.1
"""Levels worth which a role group, a script, a source are taken to be as all others."""
Row = dict[str, Any]


def family(source: str) -> str:
    """Return the name that sources of one origin share."""
    found = SAME_ORIGIN.get(source, source)
    return next((prefix for prefix in SAME_PREFIX if found.startswith(prefix)), found)


@dataclass(frozen=True)
class Features:
    """Features of blocks: block ``b`` has ``index[ends[b]:ends[b + 1]]``; ``prior`` is added to a window's number."""

    index: NDArray[np.int32]
    ends: NDArray[np.int64]
    size: int
    prior: float
    epochs: int
    ridge: float


@dataclass(frozen=True)
class Texts:
    """Rows with features; row ``r`` has blocks from ``rows[r]``."""

    grams: Features
    concepts: Features
    rows: NDArray[np.int64]
    label: NDArray[np.float64]
    source: NDArray[np.str_]
    family: NDArray[np.str_]
    role: NDArray[np.int64]
    scripts: NDArray[np.int64]
    other: NDArray[np.int64]
    """int64[n, 4]: spaces, words and word pairs, hidden characters, 1 where a disguise was taken off."""

    def __len__(self) -> int:
        return len(self.label)


def unmasked(text: str) -> tuple[str, int]:
    """Return what a disguise hides, and 1; the text itself and 0 where there is none."""
    raw = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    found = decode_obfuscation(text, int(find_hints(raw, 0, len(raw))))
    return (" ".join(plain for _, plain in found), 1) if found else (text, 0)


def hashed(rows: Sequence[Row]) -> Texts:
    """Hash every text in blocks of its role's half window."""
    grams: list[NDArray[Any]] = []
    cells: list[NDArray[Any]] = []
    gram_ends, cell_ends, first = [0], [0], [0]
    scripts = np.zeros((len(rows), len(SCRIPTS) + 1), np.int64)
    other = np.zeros((len(rows), 4), np.int64)
    for r, row in enumerate(rows):
        plain, other[r, 3] = unmasked(row["text"])
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
    """Return the odds of the window that begins at a block, and where its features begin and end."""
    begin, end = ends[block], ends[min(block + 2, last)]
    total = 0.0
    for k in range(begin, end):
        total += table[index[k]]
    return total / math.sqrt(max(1.0, end - begin + prior)), begin, end


@njit(cache=True)
def descend(index, ends, rows, label, weight, order, table, squares, state, rate, ridge, prior, worst):
    """One pass of AdaGrad on the log loss of each row's worst window (of its first two blocks where not ``worst``)."""
    for r in order:
        first, last = rows[r], rows[r + 1]
        odds, begin, end = window_odds(index, ends, first, last, table, prior)
        if worst:
            for b in range(first + 1, last - 1):
                other, i, j = window_odds(index, ends, b, last, table, prior)
                if other > odds:
                    odds, begin, end = other, i, j
        error = (1.0 / (1.0 + math.exp(-odds - state[0])) - label[r]) * weight[r]
        if abs(error) < 1e-4:
            continue
        scale = error / math.sqrt(max(1.0, end - begin + prior))
        for k in range(begin, end):
            j = index[k]
            gradient = scale + ridge * table[j]
            squares[j] += gradient * gradient
            table[j] -= rate * gradient / math.sqrt(squares[j])
        state[1] += error * error
        state[0] -= rate * error / math.sqrt(state[1])


@njit(cache=True)
def all_windows(index, ends, rows, table, prior, out):
    """Write the odds of the window that begins at each block."""
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
    """Weigh rows so that a large source does not drown the others, and attacks count as much as the rest."""
    weight = np.zeros(len(texts))
    for label in (0.0, 1.0):
        mine = chosen[texts.label[chosen] == label]
        _, which, count = np.unique(texts.source[mine], return_inverse=True, return_counts=True)
        w = (np.minimum(1.0, SOURCE_CAP / count) / np.sqrt(np.minimum(count, SOURCE_CAP)))[which] ** 0.5
        weight[mine] = w / w.sum()
    return weight * len(chosen) / 2


@dataclass(frozen=True)
class Bagged:
    """The mean of models, and what each window got from those of them that had not seen its row's family.

    Both are without the models' intercepts: what trees and thresholds are fitted to is what they are given in use.
    """

    table: NDArray[np.float64]
    unseen: NDArray[np.float64]
    judges: NDArray[np.int64]


def train(texts: Texts, features: Features, seed: int, among: NDArray[np.bool_] | None = None) -> Bagged:
    """Train models on rows (all, or those of ``among``), each without a third of the families."""
    windows, models = int(texts.rows[-1]), PARTINGS * THIRDS
    table = np.zeros(features.size)
    unseen, judges, odds = np.zeros(windows), np.zeros(windows, np.int64), np.empty(windows)
    names, of_row = np.unique(texts.family, return_inverse=True)
    for model in range(models):
        parting, third = divmod(model, THIRDS)
        part = np.random.default_rng((seed, 99, parting)).permutation(len(names)) % THIRDS
        rng = np.random.default_rng((seed, model))
        kept = part[of_row] != third
        mine = np.flatnonzero(kept if among is None else kept & among)
        weight = weights_of(texts, mine)
        one, squares, state = np.zeros(features.size), np.full(features.size, 1e-6), np.array([0.0, 1e-8])
        for epoch in range(features.epochs):
            descend(
                features.index, features.ends, texts.rows, texts.label, weight, rng.permutation(mine), one, squares,
                state, RATE, features.ridge, features.prior, epoch > 0,
            )  # fmt: skip
        all_windows(features.index, features.ends, texts.rows, one, features.prior, odds)
        out = np.repeat(~kept, np.diff(texts.rows))
        unseen[out] += odds[out]
        judges += out
        table += one / models
    return Bagged(table, unseen / np.maximum(judges, 1), judges)


def compose(rows: Sequence[Row], seed: int, pairs: int) -> list[Row]:
    """Put short attacks, and harmless requests, into the same clean documents, tool answers and system prompts."""
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
        cut = _seam(text, int(rng.integers(len(text))))
        before, after = (
            text[max(0, cut - int(rng.choice([100, 300, 900]))) : cut],
            text[cut:][: rng.choice([0, 100, 300, 900])],
        )
        for label, insert in ((1, attack["text"]), (0, aside["text"] if rng.random() < 0.6 else "")):
            source = f"composed_{label}"
            made = {"text": f"{before}{insert} {after}", "label": label, "src": source, "role": host["role"]}
            out.append({**made, "attack_src": attack["src"]})
    return out


def _picked(pool: Sequence[Row], number: int, rng: np.random.Generator) -> list[Row]:
    """Draw rows; a source's share grows with the square root of its size."""
    if not pool:
        return []
    count = Counter(r["src"] for r in pool)
    share = np.array([1 / math.sqrt(count[r["src"]]) for r in pool])
    return [pool[k] for k in rng.choice(len(pool), number, p=share / share.sum()).tolist()]


def _seam(host: str, near: int) -> int:
    for end in ("\n", ". ", "。", " "):
        at = host.find(end, near)
        if 0 <= at < near + 120:
            return at + len(end)
    return near


def capped(rows: Sequence[Row], seed: int) -> list[Row]:
    """Take no more rows of one source, label and role than are worth the time."""
    taken: Counter[tuple[str, int, str]] = Counter()
    out = []
    for k in np.random.default_rng((seed, 3)).permutation(len(rows)).tolist():
        row = rows[k]
        key = (row["src"], row["label"], row["role"])
        taken[key] += 1
        if taken[key] <= (MOST_ATTACKS if row["label"] else MOST_HARMLESS) and row["src"] not in MADE_BY_OTHERS:
            out.append({**row, "text": row["text"][:LONGEST]})
    return out


def scaled(worst: NDArray[np.float64], label: NDArray[np.float64], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression of the label on the worst odds (Newton, damped)."""
    x = np.stack([worst, np.ones_like(worst)], 1)
    beta = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        step = np.linalg.solve((x.T * (weight * p * (1 - p))) @ x + 1e-6 * np.eye(2), x.T @ (weight * (label - p)))
        beta += step * min(1.0, 0.2 / np.abs(step).max())
    return float(beta[0]), float(beta[1])


def thresholds_of(texts: Texts, odds: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the threshold of each role group and script from odds of models that had not seen the family.

    A source never seen is as likely to be noisy as any of those we have. The level of a source in a script is taken for
    a sum of what is common to all, its role group, its script and the source itself, the last three shrunk to nothing
    (a ridge regression, which is the best linear prediction of random effects). So a script is told by sources that
    have several, and a group or script with few sources is judged much as the others are.

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
    known = 4 + len(SCRIPTS)
    spread = float(np.sqrt(np.mean((level - design[:, :known] @ effects[:known]) ** 2)))
    return np.asarray(effects[0] + ABOVE * spread + effects[1:4, None] + effects[None, 4:known])


def levels(
    texts: Texts, odds: NDArray[np.float64], counted: NDArray[np.bool_]
) -> tuple[list[tuple[int, int, str]], NDArray[np.float64]]:
    """Return role group, script and source of each set of rows large enough, and the odds that few of it exceed.

    The tail is taken for exponential: the highest of a few hundred rows say too little of one in several hundred.
    """
    script = texts.scripts[:, 1:].argmax(1)
    group = np.array([THRESHOLD_ROW[Role(r)] for r in texts.role])
    cells: list[tuple[int, int, str]] = []
    level: list[float] = []
    for g, s in np.ndindex(3, len(SCRIPTS)):
        mine = (texts.label == 0) & counted & (group == g) & (script == s)
        names, count = np.unique(texts.source[mine], return_counts=True)
        for name in names[count >= LEAST_ROWS].tolist():
            high, low = np.quantile(odds[mine & (texts.source == name)], [1 - TAIL, 1 - 4 * TAIL]).tolist()
            cells.append((g, s, name))
            level.append(high + (high - low) * math.log(TAIL / FALSE_POSITIVES[g]) / math.log(4))
    return cells, np.array(level)


def grown(
    texts: Texts, x: NDArray[np.float64], weight: NDArray[np.float64], start: NDArray[np.float64], chosen: NDArray[Any]
) -> Trees:
    """Return the two sets of trees: for prompts of users, and for all else."""
    sets = []
    for users, columns in ((True, STYLE_COLUMNS), (False, range(EVIDENCE_SIZE))):
        mine = chosen & ((x[:, USER] > 0) == users)
        even = weight[mine] * mine.sum() / weight[mine].sum()
        sets.append(boost(x[mine], texts.label[mine], even, start[mine], RISING, columns))
    return Trees(*(np.stack(parts) for parts in zip(*sets, strict=True)))


def unseen_trees(
    texts: Texts, x: NDArray[np.float64], weight: NDArray[np.float64], start: NDArray[np.float64], seed: int
) -> NDArray[np.float64]:
    """Return the sum over trees for each row, of trees that had not seen its family."""
    names, of_row = np.unique(texts.family, return_inverse=True)
    part = np.random.default_rng((seed, 11)).integers(0, PARTS, len(names))[of_row]
    out = np.zeros(len(x))
    for p in range(PARTS):
        sums(x, *grown(texts, x, weight, start, (part != p) & (weight > 0)), part == p, out)
    return out


@njit(cache=True)
def sums(evidence, features, cuts, values, chosen, out):
    """Write what trees say of the chosen rows."""
    for r in range(len(evidence)):
        if chosen[r]:
            out[r] = sum_trees(evidence[r], features, cuts, values)


@dataclass(frozen=True)
class Model:
    """Weights as they would ship.

    Attributes
    ----------
    base
        What the agent takes.
    """

    base: InjectionWeights

    def scores(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Return float64[n, 2]: how far each row is over its threshold in log odds (>= 0 is flagged), and its log odds.

        Rows have ``text`` and ``role``; they are scored by the agent's own path.
        """
        agent = InjectionAgent(weights=self.base)
        out = np.full((len(rows), 2), -30.0)
        for k in range(0, len(rows), 256):
            chunk = Chunk([as_event(row) for row in rows[k : k + 256]])
            found = agent.score_texts(chunk.texts).scores
            best = np.empty(len(chunk), np.int64)
            worst_by_event(found.event, found.margin, best)
            there = np.flatnonzero(best >= 0)
            out[k + there, 0], out[k + there, 1] = found.margin[best[there]], found.odds[best[there]]
        return out


def fit(rows: Sequence[Row], seed: int = 0) -> Model:
    """Train on rows of ``text``, ``label``, ``src``, ``role`` and calibrate on families left out of each bag."""
    own = capped(rows, seed)
    hard = cases(HARD, seed)
    texts = hashed([*own, *hard, *compose([*own, *hard], seed, COMPOSED)])
    around = texts.role != Role.USER
    by_words, by_concepts = train(texts, texts.grams, seed), train(texts, texts.concepts, seed)
    by_own = train(texts, texts.concepts, seed, around)
    judged = by_words.judges[texts.rows[:-1]] > 0
    weight = weights_of(texts, np.flatnonzero(judged))
    unseen = np.where(np.repeat(around, np.diff(texts.rows)), by_own.unseen, by_concepts.unseen)
    x = evidence_of(texts, by_words.unseen, unseen)
    slope, bias = scaled(x[judged, WORST_WORDS] + x[judged, WORST_CONCEPTS], texts.label[judged], weight[judged])
    x[:, [WORST_WORDS, WORST_CONCEPTS, MAX_WORDS, MAX_CONCEPTS, MEAN_WORDS, MEAN_CONCEPTS]] *= slope
    start = x[:, WORST_WORDS] + x[:, WORST_CONCEPTS] + bias
    trees = grown(texts, x, weight, start, judged)
    odds = start + unseen_trees(texts, x, weight, start, seed)
    counted = judged & (np.arange(len(texts)) < len(own))
    thresholds = thresholds_of(texts, odds, counted)
    table = slope * np.concatenate([by_words.table, by_concepts.table, by_own.table])
    unit = float(np.abs(table).max() / 32_000)
    base = InjectionWeights(np.round(table / unit).astype(np.int16), unit, bias, 1.0, thresholds, *trees)
    return Model(replace(base, gain=gain_of(texts, x, base, odds, counted & (texts.label == 0))))


def evidence_of(texts: Texts, by_words: NDArray[np.float64], by_concepts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return float64[n, EVIDENCE_SIZE] from the odds of the windows that begin at each block."""
    x = np.empty((len(texts), EVIDENCE_SIZE))
    gather(texts.rows, by_words, by_concepts, texts.concepts.ends, texts.role, texts.scripts, texts.other, x)
    return x


def gain_of(
    texts: Texts, x: NDArray[np.float64], base: InjectionWeights, odds: NDArray[np.float64], harmless: NDArray[np.bool_]
) -> float:
    """Return the gain that gives the harmless row in a thousand a score of .97, at most 1: scores must still rank."""
    raw, level = np.empty(len(texts)), np.empty(len(texts))
    groups = np.array([THRESHOLD_ROW[Role(r)] for r in texts.role])
    compute_margins(x, texts.scripts, groups, base.bias, *base.trees, base.thresholds, raw, level)
    high = float(np.quantile((level + odds - raw)[harmless], 0.999))
    return math.log(0.97 / 0.03) / max(math.log(0.97 / 0.03), high)


def read(data: Path) -> list[Row]:
    """Return the rows that may be trained on."""
    with gzip.open(data / "injection_train.jsonl.gz") as lines:
        return [orjson.loads(line) for line in lines]


def main() -> None:
    """Train and write."""
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
