"""Injection: how well attacks of sources never seen are told from harmless text of sources never seen.

Every figure is of models that had neither the source nor its family, nor a near-duplicate of the row. A source of
attacks is ranked among the harmless rows of its role that are held out with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality import baselines, composed, ours, thresholds
from benchmarks.quality.near import NearDuplicates
from benchmarks.quality.resample import Interval, Ranked, auc_of, ranked_means, share
from benchmarks.quality.rows import read
from benchmarks.quality.splits import (
    FOLDS,
    LANGUAGES,
    NOT_TESTED,
    NOT_TRAINED,
    Row,
    family_of,
    leave_family_out,
    leave_language_out,
    near_duplicates_of,
)

OURS = "injection agent"
TRIGGERS = (
    *("act as", "bypass", "developer mode", "disregard", "do not follow", "forget", "ignore", "jailbreak"),
    *("new instructions", "override", "pretend", "previous instructions", "roleplay", "system prompt", "you are now"),
)
"""Words that attacks are made of, and harmless prompts too: "ignore null values", "override the method"."""
LEAST_ATTACKS, LEAST_HARMLESS, LEAST_LANGUAGE = 20, 100, 10
"""Rows that a source of attacks, a group of harmless rows and the attacks of a language need for a figure."""
UNSEEN_FOLD = FOLDS
"""The sources of injection_eval: no fold trains on them, so one model serves them all."""

_TRIGGER = re.compile(r"\b(?:" + "|".join(re.escape(t).replace(r"\ ", r"\s+") for t in TRIGGERS) + r")", re.IGNORECASE)


@dataclass
class Scored:
    """Rows that models scored which had not seen them.

    Attributes
    ----------
    rows, score, fold
        Of equal length.
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
    """`Scored` as columns, with flags."""

    rows: Sequence[Row]
    score: NDArray[np.float64]
    fold: NDArray[np.int64]
    attack: NDArray[np.bool_]
    flag: NDArray[np.bool_]
    source: NDArray[np.str_]
    role: NDArray[np.str_]
    language: NDArray[np.str_]


@dataclass(frozen=True)
class Job:
    """One training: which rows, and which to score with what comes out."""

    name: str
    fold: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def measure(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the agent, JSON-able."""
    folds = _folds(data)
    mine = _tables([OURS], folds, jobs, say)[OURS]
    return {
        "folds": [_described(job) for job in folds],
        **_of_system(mine, 300),
        "sources": by_source(mine),
        "by_language": by_language(mine),
        "false_positives": false_positives(mine),
        "by_word": by_word(mine),
    }


def measure_baselines(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of what others do, by name."""
    tables = _tables(list(baselines.INJECTION), _folds(data), jobs, say)
    out: dict[str, Any] = {}
    for name, table in tables.items():
        system = baselines.INJECTION[name]
        found = _ranked(table, sources_of(table, least=5), 0).by_source
        out[name] = _of_system(table, 100) | {"auc": {source: m["auc"].value for source, m in found.items()}}
        out[name]["sampled"] = [system.train, system.test] if system.train or system.test else None
    return out


def _of_system(table: Table, draws: int) -> dict[str, Any]:
    return {
        "means": summary(table, draws),
        "by_role": by_role(table),
        "trigger_words": trigger_words(table),
    }


def _folds(data: Path) -> list[Job]:
    _load(data)
    folds = [Job(f.name, k, f.train, f.test) for k, f in enumerate(leave_family_out(_TRAIN, near=_NEAR[0]))]
    return [*folds, _evaluation_job()]


def _tables(names: Sequence[str], folds: Sequence[Job], jobs: int, say: Callable[[str], None]) -> dict[str, Table]:
    out: dict[str, Table] = {}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        for name in names:
            one, flags = Scored(), list[NDArray[np.bool_]]()
            for job, (rows, score, flag) in zip(folds, pool.map(partial(_run, name), folds), strict=True):
                one.add(rows, score, job.fold)
                flags += [] if flag is None else [flag]
                say(f"{name}: {job.name}, {len(rows)} rows")
            out[name] = as_table(one, np.concatenate(flags) if flags else None)
    return out


def languages(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return figures of languages that models never read.

    The threshold is that of 1 % false positives on the fold's harmless rows in the other languages, which is all that
    could be known.
    """
    _load(data)
    near = _NEAR[0]
    whole = list(leave_family_out(_TRAIN, near=near))
    held: list[tuple[str, Job]] = []
    for group, codes in LANGUAGES.items():
        for k, (fold, full) in enumerate(zip(leave_language_out(_TRAIN, codes, near=near), whole, strict=True)):
            if sum(_ROWS[i]["label"] for i in fold.test.tolist()) >= LEAST_LANGUAGE:
                held.append((group, Job(fold.name, k, fold.train, full.test)))
    found: dict[str, list[tuple[Job, list[Row], NDArray[np.float64]]]] = {}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        each = pool.map(partial(_run, OURS), [job for _, job in held])
        for (group, job), (rows, score, _) in zip(held, each, strict=True):
            found.setdefault(group, []).append((job, rows, score))
            say(f"{group} never read: {job.name}")
    return {group: _never_read(parts, LANGUAGES[group]) for group, parts in found.items()}


def _never_read(
    parts: Sequence[tuple[Job, list[Row], NDArray[np.float64]]], languages_: Sequence[str]
) -> dict[str, Any] | None:
    """Figures of the prompts in some languages, flagged where they are over what those in others gave."""
    scored, flagged = Scored(), list[NDArray[np.bool_]]()
    for job, rows, score in parts:
        prompt = np.array([row["role"] == "user" for row in rows])
        theirs = np.array([row["lang"] in languages_ for row in rows])
        harmless = np.array([row["label"] == 0 for row in rows])
        limit = np.quantile(score[prompt & ~theirs & harmless], 1 - thresholds.FALSE_POSITIVES)
        mine = np.flatnonzero(prompt & theirs)
        scored.add([rows[i] for i in mine.tolist()], score[mine], job.fold)
        flagged.append(score[mine] > limit)
    table = as_table(scored, np.concatenate(flagged))
    figures = _language_figures(table)
    return None if figures is None else figures | {"fpr": asdict(_share(table, ~table.attack))}


_TRAIN: list[dict[str, Any]] = []
_ROWS: list[dict[str, Any]] = []
"""All rows, those to train on first; read once, before the processes fork."""
_NEAR: list[NearDuplicates] = []


def _load(data: Path) -> None:
    if not _ROWS:
        _TRAIN.extend(read(data, "injection_train"))
        _ROWS.extend([*_TRAIN, *read(data, "injection_eval")])
        _NEAR.append(near_duplicates_of(_ROWS))


def _evaluation_job() -> Job:
    test = np.array([i for i in range(len(_TRAIN), len(_ROWS)) if _ROWS[i]["src"] not in NOT_TESTED])
    kin = {family_of(_ROWS[i]["src"]) for i in test.tolist()}
    train = np.array(
        [i for i, r in enumerate(_TRAIN) if family_of(r["src"]) not in kin and r["src"] not in NOT_TRAINED]
    )
    return Job("injection_eval", UNSEEN_FOLD, train[~_NEAR[0].of(train, test)], test)


def _run(name: str, job: Job) -> tuple[list[Row], NDArray[np.float64], NDArray[np.bool_] | None]:
    """Train one system on a fold; score the fold's test rows and what is composed of them, flag what ours would."""
    train = [_ROWS[i] for i in job.train.tolist()]
    test: list[Row] = [_ROWS[i] for i in job.test.tolist()]
    test += composed.compose(test, job.fold)
    if name == OURS:
        return test, *ours.judge(ours.fit_injection(train), test)
    system = baselines.INJECTION[name]
    train = [train[i] for i in baselines.sample(train, system.train, job.fold)]
    test = [test[i] for i in baselines.sample(test, system.test, job.fold)]
    return test, system.run(train, test, ours.SEED), None


def _described(job: Job) -> dict[str, Any]:
    sources = sorted({_ROWS[i]["src"] for i in job.test.tolist()})
    attacks = sum(_ROWS[i]["label"] for i in job.test.tolist())
    return {"name": job.name, "train": len(job.train), "test": len(job.test), "attacks": attacks, "sources": sources}


def as_table(scored: Scored, flag: NDArray[np.bool_] | None = None) -> Table:
    """Lay out scores; set flags at thresholds that other folds gave, where they are not given."""
    rows = scored.rows
    score, fold = np.array(scored.score), np.array(scored.fold)
    attack = np.array([row["label"] == 1 for row in rows])
    harmless = ~attack & ~np.array([row["src"].startswith("composed:") for row in rows])
    if flag is None:
        flag = thresholds.flags(score, harmless, thresholds.groups_of(rows), fold)
    columns = (np.array([row[key] for row in rows]) for key in ("src", "role", "lang"))
    return Table(rows, score, fold, attack, flag, *columns)


def _own(table: Table) -> NDArray[np.bool_]:
    """Rows that are somebody's, not composed here."""
    return ~np.char.startswith(table.source, "composed:")


def sources_of(table: Table, least: int = LEAST_ATTACKS) -> dict[str, NDArray[np.int64]]:
    """Attacks by source and role, those with enough of them."""
    out: dict[str, NDArray[np.int64]] = {}
    for source in np.unique(table.source):
        mine = table.attack & (table.source == source)
        roles = np.unique(table.role[mine])
        for role in roles:
            chosen = np.flatnonzero(mine & (table.role == role))
            if len(chosen) >= least:
                name = str(source) if not _split_by_role(table, source) else f"{source} ({role})"
                out[name] = chosen
    return out


def _split_by_role(table: Table, source: str) -> bool:
    return len(np.unique(table.role[table.attack & (table.source == source)])) > 1


def among(table: Table, attacks: NDArray[np.int64]) -> tuple[str, list[NDArray[np.float64]]]:
    """Harmless rows that attacks are ranked among: of the same role and fold, of all folds where those are few.

    Composed attacks are ranked among their own hosts.
    """
    role, fold, source = str(table.role[attacks[0]]), int(table.fold[attacks[0]]), str(table.source[attacks[0]])
    if source.startswith("composed:"):
        harmless = ~table.attack & (table.source == source)
        return source, [table.score[harmless]]
    harmless = ~table.attack & _own(table) & (table.role == role)
    if (harmless & (table.fold == fold)).sum() >= LEAST_HARMLESS:
        harmless, name = harmless & (table.fold == fold), f"{role} {fold}"
    else:
        name = role
    return name, [table.score[harmless & (table.source == s)] for s in np.unique(table.source[harmless])]


def _ranked(table: Table, chosen: Mapping[str, NDArray[np.int64]], draws: int) -> Any:
    ranked: dict[str, Ranked] = {}
    negatives: dict[str, list[NDArray[np.float64]]] = {}
    for name, attacks in chosen.items():
        key, groups = among(table, attacks)
        negatives[key] = groups
        ranked[name] = Ranked(table.score[attacks], key)
    return ranked_means(ranked, negatives, draws)


def summary(table: Table, draws: int) -> dict[str, Any]:
    """Means over sources of attacks, and shares of flags, of one system."""
    chosen = {n: at for n, at in sources_of(table).items() if not n.startswith("composed:")}
    parts = {
        "all": chosen,
        "injection_train": {n: at for n, at in chosen.items() if table.fold[at[0]] != UNSEEN_FOLD},
        "injection_eval": {n: at for n, at in chosen.items() if table.fold[at[0]] == UNSEEN_FOLD},
    }
    out: dict[str, Any] = {}
    for name, part in parts.items():
        found = _ranked(table, part, draws)
        out[name] = {"sources": len(part), **{m: asdict(i) for m, i in found.mean.items()}}
        out[name]["recall"] = float(np.mean([table.flag[at].mean() for at in part.values()])) if part else None
    out["fpr"] = asdict(_share(table, ~table.attack & _own(table), draws))
    return out


def by_source(mine: Table) -> list[dict[str, Any]]:
    """Figures of each source of attacks, the worst first."""
    chosen = sources_of(mine)
    found = _ranked(mine, chosen, 300)
    out = []
    for name, attacks in chosen.items():
        key, groups = among(mine, attacks)
        row = {
            "source": name,
            "role": str(mine.role[attacks[0]]),
            "fold": int(mine.fold[attacks[0]]),
            "attacks": len(attacks),
            "harmless": int(sum(len(g) for g in groups)),
            "among": key,
            "recall": float(mine.flag[attacks].mean()),
            "own_auc": _own_auc(mine, attacks),
            **{m: asdict(i) for m, i in found.by_source[name].items()},
        }
        out.append(row)
    return sorted(out, key=lambda row: row["auc"]["value"])


def _own_auc(table: Table, attacks: NDArray[np.int64]) -> float | None:
    """AUC against the harmless rows of the very source, of whatever role."""
    source = table.source[attacks[0]]
    own = ~table.attack & (table.source == source)
    if source.startswith("composed:") or own.sum() < LEAST_ATTACKS:
        return None
    return auc_of(table.score[attacks], table.score[own])


def by_role(table: Table) -> dict[str, Any]:
    """Means over the sources of a role; composed attacks are a source of theirs."""
    out: dict[str, Any] = {}
    chosen = sources_of(table)
    for role in sorted({str(table.role[at[0]]) for at in chosen.values()}):
        part = {n: at for n, at in chosen.items() if table.role[at[0]] == role}
        found = _ranked(table, part, 100)
        out[role] = {"sources": sorted(part), "attacks": int(sum(len(at) for at in part.values()))}
        out[role] |= {m: asdict(i) for m, i in found.mean.items()}
        out[role]["recall"] = float(np.mean([table.flag[at].mean() for at in part.values()]))
    return out


def by_language(table: Table) -> dict[str, Any]:
    """Figures of each language: its attacks among its harmless rows, both unseen, prompts only."""
    return {
        language: figures
        for language in sorted(np.unique(table.language).tolist())
        if (figures := _language_figures(_only(table, (table.language == language) & _own(table)))) is not None
    }


def _only(table: Table, chosen: NDArray[np.bool_]) -> Table:
    at = np.flatnonzero(chosen)
    columns = (getattr(table, n)[at] for n in ("score", "fold", "attack", "flag", "source", "role", "language"))
    return Table([table.rows[i] for i in at.tolist()], *columns)


def _language_figures(table: Table) -> dict[str, Any] | None:
    """AUC within folds, weighed by their attacks, and recall, of prompts."""
    prompts = table.role == "user"
    attacks = int((prompts & table.attack).sum())
    if attacks < LEAST_LANGUAGE:
        return None
    aucs, weights = list[float](), list[int]()
    for fold in np.unique(table.fold):
        here = prompts & (table.fold == fold)
        positive, negative = table.score[here & table.attack], table.score[here & ~table.attack]
        if len(positive) and len(negative) >= LEAST_ATTACKS:
            aucs.append(auc_of(positive, negative))
            weights.append(len(positive))
    flagged = [table.flag[prompts & table.attack & (table.source == s)] for s in np.unique(table.source)]
    return {
        "attacks": attacks,
        "sources": len(np.unique(table.source[prompts & table.attack])),
        "auc": float(np.average(aucs, weights=weights)) if aucs else None,
        "recall": asdict(share(flagged)),
    }


def _share(table: Table, chosen: NDArray[np.bool_], draws: int = 300) -> Interval:
    return share([table.flag[chosen & (table.source == s)] for s in np.unique(table.source[chosen])], draws)


def false_positives(table: Table) -> list[dict[str, Any]]:
    """Share of harmless rows flagged in each language and role with enough of them, the largest first."""
    out = []
    harmless = ~table.attack & _own(table)
    for role in np.unique(table.role[harmless]):
        for language in ["all", *np.unique(table.language[harmless & (table.role == role)]).tolist()]:
            chosen = harmless & (table.role == role) & ((table.language == language) | (language == "all"))
            if chosen.sum() >= LEAST_HARMLESS:
                row = {"role": str(role), "language": language, "rows": int(chosen.sum())}
                row["sources"] = len(np.unique(table.source[chosen]))
                out.append({**row, "fpr": asdict(_share(table, chosen))})
    return sorted(out, key=lambda row: -row["fpr"]["value"])


def has_trigger(text: str) -> bool:
    """Say whether a text has one of `TRIGGERS`, or a word that begins with it.

    Examples
    --------
    >>> has_trigger("How do I override a method?"), has_trigger("What is forgery?")
    (True, False)
    """
    return _TRIGGER.search(text) is not None


def trigger_words(table: Table) -> dict[str, Any]:
    """Share of harmless prompts with a trigger word that are flagged."""
    had = np.array([has_trigger(row["text"]) for row in table.rows])
    chosen = had & ~table.attack & _own(table) & (table.role == "user")
    return {"rows": int(chosen.sum()), "fpr": asdict(_share(table, chosen))}


def by_word(table: Table) -> dict[str, Any]:
    """Share of harmless prompts that are flagged, by trigger word, of words with enough of them."""
    out = {}
    for word in TRIGGERS:
        pattern = re.compile(r"\b" + re.escape(word).replace(r"\ ", r"\s+"), re.IGNORECASE)
        chosen = np.array([pattern.search(row["text"]) is not None for row in table.rows])
        chosen &= ~table.attack & _own(table) & (table.role == "user")
        if chosen.sum() >= LEAST_ATTACKS:
            out[word] = {"rows": int(chosen.sum()), "fpr": float(table.flag[chosen].mean())}
    return out
