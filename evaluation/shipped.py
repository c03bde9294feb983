"""The injection agent as it ships, weights and thresholds, on injection_eval: neither had a row of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from agents.injection import InjectionAgent
from evaluation import figures
from evaluation.resample import DRAWS
from evaluation.rows import read
from evaluation.splits import NOT_TESTED, near_duplicates_of
from tools.evaluation.labelled_rows import read_labelled
from tools.evaluation.scoring import score_rows


def measure(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return figures of the flags that a service would see."""
    del jobs
    train, rows = read(data, "injection_train"), read(data, "injection_eval")
    near = near_duplicates_of([*train, *rows])
    known = near.of(np.arange(len(train), len(train) + len(rows)), np.arange(len(train)))
    found = score_rows(InjectionAgent(), read_labelled(data / "injection_eval.jsonl.gz", "injection"))
    kept = np.flatnonzero(~known & np.array([row["src"] not in NOT_TESTED for row in rows]))
    theirs = [rows[i] for i in kept.tolist()]
    columns = (np.array([row[key] for row in theirs]) for key in ("src", "role", "lang"))
    attack = np.array([row["label"] == 1 for row in theirs])
    fold = np.full(len(kept), figures.UNSEEN_FOLD)
    table = figures.Table(theirs, found.score[kept], fold, attack, found.flag[kept], *columns)
    say(f"{len(kept)} rows, {int(known.sum())} left out as near-duplicates of training rows")
    return {
        "left_out": int(known.sum()),
        **figures.of_system(table, DRAWS),
        "false_positives": figures.false_positives(table),
        "by_language": figures.by_language(table),
    }
