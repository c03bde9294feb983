"""Detection delay of the injection flag rate after a share of attacks starts.

Scores are drawn from the scores of the shipped agent on harmless and attacking rows of injection_eval, so they include
its false positives and misses. Runs of harmless rows give the rate of false alarms. The optimum of any detector on
these scores is reported for comparison.

References
----------
Moustakides, G. V. (1986). Optimal stopping times for detecting changes in distributions. Annals of Statistics 14.
Siegmund, D. (1985). Sequential analysis. Springer. (Run lengths of a CUSUM, approximated by a Brownian motion.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.common.flag_rate import FlagRateMonitor
from agents.common.run_length import wald_threshold
from agents.injection import InjectionAgent, InjectionConfig
from agents.injection.signal import GRADES, InjectionSignal
from tools.evaluation.labelled_rows import read_labelled
from tools.evaluation.scoring import score_rows

SHARES = (0.02, 0.05, 0.1)
RUNS, BEFORE, AFTER = 100, 1500, 4000
"""Number of runs per share, and of events before and after the attacks start."""
QUIET_EVENTS = 10_000
"""Number of events in a run without attacks."""
LEVELS = np.array([-math.inf, *range(-8, 12), math.inf])
"""Edges of the score histogram for the optimum, as logits."""


def measure(data: Path, jobs: int, log: Callable[[str], None]) -> dict[str, Any]:
    """Return median delays by share of attacks and false alarms per 10,000 events."""
    del jobs
    rows = read_labelled(data / "injection_eval.jsonl.gz", "injection")
    results, attack = score_rows(InjectionAgent(), rows), np.array([row.label == 1 for row in rows])
    flag, rng = results.flag, np.random.default_rng(7)
    grades = np.array(
        [InjectionSignal(*each).grade for each in zip(results.score.tolist(), flag.tolist(), strict=True)]
    )
    harmless = grades[~attack]
    attacks = {"as flagged": grades[attack], "every attack flagged with certainty": np.full(1, len(GRADES.anomalous))}
    out: dict[str, Any] = {
        "runs": RUNS,
        "harmless_flagged": float(flag[~attack].mean()),
        "attacks_flagged": float(flag[attack].mean()),
        "delays": {},
        "optimum": {f"{share:.0%}": optimum(results.score[attack], results.score[~attack], share) for share in SHARES},
    }
    for name, attack_grades in attacks.items():
        out["delays"][name] = {}
        for share in SHARES:
            delays = [_delay(rng, harmless, attack_grades, share) for _ in range(RUNS)]
            out["delays"][name][f"{share:.0%}"] = _figures(delays)
            log(f"{share:.0%} attacks, {name}: {out['delays'][name][f'{share:.0%}']}")
    alarms = sum(len(_alarms(rng.choice(harmless, QUIET_EVENTS))) for _ in range(RUNS))
    return out | {"false_alarms_per_10000": alarms / (RUNS * QUIET_EVENTS / 10_000)}


def optimum(attacks: NDArray[np.float64], harmless: NDArray[np.float64], share: float) -> float:
    """Return the mean detection delay, in events, of the optimal detector on scores after a share of attacks starts.

    The optimal detector is the CUSUM of the log-likelihood ratio with both distributions known, which no real detector
    has, at one false alarm in `QUIET_EVENTS`.

    Parameters
    ----------
    attacks, harmless
        Scores, 0 to 1.
    share
        Fraction of attacks among the events.

    Examples
    --------
    >>> round(optimum(np.full(1000, 0.9), np.full(1000, 0.1), 0.02))
    76
    """
    of_attacks, before = (_shares(scores) for scores in (attacks, harmless))
    after = (1 - share) * before + share * of_attacks
    ratio = np.log(after / before)
    rises, falls = float((after * ratio).sum()), -float((before * ratio).sum())
    threshold = wald_threshold(QUIET_EVENTS * falls)
    return (math.exp(-threshold) + threshold - 1) / rises


def _shares(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the fraction of scores in each bin; half a score is added to each bin, so that no fraction is zero."""
    clipped = np.clip(scores, 1e-9, 1 - 1e-9)
    counts = np.histogram(np.log(clipped / (1 - clipped)), LEVELS)[0] + 0.5
    return np.asarray(counts / counts.sum(), np.float64)


def _figures(delays: list[int | None]) -> dict[str, Any]:
    """Return the median over runs without an early alarm; a run without any alarm counts as `AFTER`."""
    late = [delay for delay in delays if delay is not None]
    median = float(np.median(late)) if late else float(AFTER)
    return {"median": median, "missed": sum(d == AFTER for d in late), "early": delays.count(None)}


def _delay(
    rng: np.random.Generator, harmless: NDArray[np.int64], attacks: NDArray[np.int64], share: float
) -> int | None:
    """Return the events from the start of the attacks to the alarm; `AFTER` without an alarm, None if it was early."""
    before = rng.choice(harmless, BEFORE)
    after = np.where(rng.random(AFTER) < share, rng.choice(attacks, AFTER), rng.choice(harmless, AFTER))
    alarms = _alarms(np.concatenate([before, after]))
    if alarms and alarms[0] < BEFORE:
        return None
    return alarms[0] - BEFORE if alarms else AFTER


def _alarms(grades: NDArray[np.int64]) -> list[int]:
    rate = FlagRateMonitor(InjectionConfig().cusum, GRADES)
    return [i for i, g in enumerate(grades.tolist()) if rate.update(("t", "a"), g, i, 1000 * i, f"e{i}") is not None]
