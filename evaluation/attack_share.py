"""Detection delay of a rise in attacks: events until the flag rate of the injection agent alarms.

Scores are drawn from those that the agent as it ships gives to harmless and attacking rows of injection_eval, so false
positives and misses are in them. Runs of harmless rows alone give the false alarms. Beside it stands the best that any
detector could do that is given these scores.

References
----------
Moustakides, G. V. (1986). Optimal stopping times for detecting changes in distributions. Annals of Statistics 14.
Siegmund, D. (1985). Sequential analysis. Springer. (Run lengths of a CUSUM, as those of a Brownian motion.)
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
"""Runs of each share, and events before and after attacks begin."""
QUIET_EVENTS = 10_000
"""Events of each run without attacks."""
LEVELS = np.array([-math.inf, *range(-8, 12), math.inf])
"""Between which scores, as logits, are counted for the optimum."""


def measure(data: Path, jobs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return median delays by share of attacks and false alarms per 10,000 events."""
    del jobs
    rows = read_labelled(data / "injection_eval.jsonl.gz", "injection")
    found, attack = score_rows(InjectionAgent(), rows), np.array([row.label == 1 for row in rows])
    flag, rng = found.flag, np.random.default_rng(7)
    grades = np.array([InjectionSignal(*each).grade for each in zip(found.score.tolist(), flag.tolist(), strict=True)])
    harmless = grades[~attack]
    attacks = {"as flagged": grades[attack], "every attack surely flagged": np.full(1, len(GRADES.anomalous))}
    out: dict[str, Any] = {
        "runs": RUNS,
        "harmless_flagged": float(flag[~attack].mean()),
        "attacks_flagged": float(flag[attack].mean()),
        "delays": {},
        "optimum": {f"{share:.0%}": optimum(found.score[attack], found.score[~attack], share) for share in SHARES},
    }
    for name, theirs in attacks.items():
        out["delays"][name] = {}
        for share in SHARES:
            delays = [_delay(rng, harmless, theirs, share) for _ in range(RUNS)]
            out["delays"][name][f"{share:.0%}"] = _figures(delays)
            say(f"{share:.0%} attacks, {name}: {out['delays'][name][f'{share:.0%}']}")
    alarms = sum(len(_alarms(rng.choice(harmless, QUIET_EVENTS))) for _ in range(RUNS))
    return out | {"false_alarms_per_10000": alarms / (RUNS * QUIET_EVENTS / 10_000)}


def optimum(attacks: NDArray[np.float64], harmless: NDArray[np.float64], share: float) -> float:
    """Return how many events, on average, the best detector on scores needs to tell that a share of attacks began.

    That is the CUSUM of the log-likelihood ratio which knows both distributions, as no detector in use does, at one
    false alarm in `QUIET_EVENTS`.

    Parameters
    ----------
    attacks, harmless
        Scores, 0 to 1.
    share
        Of attacks among the events.

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
    """Share of the scores in each level; half a score is added to each, for none is impossible."""
    clipped = np.clip(scores, 1e-9, 1 - 1e-9)
    counts = np.histogram(np.log(clipped / (1 - clipped)), LEVELS)[0] + 0.5
    return np.asarray(counts / counts.sum(), np.float64)


def _figures(found: list[int | None]) -> dict[str, Any]:
    """Median over all runs that were quiet before; one that never alarmed counts as the longest."""
    late = [delay for delay in found if delay is not None]
    median = float(np.median(late)) if late else float(AFTER)
    return {"median": median, "missed": sum(d == AFTER for d in late), "early": found.count(None)}


def _delay(
    rng: np.random.Generator, harmless: NDArray[np.int64], attacks: NDArray[np.int64], share: float
) -> int | None:
    """Events from the begin to the alarm; `AFTER` where there was none, None where it came before."""
    before = rng.choice(harmless, BEFORE)
    after = np.where(rng.random(AFTER) < share, rng.choice(attacks, AFTER), rng.choice(harmless, AFTER))
    alarms = _alarms(np.concatenate([before, after]))
    if alarms and alarms[0] < BEFORE:
        return None
    return alarms[0] - BEFORE if alarms else AFTER


def _alarms(grades: NDArray[np.int64]) -> list[int]:
    rate = FlagRateMonitor(InjectionConfig().cusum, GRADES)
    return [i for i, g in enumerate(grades.tolist()) if rate.update(("t", "a"), g, i, 1000 * i, f"e{i}") is not None]
