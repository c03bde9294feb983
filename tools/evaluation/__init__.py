"""``streamgauge eval``: labelled rows through the very agents of the worker, measured.

Rows become events, events become chunks of 256, chunks go to ``Agent.score``; labels come back as
`schemas.feedback.Feedback` to ``Agent.learn``. Nothing is learned from a row that is not scored yet.

Rows
----
JSON lines, plain or gzipped (known by content). Other fields are passed over.

- injection: ``{"text", "label", "role"?, "src"?, "lang"?}``; ``label`` 1 is an attack; ``role`` is user (default),
  system, developer, assistant, tool or document.
- hallucination: ``{"context"?, "question"?, "response", "label", "src"?, "lang"?}``; ``label`` 1 is an unsupported
  response; ``context`` is a string or a list of them.
- drift: ``{"stream", "i", "text", "change_at"?}``, each stream in order of ``i``; ``change_at`` null: no change;
  left out: not known. ``kind`` and ``mix`` group streams where given. One agent sees all rows in the file's order,
  each stream as an application of its own.

Report of injection and hallucination (keys as in the JSON)
-----------------------------------------------------------
``overall``, each of ``by_src``, ``by_lang``, ``by_role`` (rows without that field are in no group) and, with
feedback, each of ``quarters`` has:

- ``n``, ``positives``, ``unscored``: rows, rows with label 1, rows without a score. A row that the agent does not
  score (no context, no text) is ranked below every scored one and counts as not flagged, as it is in production.
- ``auc``, ``average_precision``, ``tpr_at_1_fpr``: of the score. Null where one class is missing.
- ``f1``, ``precision``, ``recall``, ``fpr``: of the agent's flags, that is, at the shipped threshold. A group with
  one class has ``recall`` or ``fpr`` only.
- ``us_per_event``: microseconds within ``Agent.score`` (the chunk's texts are laid out there), without reading,
  JSON, validation and the compilation of kernels. A chunk's time is shared out by the length of its rows' texts.
- ``baseline``: the same measures of the simplest thing: a keyword list (score: phrases found; flag: any), or the
  share of response words that the context lacks (flag: more than half).
- ``against_benign``: for a group of positives only, ``auc``, ``average_precision`` and ``tpr_at_1_fpr`` of its rows
  against all ``n`` benign rows of the file that have one of its roles; null for others.
- ``without_feedback``: with feedback, the measures of an agent that got no label, on the same rows; null otherwise.

``mean_by_source``: means over the ``sources`` that have both classes, each weighing the same. ``threshold`` is the
shipped one, ``chunk`` the rows scored at a time, ``labels_given`` and ``labels_learned`` the labels offered and taken.

Feedback
--------
Each row's label is given with the chance ``feedback``, drawn by ``seed`` and place alone, once the chunk of 32 rows
that it is in was scored (test-then-train). The file's order is kept, so quarters of a file that is sorted by source
differ by their sources too: compare each with its ``without_feedback``.

Report of drift
---------------
``overall``, ``by_kind`` (`drift.DriftFigures`) and ``streams`` by name (`drift.Stream`): ``alarms`` are values of
``i``, ``signals`` say what moved, ``delay`` counts rows from ``change_at`` to the first alarm at or after it,
``false_alarms`` those before it (all, where there is no change). ``asked_events_per_false_alarm`` and
``reference_events`` are the settings it ran with.
"""

from __future__ import annotations

from pathlib import Path

from agents.base import Agent
from schemas.errors import SettingsError
from schemas.settings import Settings
from streams.runtime.registry import build_agents
from tools.evaluation.detection import Detection, evaluate_detection
from tools.evaluation.drift_detection import Drift, evaluate_drift
from tools.evaluation.labelled_rows import read_labelled, read_streams
from tools.evaluation.scoring import Progress

__all__ = ["SIGNALS", "Detection", "Drift", "evaluate"]

SIGNALS = ("injection", "hallucination", "drift")


def evaluate(  # noqa: PLR0913 - what the command takes
    file: Path,
    signal: str,
    feedback: float = 0.0,
    seed: int = 7,
    *,
    settings: Settings | None = None,
    progress: Progress = lambda _: None,
) -> Detection | Drift:
    """Measure a signal's agent on labelled rows.

    Parameters
    ----------
    file
        The rows.
    signal
        ``injection``, ``hallucination`` or ``drift``.
    feedback
        Share of rows whose label is learned, once they are scored.
    seed
        Of the choice of those rows.
    settings
        Those of the worker; the defaults where not given.
    progress
        Told the number of rows scored so far.

    Raises
    ------
    SettingsError
        Where the signal is unknown, cannot learn, or the file cannot be read or has no rows.
    RecordError
        For the first bad row: its line, its field, the fix.
    """
    if signal not in SIGNALS:
        raise SettingsError(f"--signal {signal}: choose one of {', '.join(SIGNALS)}", "--signal", "unknown")
    if not 0.0 <= feedback <= 1.0:
        raise SettingsError(f"--feedback {feedback}: give a share from 0 to 1", "--feedback")
    chosen = settings or Settings()

    def make() -> Agent:
        return next(agent for agent in build_agents(chosen) if agent.name == signal)

    if signal != "drift":
        return evaluate_detection(file.name, signal, read_labelled(file, signal), make, feedback, seed, progress)
    if feedback:
        raise SettingsError(
            "--feedback: drift learns from the stream itself, not from labels; leave it out", "--feedback", "conflict"
        )
    drift = chosen.drift
    return evaluate_drift(
        file.name, read_streams(file), make, drift.events_per_false_alarm, drift.reference_events, progress
    )
