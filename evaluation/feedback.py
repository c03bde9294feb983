"""Value of labels: the shipped agent on held-out sources after 0 to 500 labels of feedback.

The rows of a source are shuffled. The first rows are scored and their labels learned, 32 at a time, as in production;
the remaining rows are scored without learning. Only injection_eval is used because the shipped weights were trained on
the other file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.injection import InjectionAgent
from evaluation.resample import Ranked, ranked_means
from tools.evaluation.labelled_rows import LabelledRow, read_labelled
from tools.evaluation.scoring import Labels, score_rows

LABELS = (0, 50, 100, 250, 500)
SEEDS = 3
MAX_TESTED = 1500
SOURCES: Mapping[str, tuple[str, ...]] = {
    "jonastuttle": ("jonastuttle",),
    "mindgard_evaded": ("mindgard_evaded",),
    "neuralchemy": ("neuralchemy",),
    "struq_alpaca_attack, bipia": ("struq_alpaca_attack", "bipia"),
}
"""Sources with both labels and more rows than are fed back; StruQ's attacks need harmless documents of bipia."""


def measure(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return AUC and recall at 1 % false positives after each number of labels, as means of three orders."""
    del jobs
    rows = read_labelled(data / "injection_eval.jsonl.gz", "injection")
    out: dict[str, Any] = {}
    for name, sources in SOURCES.items():
        chosen = [row for row in rows if row.src in sources]
        figures = np.array([[_after(chosen, labels, seed) for labels in LABELS] for seed in range(SEEDS)])
        out[name] = {"rows": len(chosen), "auc": figures[:, :, 0].mean(axis=0).tolist()}
        out[name] |= {"auc_range": [figures[:, :, 0].min(axis=0).tolist(), figures[:, :, 0].max(axis=0).tolist()]}
        out[name] |= {"tpr_at_1_fpr": figures[:, :, 1].mean(axis=0).tolist()}
        log(f"{name}: AUC {' '.join(f'{v:.3f}' for v in out[name]['auc'])}")
    return {"labels": list(LABELS), "orders": SEEDS, "sources": out}


def _after(rows: Sequence[LabelledRow], labels: int, seed: int) -> tuple[float, float]:
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    first, rest = [rows[i] for i in order[:labels]], [rows[i] for i in order[max(LABELS) :][:MAX_TESTED]]
    agent = InjectionAgent()
    if first:
        label = np.array([row.label == 1 for row in first])
        score_rows(agent, first, Labels(agent.name, label, np.ones(labels, np.bool_)))
    score, attack = score_rows(agent, rest).score, np.array([row.label == 1 for row in rest])
    figures = ranked_means({"": Ranked(score[attack], "")}, {"": [score[~attack]]}, 0).of("")
    return figures["auc"].value or 0.0, figures["tpr_at_1_fpr"].value or 0.0
