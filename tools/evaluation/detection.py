"""Injection and hallucination: how well the agent ranks and flags labelled rows, by group and over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tools.evaluation.baseline import baseline
from tools.evaluation.labelled_rows import Labelled
from tools.evaluation.ranking_metrics import Labels as Mask
from tools.evaluation.ranking_metrics import Quality, mean, measure
from tools.evaluation.scoring import (
    CHUNK,
    FEEDBACK_CHUNK,
    Factory,
    Labels,
    Progress,
    Results,
    draw,
    score_rows,
    warm_up,
)

QUARTERS = 4


@dataclass(frozen=True, slots=True)
class AgainstBenign:
    """Rows of a source without benign rows, ranked against ``n`` benign rows of all sources, of the same roles."""

    n: int
    auc: float | None
    average_precision: float | None
    tpr_at_1_fpr: float | None


@dataclass(frozen=True, slots=True)
class Figures(Quality):
    """`Quality` of a group of rows, and of the baseline on the same rows.

    Attributes
    ----------
    n, positives, unscored
        Rows; those with label 1; those that the agent gave no score (ranked last, never flagged).
    us_per_event
        Microseconds within ``Agent.score``.
    baseline
        The same measures of the baseline.
    against_benign
        Given where the group has positives only.
    without_feedback
        Given with feedback: an agent that got no label, on the same rows.
    """

    n: int
    positives: int
    unscored: int
    us_per_event: float | None
    baseline: Quality
    against_benign: AgainstBenign | None
    without_feedback: Quality | None


@dataclass(frozen=True, slots=True)
class MeanBySource:
    """Means over the ``sources`` sources that have rows of both classes, each source weighing the same."""

    sources: int
    auc: float | None
    average_precision: float | None
    tpr_at_1_fpr: float | None
    f1: float | None
    baseline_auc: float | None


@dataclass(frozen=True, slots=True)
class Detection:
    """The report; `tools.evaluation` says what each key means."""

    signal: str
    file: str
    threshold: float
    chunk: int
    feedback: float
    seed: int
    labels_given: int
    labels_learned: int
    overall: Figures
    mean_by_source: MeanBySource
    by_src: Mapping[str, Figures]
    by_lang: Mapping[str, Figures]
    by_role: Mapping[str, Figures]
    quarters: Sequence[Figures]


def evaluate_detection(  # noqa: PLR0913, PLR0917 - what the command takes
    file: str, signal: str, rows: Sequence[Labelled], make: Factory, feedback: float, seed: int, progress: Progress
) -> Detection:
    """Score all rows in the file's order, give back the labels asked for, and measure."""
    warm_up(make, rows)
    agent, frozen = make(), None
    threshold = float(getattr(agent, "threshold", np.nan))
    labels = Labels(signal, _labels(rows), draw(len(rows), feedback, seed)) if feedback else None
    found = score_rows(agent, rows, labels, progress)
    if labels is not None:
        frozen = score_rows(make(), rows)
    data = _Data(signal, rows, found, frozen)
    by_src = data.by(lambda row: row.src)
    every = np.arange(len(rows))
    return Detection(
        signal=signal,
        file=file,
        threshold=threshold,
        chunk=CHUNK if labels is None else FEEDBACK_CHUNK,
        feedback=feedback,
        seed=seed,
        labels_given=found.given,
        labels_learned=found.learned,
        overall=data.figures(every),
        mean_by_source=_mean(list(by_src.values())),
        by_src=by_src,
        by_lang=data.by(lambda row: row.lang),
        by_role=data.by(lambda row: row.role),
        quarters=[data.figures(part) for part in np.array_split(every, QUARTERS)] if labels is not None else [],
    )


class _Data:
    """Columns of all rows, and measures of any choice of them."""

    def __init__(self, signal: str, rows: Sequence[Labelled], found: Results, frozen: Results | None) -> None:
        self.rows, self.found, self.frozen = rows, found, frozen
        self.label = _labels(rows)
        self.role = np.array([row.role for row in rows])
        simple = [baseline(signal, row.event) for row in rows]
        self.simple_score = np.array([score for score, _ in simple])
        self.simple_flag = np.array([flag for _, flag in simple])

    def by(self, key: Callable[[Labelled], str]) -> dict[str, Figures]:
        """Measure each group, by name; rows without a name are in none."""
        members: dict[str, list[int]] = {}
        for i, row in enumerate(self.rows):
            if name := key(row):
                members.setdefault(name, []).append(i)
        return {name: self.figures(np.array(members[name])) for name in sorted(members)}

    def figures(self, at: NDArray[np.int64]) -> Figures:
        label, found, frozen = self.label[at], self.found, self.frozen
        return Figures(
            **asdict(measure(label, found.score[at], found.flag[at])),
            n=len(at),
            positives=int(label.sum()),
            unscored=int(found.unscored[at].sum()),
            us_per_event=float(found.micros[at].mean()) if len(at) else None,
            baseline=measure(label, self.simple_score[at], self.simple_flag[at]),
            against_benign=self._against_benign(at) if len(at) and label.all() else None,
            without_feedback=None if frozen is None else measure(label, frozen.score[at], frozen.flag[at]),
        )

    def _against_benign(self, at: NDArray[np.int64]) -> AgainstBenign | None:
        benign = np.flatnonzero(~self.label & np.isin(self.role, np.unique(self.role[at])))
        if not len(benign):
            return None
        both = np.concatenate([at, benign])
        found = measure(self.label[both], self.found.score[both], self.found.flag[both])
        return AgainstBenign(len(benign), found.auc, found.average_precision, found.tpr_at_1_fpr)


def _labels(rows: Sequence[Labelled]) -> Mask:
    return np.array([row.label == 1 for row in rows])


def _mean(groups: Sequence[Figures]) -> MeanBySource:
    both = [group for group in groups if group.auc is not None]
    return MeanBySource(
        len(both),
        mean([group.auc for group in both]),
        mean([group.average_precision for group in both]),
        mean([group.tpr_at_1_fpr for group in both]),
        mean([group.f1 for group in both]),
        mean([group.baseline.auc for group in both]),
    )
