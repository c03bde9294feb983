"""Evaluation of injection and hallucination: ranking and flagging of labelled rows, by group and over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from tools.evaluation.baseline import baseline
from tools.evaluation.labelled_rows import LabelledRow
from tools.evaluation.ranking_metrics import DetectionQuality, mean, measure
from tools.evaluation.ranking_metrics import Labels as Mask
from tools.evaluation.scoring import (
    CHUNK,
    FEEDBACK_CHUNK,
    AgentFactory,
    Labels,
    Progress,
    Results,
    draw,
    score_rows,
    warm_up,
)

QUARTERS = 4


@dataclass(frozen=True, slots=True)
class BenignComparison:
    """Measures of a source without benign rows against ``n`` benign rows of all sources with the same roles."""

    n: int
    auc: float | None
    average_precision: float | None
    tpr_at_1_fpr: float | None


@dataclass(frozen=True, slots=True)
class Figures(DetectionQuality):
    """Measures of a group of rows, and of the baseline on the same rows.

    Attributes
    ----------
    n, positives, unscored
        Rows; rows with label 1; rows that the agent did not score (ranked last, never flagged).
    us_per_event
        Microseconds within ``Agent.score``.
    baseline
        Measures of the baseline.
    against_benign
        Measures against benign rows if the group has positives only, otherwise None.
    without_feedback
        With feedback: measures of an agent without labels on the same rows, otherwise None.
    """

    n: int
    positives: int
    unscored: int
    us_per_event: float | None
    baseline: DetectionQuality
    against_benign: BenignComparison | None
    without_feedback: DetectionQuality | None


@dataclass(frozen=True, slots=True)
class MeanBySource:
    """Unweighted means over the ``sources`` sources that have rows of both classes."""

    sources: int
    auc: float | None
    average_precision: float | None
    tpr_at_1_fpr: float | None
    f1: float | None
    baseline_auc: float | None


@dataclass(frozen=True, slots=True)
class DetectionReport:
    """Report of a detection signal; `tools.evaluation` describes each key."""

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


def evaluate_detection(  # noqa: PLR0913, PLR0917 - the options of the command
    file: str,
    signal: str,
    rows: Sequence[LabelledRow],
    make: AgentFactory,
    feedback: float,
    seed: int,
    progress: Progress,
) -> DetectionReport:
    """Score all rows in the file's order, feed back the selected labels, and measure."""
    warm_up(make, rows)
    agent, frozen = make(), None
    threshold = float(getattr(agent, "threshold", np.nan))
    labels = Labels(signal, _labels(rows), draw(len(rows), feedback, seed)) if feedback else None
    results = score_rows(agent, rows, labels, progress)
    if labels is not None:
        frozen = score_rows(make(), rows)
    data = _Data(signal, rows, results, frozen)
    by_src = data.by(lambda row: row.src)
    all_rows = np.arange(len(rows))
    return DetectionReport(
        signal=signal,
        file=file,
        threshold=threshold,
        chunk=CHUNK if labels is None else FEEDBACK_CHUNK,
        feedback=feedback,
        seed=seed,
        labels_given=results.given,
        labels_learned=results.learned,
        overall=data.figures(all_rows),
        mean_by_source=_mean(list(by_src.values())),
        by_src=by_src,
        by_lang=data.by(lambda row: row.lang),
        by_role=data.by(lambda row: row.role),
        quarters=[data.figures(part) for part in np.array_split(all_rows, QUARTERS)] if labels is not None else [],
    )


class _Data:
    """Columns of all rows, with the measures of any subset."""

    def __init__(self, signal: str, rows: Sequence[LabelledRow], results: Results, frozen: Results | None) -> None:
        self.rows, self.results, self.frozen = rows, results, frozen
        self.label = _labels(rows)
        self.role = np.array([row.role for row in rows])
        scores_and_flags = [baseline(signal, row.event) for row in rows]
        self.baseline_score = np.array([score for score, _ in scores_and_flags])
        self.baseline_flag = np.array([flag for _, flag in scores_and_flags])

    def by(self, key: Callable[[LabelledRow], str]) -> dict[str, Figures]:
        """Return the figures of each group by name; rows without a name are in no group."""
        members: dict[str, list[int]] = {}
        for i, row in enumerate(self.rows):
            if name := key(row):
                members.setdefault(name, []).append(i)
        return {name: self.figures(np.array(members[name])) for name in sorted(members)}

    def figures(self, at: NDArray[np.int64]) -> Figures:
        label, results, frozen = self.label[at], self.results, self.frozen
        return Figures(
            **asdict(measure(label, results.score[at], results.flag[at])),
            n=len(at),
            positives=int(label.sum()),
            unscored=int(results.unscored[at].sum()),
            us_per_event=float(results.micros[at].mean()) if len(at) else None,
            baseline=measure(label, self.baseline_score[at], self.baseline_flag[at]),
            against_benign=self._against_benign(at) if len(at) and label.all() else None,
            without_feedback=None if frozen is None else measure(label, frozen.score[at], frozen.flag[at]),
        )

    def _against_benign(self, at: NDArray[np.int64]) -> BenignComparison | None:
        benign = np.flatnonzero(~self.label & np.isin(self.role, np.unique(self.role[at])))
        if not len(benign):
            return None
        both = np.concatenate([at, benign])
        quality = measure(self.label[both], self.results.score[both], self.results.flag[both])
        return BenignComparison(len(benign), quality.auc, quality.average_precision, quality.tpr_at_1_fpr)


def _labels(rows: Sequence[LabelledRow]) -> Mask:
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
