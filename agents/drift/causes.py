"""What a change most likely comes from: the causes ranked, the most specific first.

At an alarm the chart that crossed its limit first is named; what else moved with it tells why. A feature has moved
where a moving average of its last values (weight 1/16) lies more than three of its standard deviations from the
reference, or its chart is over half of its limit. The ranking follows the way in which a call comes about: what a team
deploys (prompt version, requested model) explains all that follows from it; then what comes in (language, topic,
length); only where the input is calm is the provider the cause of what comes out, and what depends on something
upstream (latency and cost on length) comes after it.

References
----------
Budhathoki, K., Minorics, L., Bloebaum, P. and Janzing, D. (2022). Causal structure-based root cause analysis of
outliers. ICML, 2357-2369 (the parts of a system in causal order; the most upstream one that moved is the root).
Roberts, S. W. (1959). Control chart tests based on geometric moving averages. Technometrics 1, 239-250.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.drift.columns import COST_UNIT
from agents.drift.cusum import DOWN, UP, inflation
from agents.drift.layout import (
    FIRST_SHARE,
    FIRST_USUAL,
    GROUP,
    MEASURED,
    RECENT,
    SCALARS,
    TEXT,
)

FAR = 3.0
"""Standard deviations of the moving average that count as moved."""
SUSPECT = 0.5
"""Part of its limit that counts as moved."""
WEAK = 0.5
"""Part of the strongest movement below which one of the input is taken for chance: upstream is not always cause."""
TEXT_SUSPECT = 0.8
"""The same of the text, whose statistic is at a good 40 % of its limit where nothing moves."""
LATEST = 12
"""Last events in which a newly deployed slice is looked for."""
SHARE = 0.15
"""What the share of a slice must at least rise by among them, and by `FAR` of its standard deviations."""
_SPREAD = math.sqrt(RECENT / (2.0 - RECENT))
_COST = SCALARS.index("cost_usd")
_DEPLOYED = ("prompt_version", "request_model")
_TOPIC = ("text", "novelty", "unfamiliar")
_LENGTH = ("response_chars", "output_tokens")
_TIME = ("latency_ms", "ttft_ms")
_IDENTITY = ("response_model", "fingerprint")
_FORM = ("format", "opening")


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature that is not what it was.

    Attributes
    ----------
    far
        Standard deviations of the moving average from the reference; of the text, the root of the statistic over its
        limit in the same scale.
    before, after
        Levels in the feature's unit.
    """

    name: str
    far: float
    before: float
    after: float

    def __str__(self) -> str:
        if self.name == "text":
            return "words"
        if self.name in SCALARS[FIRST_SHARE:]:
            what = f"usual {self.name}" if self.name in SCALARS[FIRST_USUAL:] else self.name
            return f"{what} {self.before:.0%} to {self.after:.0%}"
        return f"{self.name} {self.before:.4g} to {self.after:.4g}"


def moved(row: Any, feature: int, text: float) -> dict[str, Moved]:
    """Features that moved, by name; the one that alarmed among them.

    Parameters
    ----------
    row
        The segment's record.
    feature
        Of the alarm, index into `layout.SIGNALS`.
    text
        The text's statistic in units of its limit.
    """
    found = {}
    for f, name in enumerate(SCALARS):
        limit = row["limit"][:, f]
        if limit[UP] <= 0.0:
            continue
        mean, now = float(row["mean"][f]), float(row["recent"][f])
        far = (now - mean) / (_deviation(row, f) * _SPREAD * math.sqrt(inflation(row, f)))
        over = max(float(row["sum"][s, f] / limit[s]) for s in (UP, DOWN))
        if f == feature or abs(far) >= FAR or over >= SUSPECT:
            found[name] = Moved(name, max(abs(far), FAR * over), *levels(f, mean, now))
    strongest = max((m.far for m in found.values()), default=0.0)
    for name in [n for n, m in found.items() if _group(n) < 0 and m.far < WEAK * strongest]:
        if name != SCALARS[min(feature, TEXT - 1)]:
            del found[name]
    if feature == TEXT or text >= TEXT_SUSPECT:
        found["text"] = Moved("text", 2.0 * FAR * text, 0.0, text)
    return found


def _deviation(row: Any, f: int) -> float:
    if f < FIRST_SHARE:
        return max(
            math.sqrt(float(row["squares"][f]) / max(int(row["n"][f]), 1)), 0.02, 0.01 * abs(float(row["mean"][f]))
        )
    # One event weighs `RECENT`: where a share is smaller, its one event is no movement.
    rate = min(max(float(row["mean"][f]), RECENT), 1.0 - RECENT)
    return math.sqrt(rate * (1.0 - rate))


def levels(feature: int, before: float, after: float) -> tuple[float, float]:
    """Levels in the signal's unit; of measured values the geometric mean."""
    if feature >= len(MEASURED):
        return before, after
    unit = COST_UNIT if feature == _COST else 1.0
    return math.expm1(before) * unit, math.expm1(after) * unit


def rank(what: Mapping[str, Moved], slices: Mapping[str, tuple[float, float]], first: str) -> tuple[str, ...]:
    """Causes in words, ``kind: evidence``, the likeliest first.

    Parameters
    ----------
    what
        See `moved`.
    slices
        Shares of each slice's values before and in the last `LATEST` events.
    first
        The feature that alarmed.

    Examples
    --------
    >>> slower = {"latency_ms": Moved("latency_ms", 9.0, 400.0, 900.0)}
    >>> rank(slower, {"prompt_version=v1": (1.0, 0.2), "prompt_version=v2": (0.0, 0.8)}, "latency_ms")
    ('prompt version: prompt_version=v2 0% to 80%', 'latency: latency_ms 400 to 900')
    >>> rank(slower, {}, "latency_ms")
    ('latency: latency_ms 400 to 900',)
    """
    found = [*_deployed(slices)]
    if "language" not in what:  # a new language is plain to see before its share has moved far
        found += _risen(slices, "language")
    inside = [cause for kind, names in _INPUT for cause in _cause(what, kind, names)]
    outside = [cause for kind, names in _OUTPUT for cause in _cause(what, kind, names)]
    if is_provider(what, slices, first):
        together = sorted((m for m in what.values() if _group(m.name) >= 0), key=lambda m: -m.far)
        found.append("provider: " + ", ".join(map(str, together[:5])))
    elif first in _ALONE:
        outside.sort(key=lambda cause: not cause.startswith(first))
    return tuple([*found, *inside, *outside][:6])


_INPUT = (("language", ("language",)), ("topic", _TOPIC), ("prompt length", ("prompt_chars", "input_tokens")))
_OUTPUT = (
    ("error", ("error",)),
    ("refusal", ("refusal",)),
    ("answer length", _LENGTH),
    ("answer form", _FORM),
    ("finish reason", ("finish_reason",)),
    ("latency", _TIME),
    ("cost", ("cost_usd",)),
)
_ALONE = ("refusal", "error")
"""Where one of them alarmed first it comes first: what else moved of the output goes with it."""


def _cause(what: Mapping[str, Moved], kind: str, names: Sequence[str]) -> Iterator[str]:
    parts = sorted((what[n] for n in names if n in what), key=lambda m: -m.far)
    if parts:
        yield f"{kind}: " + ", ".join(map(str, parts))


def _deployed(slices: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Name what was deployed."""
    for kind in _DEPLOYED:
        yield from _risen(slices, kind)


def _risen(slices: Mapping[str, tuple[float, float]], kind: str) -> Iterator[str]:
    """Name the slice of a kind whose share rose most, if one did."""
    risen = {n: s for n, s in slices.items() if n.startswith(f"{kind}=") and _has_risen(*s)}
    if risen:
        name = max(risen, key=lambda n: risen[n][1] - risen[n][0])
        before, after = risen[name]
        yield f"{_WORDS[kind]}: {name} {before:.0%} to {after:.0%}"


def _has_risen(before: float, after: float) -> bool:
    return after - before >= max(SHARE, FAR * math.sqrt(before * (1.0 - before) / LATEST))


_WORDS = {"prompt_version": "prompt version", "request_model": "model", "language": "language"}


def is_provider(what: Mapping[str, Moved], slices: Mapping[str, tuple[float, float]], first: str) -> bool:
    """Whether the output moved in several ways, or the model's own name did, while nothing of the input moved."""
    new = any(_has_risen(*s) for n, s in slices.items() if n.split("=")[0] in _WORDS)
    if new or any(n in what for _, names in _INPUT for n in names):
        return False
    groups = {_group(name) for name in what} - {-1}
    if any(name in what for name in _IDENTITY):
        return True
    # Longer answers take longer, and the other way round: together they are one change.
    same_way = {_LENGTH[0], _TIME[0]} <= set(what) and _sign(what[_LENGTH[0]]) == _sign(what[_TIME[0]])
    # Who declines more does so at once; what goes with it must be more than chance.
    return len(groups) - same_way - (first == "refusal") >= 2


def _sign(of: Moved) -> bool:
    return of.after > of.before


def _group(name: str) -> int:
    return GROUP[SCALARS.index(name)] if name in SCALARS else -1
