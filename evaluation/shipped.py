"""Quality of the shipped injection agent on injection_eval, which its training did not use."""

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


def measure(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the shipped weights and thresholds."""
    del jobs
    train, rows = read(data, "injection_train"), read(data, "injection_eval")
    near = near_duplicates_of([*train, *rows])
    duplicate = near.of(np.arange(len(train), len(train) + len(rows)), np.arange(len(train)))
    results = score_rows(InjectionAgent(), read_labelled(data / "injection_eval.jsonl.gz", "injection"))
    kept = np.flatnonzero(~duplicate & np.array([row["src"] not in NOT_TESTED for row in rows]))
    kept_rows = [rows[i] for i in kept.tolist()]
    columns = (np.array([row[key] for row in kept_rows]) for key in ("src", "role", "lang"))
    attack = np.array([row["label"] == 1 for row in kept_rows])
    fold = np.full(len(kept), figures.UNSEEN_FOLD)
    table = figures.Table(kept_rows, results.score[kept], fold, attack, results.flag[kept], *columns)
    log(f"{len(kept)} rows, {int(duplicate.sum())} near-duplicates of training rows left out")
    return {
        "left_out": int(duplicate.sum()),
        **figures.system_figures(table, DRAWS),
        "false_positives": figures.false_positives(table),
        "by_language": figures.by_language(table),
    }
