"""Figures of injection scores by source of attacks, role, language and trigger word."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation import thresholds
from evaluation.resample import DRAWS, Interval, Means, Ranked, auc_of, ranked_means, share
from evaluation.splits import FOLDS, Row

TRIGGERS = (
    *("act as", "bypass", "developer mode", "disregard", "do not follow", "forget", "ignore", "jailbreak"),
    *("new instructions", "override", "pretend", "previous instructions", "roleplay", "system prompt", "you are now"),
)
"""Words of attacks that harmless prompts also use: "ignore null values", "override the method"."""
MIN_ATTACKS, MIN_HARMLESS, MIN_LANGUAGE = 20, 100, 10
"""Minimum rows of a source of attacks, of a group of harmless rows, and of the attacks in a language."""
UNSEEN_FOLD = FOLDS
"""Fold number of the sources of injection_eval; no fold trains on them, so one model scores all of them."""

_TRIGGER = re.compile(r"\b(?:" + "|".join(re.escape(t).replace(r"\ ", r"\s+") for t in TRIGGERS) + r")", re.IGNORECASE)


@dataclass
class Scored:
    """Rows with scores of models that were not trained on them.

    Attributes
    ----------
    rows, score, fold
        Lists of equal length.
    """

    rows: list[Row] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    fold: list[int] = field(default_factory=list)

    def add(self, rows: Sequence[Row], score: NDArray[np.float64], fold: int) -> None:
        self.rows += rows
        self.score += score.tolist()
        self.fold += [fold] * len(rows)


@dataclass(frozen=True)
class Table:
    """Columns of `Scored`, with flags."""

    rows: Sequence[Row]
    score: NDArray[np.float64]
    fold: NDArray[np.int64]
    attack: NDArray[np.bool_]
    flag: NDArray[np.bool_]
    source: NDArray[np.str_]
    role: NDArray[np.str_]
    language: NDArray[np.str_]

    @cached_property
    def original(self) -> NDArray[np.bool_]:
        """bool[n], rows of public sources, without composed rows."""
        return ~np.char.startswith(self.source, "composed:")

    @cached_property
    def harmless(self) -> NDArray[np.bool_]:
        """bool[n], rows of `original` without an attack."""
        return ~self.attack & self.original

    @cached_property
    def code(self) -> NDArray[np.int64]:
        """int64[n], number of each row's source; numbers compare faster than strings."""
        return np.unique(self.source, return_inverse=True)[1]

    @cached_property
    def triggers(self) -> NDArray[np.bool_]:
        """bool[n], harmless prompts with one of `TRIGGERS`."""
        out: NDArray[np.bool_] = self.harmless & (self.role == "user")
        out[out] = [has_trigger(self.rows[i]["text"]) for i in np.flatnonzero(out).tolist()]
        return out

    def by_source(self, chosen: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
        """Return the chosen row numbers as one array per source."""
        at = np.flatnonzero(chosen)
        order = at[np.argsort(self.code[at], kind="stable")]
        return np.split(order, np.flatnonzero(np.diff(self.code[order])) + 1) if len(at) else []


def as_table(scored: Scored, flag: NDArray[np.bool_] | None = None) -> Table:
    """Return scores as a table; without ``flag``, set flags with the thresholds of the other folds."""
    rows = scored.rows
    score, fold = np.array(scored.score), np.array(scored.fold)
    attack = np.array([row["label"] == 1 for row in rows])
    harmless = ~attack & ~np.array([row["src"].startswith("composed:") for row in rows])
    if flag is None:
        flag = thresholds.flags(score, harmless, thresholds.groups_of(rows), fold)
    columns = (np.array([row[key] for row in rows]) for key in ("src", "role", "lang"))
    return Table(rows, score, fold, attack, flag, *columns)


def sources_of(table: Table, minimum: int = MIN_ATTACKS) -> dict[str, NDArray[np.int64]]:
    """Return the attacks by source (and role, if it has several) for sources with at least ``minimum`` attacks."""
    out: dict[str, NDArray[np.int64]] = {}
    for attacks in table.by_source(table.attack):
        source, roles = str(table.source[attacks[0]]), np.unique(table.role[attacks]).tolist()
        for role in roles:
            chosen = attacks[table.role[attacks] == role]
            if len(chosen) >= minimum:
                out[source if len(roles) == 1 else f"{source} ({role})"] = chosen
    return out


def negatives_of(table: Table, attacks: NDArray[np.int64]) -> tuple[str, list[NDArray[np.float64]]]:
    """Return the scores of the harmless rows to rank attacks among, by source: all harmless rows of their role.

    A single fold has harmless rows of few sources, whose difficulty would dominate. Composed attacks are ranked among
    their own hosts.
    """
    role, source = str(table.role[attacks[0]]), str(table.source[attacks[0]])
    if source.startswith("composed:"):
        return source, [table.score[~table.attack & (table.code == table.code[attacks[0]])]]
    return role, [table.score[at] for at in table.by_source(table.harmless & (table.role == role))]


def ranked(table: Table, chosen: Mapping[str, NDArray[np.int64]], draws: int) -> Means:
    """Rank each source of attacks among the harmless rows of `negatives_of`."""
    positives: dict[str, Ranked] = {}
    negatives: dict[str, list[NDArray[np.float64]]] = {}
    for name, attacks in chosen.items():
        key, groups = negatives_of(table, attacks)
        negatives[key] = groups
        positives[name] = Ranked(table.score[attacks], key)
    return ranked_means(positives, negatives, draws)


def system_figures(table: Table, draws: int) -> dict[str, Any]:
    """Return the figures of a system, including its AUC by source."""
    chosen = sources_of(table)
    means = ranked(table, chosen, draws)
    real = {n: at for n, at in chosen.items() if not n.startswith("composed:")}
    parts = {
        "all": real,
        "injection_train": {n: at for n, at in real.items() if table.fold[at[0]] != UNSEEN_FOLD},
        "injection_eval": {n: at for n, at in real.items() if table.fold[at[0]] == UNSEEN_FOLD},
    }
    roles = sorted({str(table.role[at[0]]) for at in chosen.values()})
    return {
        "means": {name: _mean(table, part, means) for name, part in parts.items()},
        "fpr": asdict(flagged(table, table.harmless, draws)),
        "by_role": {
            r: _mean(table, {n: at for n, at in chosen.items() if table.role[at[0]] == r}, means) for r in roles
        },
        "trigger_words": trigger_words(table),
        "sources": sorted(
            (_source(table, name, attacks, means) for name, attacks in chosen.items()),
            key=lambda row: float(row["auc"]["value"]),
        ),
    }


def _mean(table: Table, part: Mapping[str, NDArray[np.int64]], means: Means) -> dict[str, Any]:
    figures = {measure: asdict(interval) for measure, interval in means.mean(list(part)).items()}
    recall = float(np.mean([table.flag[at].mean() for at in part.values()])) if part else None
    return {"sources": len(part), "attacks": sum(len(at) for at in part.values()), "recall": recall, **figures}


def _source(table: Table, name: str, attacks: NDArray[np.int64], means: Means) -> dict[str, Any]:
    return {
        "source": name,
        "role": str(table.role[attacks[0]]),
        "fold": int(table.fold[attacks[0]]),
        "attacks": len(attacks),
        "harmless": sum(len(group) for group in negatives_of(table, attacks)[1]),
        "recall": float(table.flag[attacks].mean()),
        "own_auc": _within_source_auc(table, attacks),
        **{measure: asdict(interval) for measure, interval in means.of(name).items()},
    }


def _within_source_auc(table: Table, attacks: NDArray[np.int64]) -> float | None:
    """Return the AUC against the harmless rows of the same source, of any role."""
    negatives = table.harmless & (table.code == table.code[attacks[0]])
    if negatives.sum() < MIN_ATTACKS:
        return None
    return auc_of(table.score[attacks], table.score[negatives])


def by_language(table: Table) -> dict[str, Any]:
    """Return the figures of each language for prompts: its attacks among its harmless rows, both held out."""
    return {
        language: figures
        for language in sorted(np.unique(table.language).tolist())
        if (figures := language_figures(_subset(table, (table.language == language) & table.original))) is not None
    }


def _subset(table: Table, chosen: NDArray[np.bool_]) -> Table:
    at = np.flatnonzero(chosen)
    columns = (getattr(table, n)[at] for n in ("score", "fold", "attack", "flag", "source", "role", "language"))
    return Table([table.rows[i] for i in at.tolist()], *columns)


def language_figures(table: Table) -> dict[str, Any] | None:
    """Return AUC and recall of prompts; None with too few attacks."""
    prompts = table.role == "user"
    harmless = prompts & ~table.attack
    attacks = int((prompts & table.attack).sum())
    if attacks < MIN_LANGUAGE:
        return None
    return {
        "attacks": attacks,
        "sources": len(np.unique(table.source[prompts & table.attack])),
        "auc": auc_of(table.score[prompts & table.attack], table.score[harmless])
        if harmless.sum() >= MIN_ATTACKS
        else None,
        "recall": asdict(flagged(table, prompts & table.attack)),
    }


def flagged(table: Table, chosen: NDArray[np.bool_], draws: int = DRAWS) -> Interval:
    return share([table.flag[at] for at in table.by_source(chosen)], draws)


def false_positives(table: Table) -> list[dict[str, Any]]:
    """Return the fraction of flagged harmless rows by language and role, the largest first."""
    out = []
    harmless = table.harmless
    for role in np.unique(table.role[harmless]):
        for language in ["all", *np.unique(table.language[harmless & (table.role == role)]).tolist()]:
            chosen = harmless & (table.role == role) & ((table.language == language) | (language == "all"))
            if chosen.sum() >= MIN_HARMLESS:
                row = {"role": str(role), "language": language, "rows": int(chosen.sum())}
                row["sources"] = len(np.unique(table.source[chosen]))
                out.append({**row, "fpr": asdict(flagged(table, chosen))})
    return sorted(out, key=lambda row: -row["fpr"]["value"])


def has_trigger(text: str) -> bool:
    """Return True if a text has one of `TRIGGERS`, or a word that starts with it.

    Examples
    --------
    >>> has_trigger("How do I override a method?"), has_trigger("What is forgery?")
    (True, False)
    """
    return _TRIGGER.search(text) is not None


def trigger_words(table: Table) -> dict[str, Any]:
    """Return the fraction of harmless prompts with a trigger word that are flagged."""
    return {"rows": int(table.triggers.sum()), "fpr": asdict(flagged(table, table.triggers))}


def by_word(table: Table) -> dict[str, Any]:
    """Return the fraction of flagged harmless prompts by trigger word, for words with enough prompts."""
    out = {}
    at = np.flatnonzero(table.triggers)
    for word in TRIGGERS:
        pattern = re.compile(r"\b" + re.escape(word).replace(r"\ ", r"\s+"), re.IGNORECASE)
        chosen = [i for i in at.tolist() if pattern.search(table.rows[i]["text"])]
        if len(chosen) >= MIN_ATTACKS:
            out[word] = {"rows": len(chosen), "fpr": float(table.flag[chosen].mean())}
    return out
