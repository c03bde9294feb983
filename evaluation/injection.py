"""Injection: how well attacks of sources never seen are told from harmless text of sources never seen.

Every score is of a model that had neither the row's source nor its family, nor a near-duplicate of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation import baselines, composed, figures, ours, thresholds
from evaluation.near import NearDuplicates
from evaluation.resample import DRAWS
from evaluation.rows import read
from evaluation.splits import (
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
FEWER_DRAWS = 100
"""Of the bootstrap, for baselines."""


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
        **figures.of_system(mine, DRAWS),
        "by_language": figures.by_language(mine),
        "false_positives": figures.false_positives(mine),
        "by_word": figures.by_word(mine),
    }


def measure_baselines(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of what others do, by name."""
    tables = _tables(list(baselines.INJECTION), _folds(data), jobs, say)
    out: dict[str, Any] = {}
    for name, table in tables.items():
        system = baselines.INJECTION[name]
        out[name] = figures.of_system(table, FEWER_DRAWS)
        out[name]["sampled"] = [system.train, system.test] if system.train or system.test else None
    return out


def _folds(data: Path) -> list[Job]:
    _load(data)
    folds = [Job(f.name, k, f.train, f.test) for k, f in enumerate(leave_family_out(_TRAIN, near=_NEAR[0]))]
    return [*folds, _evaluation_job()]


def _tables(
    names: Sequence[str], folds: Sequence[Job], jobs: int, say: Callable[[str], None]
) -> dict[str, figures.Table]:
    out: dict[str, figures.Table] = {}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        for name in names:
            one, flags = figures.Scored(), list[NDArray[np.bool_]]()
            for job, (rows, score, flag) in zip(folds, pool.map(partial(_run, name), folds), strict=True):
                one.add(rows, score, job.fold)
                flags += [] if flag is None else [flag]
                say(f"{name}: {job.name}, {len(rows)} rows")
            out[name] = figures.as_table(one, np.concatenate(flags) if flags else None)
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
            if sum(_ROWS[i]["label"] for i in fold.test.tolist()) >= figures.LEAST_LANGUAGE:
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
    scored, flagged = figures.Scored(), list[NDArray[np.bool_]]()
    for job, rows, score in parts:
        prompt = np.array([row["role"] == "user" for row in rows])
        theirs = np.array([row["lang"] in languages_ for row in rows])
        harmless = np.array([row["label"] == 0 for row in rows])
        limit = np.quantile(score[prompt & ~theirs & harmless], 1 - thresholds.FALSE_POSITIVES)
        mine = np.flatnonzero(prompt & theirs)
        scored.add([rows[i] for i in mine.tolist()], score[mine], job.fold)
        flagged.append(score[mine] > limit)
    table = figures.as_table(scored, np.concatenate(flagged))
    found = figures.language_figures(table)
    return None if found is None else found | {"fpr": asdict(figures.flagged(table, ~table.attack))}


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
    return Job("injection_eval", figures.UNSEEN_FOLD, train[~_NEAR[0].of(train, test)], test)


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
