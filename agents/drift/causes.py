"""Root-cause ranking: the likely causes of a change, most specific first.

An alarm names the chart that crossed its limit first. The other features that moved with it indicate the cause. A
feature has moved if a moving average of its last values (weight 1/16) is more than three of its standard deviations
from the reference, or if its chart exceeds half of its limit.

The ranking follows the causal order of a call. A deployment (prompt version, requested model) explains every effect of
it. Next is the input (language, topic, length). The provider is a cause only if the input has not moved. Features that
depend on an upstream feature (latency and cost depend on length) are ranked after it.

References
----------
Budhathoki, K., Minorics, L., Bloebaum, P. and Janzing, D. (2022). Causal structure-based root cause analysis of
outliers. ICML, 2357-2369 (the root cause is the first component in causal order that moved).
Roberts, S. W. (1959). Control chart tests based on geometric moving averages. Technometrics 1, 239-250.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.drift.columns import COST_UNIT
from agents.drift.cusum import DOWN, UP, variance_inflation
from agents.drift.layout import (
    CONTINUOUS,
    FIRST_CATEGORICAL,
    FIRST_SHARE,
    GROUP,
    RECENT_WEIGHT,
    SCALARS,
    TEXT,
)

MIN_Z_SCORE = 3.0
"""Minimum distance of a moved feature's average from the reference, in standard deviations of the average."""
MIN_RATIO = 0.5
"""Minimum ratio of a moved feature's statistic to its limit."""
MIN_RELATIVE_Z_SCORE = 0.5
"""Minimum z-score of a moved input feature, as a fraction of the highest z-score: weaker movements are noise."""
MIN_TEXT_RATIO = 0.8
"""`MIN_RATIO` of the text, whose statistic is at about 40 % of its limit without a change."""
LATEST = 12
"""Number of latest events in which a newly deployed slice is detected."""
MIN_SHARE_RISE = 0.15
"""Minimum rise of a slice's share in the latest events; the rise must also be `MIN_Z_SCORE` standard deviations."""
_AVERAGE_DEVIATION = math.sqrt(RECENT_WEIGHT / (2.0 - RECENT_WEIGHT))
_COST = SCALARS.index("cost_usd")
_DEPLOYED = ("prompt_version", "request_model")
_TOPIC = ("text", "novelty", "unfamiliar")
_LENGTH = ("response_chars", "output_tokens")
_LATENCY = ("latency_ms", "ttft_ms")
_IDENTITY = ("response_model", "fingerprint")
_FORM = ("format", "opening")


@dataclass(frozen=True, slots=True)
class MovedFeature:
    """A feature whose level differs from its reference.

    Attributes
    ----------
    name
        Name of the signal.
    z_score
        Distance of the moving average from the reference in standard deviations. For the text, the ratio of the
        statistic to its limit on the same scale.
    before, after
        Levels in the feature's unit.
    """

    name: str
    z_score: float
    before: float
    after: float

    def __str__(self) -> str:
        if self.name == "text":
            return "words"
        if self.name in SCALARS[FIRST_SHARE:]:
            label = f"usual {self.name}" if self.name in SCALARS[FIRST_CATEGORICAL:] else self.name
            return f"{label} {self.before:.0%} to {self.after:.0%}"
        return f"{self.name} {self.before:.4g} to {self.after:.4g}"


def moved_features(row: Any, feature: int, text: float) -> dict[str, MovedFeature]:
    """Return the features that moved, by name, including the feature that raised the alarm.

    Parameters
    ----------
    row
        Record of the app.
    feature
        Feature that raised the alarm, an index into `layout.SIGNALS`.
    text
        Ratio of the text statistic to its limit.
    """
    moved = {}
    for f, name in enumerate(SCALARS):
        limit = row["limit"][:, f]
        if limit[UP] <= 0.0:
            continue
        mean, recent = float(row["mean"][f]), float(row["recent"][f])
        z_score = (recent - mean) / (_deviation(row, f) * _AVERAGE_DEVIATION * math.sqrt(variance_inflation(row, f)))
        ratio = max(float(row["sum"][s, f] / limit[s]) for s in (UP, DOWN))
        if f == feature or abs(z_score) >= MIN_Z_SCORE or ratio >= MIN_RATIO:
            moved[name] = MovedFeature(name, max(abs(z_score), MIN_Z_SCORE * ratio), *levels(f, mean, recent))
    highest = max((m.z_score for m in moved.values()), default=0.0)
    for name in [n for n, m in moved.items() if _group(n) < 0 and m.z_score < MIN_RELATIVE_Z_SCORE * highest]:
        if name != SCALARS[min(feature, TEXT - 1)]:
            del moved[name]
    if feature == TEXT or text >= MIN_TEXT_RATIO:
        moved["text"] = MovedFeature("text", 2.0 * MIN_Z_SCORE * text, 0.0, text)
    return moved


def _deviation(row: Any, f: int) -> float:
    if f < FIRST_SHARE:
        return max(
            math.sqrt(float(row["squares"][f]) / max(int(row["n"][f]), 1)), 0.02, 0.01 * abs(float(row["mean"][f]))
        )
    # One event has the weight `RECENT_WEIGHT`: a single event of a rarer value must not count as a movement.
    rate = min(max(float(row["mean"][f]), RECENT_WEIGHT), 1.0 - RECENT_WEIGHT)
    return math.sqrt(rate * (1.0 - rate))


def levels(feature: int, before: float, after: float) -> tuple[float, float]:
    """Return levels in the signal's unit; the level of a continuous feature is its geometric mean."""
    if feature >= len(CONTINUOUS):
        return before, after
    unit = COST_UNIT if feature == _COST else 1.0
    return math.expm1(before) * unit, math.expm1(after) * unit


def rank_causes(
    moved: Mapping[str, MovedFeature], slices: Mapping[str, tuple[float, float]], alarm: str
) -> tuple[str, ...]:
    """Return the causes as ``kind: evidence``, most likely first.

    Parameters
    ----------
    moved
        See `moved_features`.
    slices
        Shares of each slice in the reference and in the last `LATEST` events.
    alarm
        Name of the feature that raised the alarm.

    Examples
    --------
    >>> slower = {"latency_ms": MovedFeature("latency_ms", 9.0, 400.0, 900.0)}
    >>> rank_causes(slower, {"prompt_version=v1": (1.0, 0.2), "prompt_version=v2": (0.0, 0.8)}, "latency_ms")
    ('prompt version: prompt_version=v2 0% to 80%', 'latency: latency_ms 400 to 900')
    >>> rank_causes(slower, {}, "latency_ms")
    ('latency: latency_ms 400 to 900',)
    """
    causes = [*_deployments(slices)]
    if "language" not in moved:  # the share of a new language rises before its chart moves
        causes += _risen_slice(slices, "language")
    input_causes = [cause for kind, names in _INPUT for cause in _cause(moved, kind, names)]
    output_causes = [cause for kind, names in _OUTPUT for cause in _cause(moved, kind, names)]
    if is_provider(moved, slices, alarm):
        outputs = sorted((m for m in moved.values() if _group(m.name) >= 0), key=lambda m: -m.z_score)
        causes.append("provider: " + ", ".join(map(str, outputs[:5])))
    elif alarm in _DOMINANT:
        output_causes.sort(key=lambda cause: not cause.startswith(alarm))
    return tuple([*causes, *input_causes, *output_causes][:6])


_INPUT = (("language", ("language",)), ("topic", _TOPIC), ("prompt length", ("prompt_chars", "input_tokens")))
_OUTPUT = (
    ("error", ("error",)),
    ("refusal", ("refusal",)),
    ("answer length", _LENGTH),
    ("answer form", _FORM),
    ("finish reason", ("finish_reason",)),
    ("latency", _LATENCY),
    ("cost", ("cost_usd",)),
)
_DOMINANT = ("refusal", "error")
"""Features that rank first among the output if they raised the alarm: the other output features follow from them."""


def _cause(moved: Mapping[str, MovedFeature], kind: str, names: Sequence[str]) -> Iterator[str]:
    features = sorted((moved[n] for n in names if n in moved), key=lambda m: -m.z_score)
    if features:
        yield f"{kind}: " + ", ".join(map(str, features))


def _deployments(slices: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield new prompt versions and models as causes."""
    for kind in _DEPLOYED:
        yield from _risen_slice(slices, kind)


def _risen_slice(slices: Mapping[str, tuple[float, float]], kind: str) -> Iterator[str]:
    """Yield the slice of a kind with the highest rise of its share, if a share has risen."""
    risen = {n: s for n, s in slices.items() if n.startswith(f"{kind}=") and _has_risen(*s)}
    if risen:
        name = max(risen, key=lambda n: risen[n][1] - risen[n][0])
        before, after = risen[name]
        yield f"{_KIND_NAMES[kind]}: {name} {before:.0%} to {after:.0%}"


def _has_risen(before: float, after: float) -> bool:
    return after - before >= max(MIN_SHARE_RISE, MIN_Z_SCORE * math.sqrt(before * (1.0 - before) / LATEST))


_KIND_NAMES = {"prompt_version": "prompt version", "request_model": "model", "language": "language"}


def is_provider(moved: Mapping[str, MovedFeature], slices: Mapping[str, tuple[float, float]], alarm: str) -> bool:
    """Return whether several output groups or the model's identity moved although no input feature moved."""
    new_slice = any(_has_risen(*s) for n, s in slices.items() if n.split("=")[0] in _KIND_NAMES)
    if new_slice or any(n in moved for _, names in _INPUT for n in names):
        return False
    groups = {_group(name) for name in moved} - {-1}
    if any(name in moved for name in _IDENTITY):
        return True
    # Longer answers take longer: length and latency that move in the same direction are one change.
    same_direction = {_LENGTH[0], _LATENCY[0]} <= set(moved) and _rose(moved[_LENGTH[0]]) == _rose(moved[_LATENCY[0]])
    # A refusal also changes length and latency, so a refusal alarm needs one more group as evidence.
    return len(groups) - same_direction - (alarm == "refusal") >= 2


def _rose(feature: MovedFeature) -> bool:
    return feature.after > feature.before


def _group(name: str) -> int:
    return GROUP[SCALARS.index(name)] if name in SCALARS else -1
