"""Quality of the injection agent on attacks and harmless text of held-out sources.

Every score comes from a model trained without the row's source, its family and near-duplicates of the row.
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

from evaluation import baselines, composed, figures, retrained, thresholds
from evaluation.near_duplicates import NearDuplicates
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

AGENT = "injection agent"
FEWER_DRAWS = 100
"""Number of bootstrap draws for baselines."""


@dataclass(frozen=True)
class Job:
    """Training run: rows to train on, and rows to score with the trained model."""

    name: str
    fold: int
    train: NDArray[np.int64]
    test: NDArray[np.int64]


def measure(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the agent as JSON-serialisable values."""
    folds = _folds(data)
    table = _tables([AGENT], folds, jobs, log)[AGENT]
    return {
        "folds": [_description(job) for job in folds],
        **figures.system_figures(table, DRAWS),
        "by_language": figures.by_language(table),
        "false_positives": figures.false_positives(table),
        "by_word": figures.by_word(table),
    }


def measure_baselines(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the baselines by name."""
    tables = _tables(list(baselines.INJECTION), _folds(data), jobs, log)
    out: dict[str, Any] = {}
    for name, table in tables.items():
        system = baselines.INJECTION[name]
        out[name] = figures.system_figures(table, FEWER_DRAWS)
        out[name]["sampled"] = [system.train, system.test] if system.train or system.test else None
    return out


def _folds(data: Path) -> list[Job]:
    _load(data)
    folds = [Job(f.name, k, f.train, f.test) for k, f in enumerate(leave_family_out(_TRAIN, near=_NEAR[0]))]
    return [*folds, _evaluation_job()]


def _tables(
    names: Sequence[str], folds: Sequence[Job], jobs: int, log: Callable[[str], None]
) -> dict[str, figures.Table]:
    out: dict[str, figures.Table] = {}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        for name in names:
            scored, flags = figures.Scored(), list[NDArray[np.bool_]]()
            for job, (rows, score, flag) in zip(folds, pool.map(partial(_run, name), folds), strict=True):
                scored.add(rows, score, job.fold)
                flags += [] if flag is None else [flag]
                log(f"{name}: {job.name}, {len(rows)} rows")
            out[name] = figures.as_table(scored, np.concatenate(flags) if flags else None)
    return out


def languages(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of languages that are held out from training.

    The threshold gives 1 % false positives on the fold's harmless rows in the other languages, the only rows that are
    available for it.
    """
    _load(data)
    near = _NEAR[0]
    full_folds = list(leave_family_out(_TRAIN, near=near))
    held_out: list[tuple[str, Job]] = []
    for group, codes in LANGUAGES.items():
        for k, (fold, full) in enumerate(zip(leave_language_out(_TRAIN, codes, near=near), full_folds, strict=True)):
            if sum(_ROWS[i]["label"] for i in fold.test.tolist()) >= figures.MIN_LANGUAGE:
                held_out.append((group, Job(fold.name, k, fold.train, full.test)))
    scored: dict[str, list[tuple[Job, list[Row], NDArray[np.float64]]]] = {}
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        results = pool.map(partial(_run, AGENT), [job for _, job in held_out])
        for (group, job), (rows, score, _) in zip(held_out, results, strict=True):
            scored.setdefault(group, []).append((job, rows, score))
            log(f"{group} held out: {job.name}")
    return {group: _held_out_language(parts, LANGUAGES[group]) for group, parts in scored.items()}


def _held_out_language(
    parts: Sequence[tuple[Job, list[Row], NDArray[np.float64]]], languages_: Sequence[str]
) -> dict[str, Any] | None:
    """Return the figures of prompts in some languages, with a threshold from the prompts in the other languages."""
    scored, flagged = figures.Scored(), list[NDArray[np.bool_]]()
    for job, rows, score in parts:
        prompt = np.array([row["role"] == "user" for row in rows])
        held_out = np.array([row["lang"] in languages_ for row in rows])
        harmless = np.array([row["label"] == 0 for row in rows])
        limit = np.quantile(score[prompt & ~held_out & harmless], 1 - thresholds.FALSE_POSITIVES)
        chosen = np.flatnonzero(prompt & held_out)
        scored.add([rows[i] for i in chosen.tolist()], score[chosen], job.fold)
        flagged.append(score[chosen] > limit)
    table = figures.as_table(scored, np.concatenate(flagged))
    result = figures.language_figures(table)
    return None if result is None else result | {"fpr": asdict(figures.flagged(table, ~table.attack))}


_TRAIN: list[dict[str, Any]] = []
_ROWS: list[dict[str, Any]] = []
"""All rows, training rows first; read once before the processes fork."""
_NEAR: list[NearDuplicates] = []


def _load(data: Path) -> None:
    if not _ROWS:
        _TRAIN.extend(read(data, "injection_train"))
        _ROWS.extend([*_TRAIN, *read(data, "injection_eval")])
        _NEAR.append(near_duplicates_of(_ROWS))


def _evaluation_job() -> Job:
    test = np.array([i for i in range(len(_TRAIN), len(_ROWS)) if _ROWS[i]["src"] not in NOT_TESTED])
    related = {family_of(_ROWS[i]["src"]) for i in test.tolist()}
    train = np.array(
        [i for i, r in enumerate(_TRAIN) if family_of(r["src"]) not in related and r["src"] not in NOT_TRAINED]
    )
    return Job("injection_eval", figures.UNSEEN_FOLD, train[~_NEAR[0].of(train, test)], test)


def _run(name: str, job: Job) -> tuple[list[Row], NDArray[np.float64], NDArray[np.bool_] | None]:
    """Train a system on a fold; return the test and composed rows with scores, and with flags for the agent."""
    train = [_ROWS[i] for i in job.train.tolist()]
    test: list[Row] = [_ROWS[i] for i in job.test.tolist()]
    test += composed.compose(test, job.fold)
    if name == AGENT:
        return test, *retrained.score_and_flag(retrained.fit_injection(train), test)
    system = baselines.INJECTION[name]
    train = [train[i] for i in baselines.sample(train, system.train, job.fold)]
    test = [test[i] for i in baselines.sample(test, system.test, job.fold)]
    return test, system.run(train, test, retrained.SEED), None


def _description(job: Job) -> dict[str, Any]:
    sources = sorted({_ROWS[i]["src"] for i in job.test.tolist()})
    attacks = sum(_ROWS[i]["label"] for i in job.test.tolist())
    return {"name": job.name, "train": len(job.train), "test": len(job.test), "attacks": attacks, "sources": sources}
