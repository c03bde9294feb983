"""Command ``streamgauge eval``: measure the worker's agents on labelled rows.

Rows become events, events become chunks of 256, and ``Agent.score`` scores the chunks. Labels reach ``Agent.learn`` as
`schemas.feedback.Feedback`. The label of a row is learned only after the row is scored.

Rows
----
JSON lines, plain or gzipped (detected by content). Other fields are ignored.

- injection: ``{"text", "label", "role"?, "src"?, "lang"?}``; ``label`` 1 is an attack; ``role`` is user (default),
  system, developer, assistant, tool or document.
- hallucination: ``{"context"?, "question"?, "response", "label", "src"?, "lang"?}``; ``label`` 1 is an unsupported
  response; ``context`` is a string or a list of strings.
- drift: ``{"stream", "i", "text", "change_at"?}``, each stream in order of ``i``. ``change_at`` is null for a stream
  without a change and missing if the change is unknown. ``kind`` and ``mix`` group streams. One agent sees all rows in
  the file's order, each stream as its own application.

Report of injection and hallucination (keys as in the JSON)
-----------------------------------------------------------
``overall``, each of ``by_src``, ``by_lang``, ``by_role`` (rows without that field are in no group) and, with
feedback, each of ``quarters`` has:

- ``n``, ``positives``, ``unscored``: rows, rows with label 1, rows without a score. A row that the agent does not
  score (no context, no text) ranks below every scored row and counts as not flagged, as in production.
- ``auc``, ``average_precision``, ``tpr_at_1_fpr``: measures of the score. Null if one class is missing.
- ``f1``, ``precision``, ``recall``, ``fpr``: measures of the agent's flags, that is, at the shipped threshold. A group
  with one class has ``recall`` or ``fpr`` only.
- ``us_per_event``: microseconds within ``Agent.score``, including the layout of the chunk's texts, excluding reading,
  JSON, validation and the compilation of kernels. A chunk's time is divided among its rows by text length.
- ``baseline``: the same measures of a simple baseline: a keyword list (score: number of phrases; flag: at least one),
  or the fraction of response words that the context lacks (flag: more than half).
- ``against_benign``: for a group with positives only, ``auc``, ``average_precision`` and ``tpr_at_1_fpr`` of its rows
  against all ``n`` benign rows of the file that have one of its roles; null for other groups.
- ``without_feedback``: with feedback, the measures of an agent without labels on the same rows; null otherwise.

``mean_by_source`` has the unweighted means over the ``sources`` that have both classes. ``threshold`` is the shipped
threshold, ``chunk`` the number of rows scored at a time, ``labels_given`` the number of labels offered to the agent,
``labels_learned`` the number of labels it learned.

Feedback
--------
Each row's label is given with probability ``feedback``, which depends on ``seed`` and the row's position only, after
its chunk of 32 rows is scored (test-then-train). The file's order is kept, so the quarters of a file that is sorted by
source also differ in their sources: compare each quarter with its ``without_feedback``.

Report of drift
---------------
``overall`` and ``by_kind`` are `drift_detection.DriftFigures`; ``streams`` maps names to `drift_detection.Stream`.
``alarms`` are values of ``i``, ``signals`` the signals that changed, ``delay`` the number of rows from ``change_at`` to
the first alarm at or after it, ``false_alarms`` the number of alarms before it (all alarms of a stream without a
change). ``target_events_per_false_alarm`` and ``reference_events`` are the settings of the run.
"""

from __future__ import annotations

from pathlib import Path

from agents.base import Agent
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.runtime.registry import build_agents
from tools.evaluation.detection import DetectionReport, evaluate_detection
from tools.evaluation.drift_detection import DriftReport, evaluate_drift
from tools.evaluation.labelled_rows import read_labelled, read_streams
from tools.evaluation.scoring import Progress

__all__ = ["SIGNALS", "DetectionReport", "DriftReport", "evaluate"]

SIGNALS = ("injection", "hallucination", "drift")


def evaluate(  # noqa: PLR0913 - the options of the command
    file: Path,
    signal: str,
    feedback: float = 0.0,
    seed: int = 7,
    *,
    settings: Settings | None = None,
    progress: Progress = lambda _: None,
) -> DetectionReport | DriftReport:
    """Measure a signal's agent on labelled rows.

    Parameters
    ----------
    file
        File of labelled rows.
    signal
        ``injection``, ``hallucination`` or ``drift``.
    feedback
        Fraction of rows whose label is learned after scoring.
    seed
        Seed that selects the rows for feedback.
    settings
        Settings of the worker; defaults if None.
    progress
        Called with the number of rows scored so far.

    Raises
    ------
    SettingsError
        If the signal is unknown or cannot learn, or the file cannot be read or has no rows.
    RecordError
        For the first malformed row: line, field and remedy.
    """
    if signal not in SIGNALS:
        raise SettingsError(
            f"--signal {signal}: unknown signal; choose one of {', '.join(SIGNALS)}", "--signal", "unknown"
        )
    if not 0.0 <= feedback <= 1.0:
        raise SettingsError(f"--feedback {feedback}: give a fraction from 0 to 1", "--feedback")
    chosen = settings or Settings()

    def make() -> Agent:
        return next(agent for agent in build_agents(chosen) if agent.name == signal)

    if signal != "drift":
        return evaluate_detection(file.name, signal, read_labelled(file, signal), make, feedback, seed, progress)
    if feedback:
        raise SettingsError("--feedback: drift does not learn from labels; omit the option", "--feedback", "conflict")
    drift = chosen.drift
    return evaluate_drift(
        file.name, read_streams(file), make, drift.events_per_false_alarm, drift.reference_events, progress
    )
