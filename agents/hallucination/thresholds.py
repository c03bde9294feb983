"""A threshold for each application: the shipped one, raised where the application's answers paraphrase freely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from sys import intern
from typing import Any

import numpy as np

from agents.common.state_validation import expect_at_most, expect_texts
from agents.common.tenant_map import TenantLru

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """How thresholds adapt.

    Attributes
    ----------
    share
        Of an application's events, what may be flagged before its threshold rises.
    prior
        Events after which its own quantile weighs as much as the shipped threshold.
    max_rise
        Most that a threshold rises, in log odds; 0 keeps the shipped one.
    step, floor
        Step of the quantile at the n-th event: ``step / (n + 10)``, at least ``floor``, so that it follows slowly.
    max_segments
        Applications kept, with a fair share for each tenant; the least recently seen are forgotten.
    """

    share: float = 0.15
    prior: float = 200.0
    max_rise: float = 1.0
    step: float = 2.0
    floor: float = 0.002
    max_segments: int = 4096


class Thresholds:
    """Thresholds in log odds by (tenant, app).

    The upper quantile of an application's own scores is tracked in two numbers and shrunk towards the shipped
    threshold by the events seen. It only rises, and at most by ``max_rise``: an application that is wrong all the time
    is still flagged where it is surely wrong, and its rate of flags (`FlagRateMonitor`) moves long before its
    threshold.

    Parameters
    ----------
    base
        The shipped threshold, a probability.
    config
        See `ThresholdConfig`.

    Examples
    --------
    >>> free = Thresholds(0.6)
    >>> limits = [free.pass_on(("acme", "chat"), 1.2) for _ in range(1000)]
    >>> round(limits[0], 3), round(limits[-1], 3)
    (0.405, 1.069)

    References
    ----------
    Robbins, H., Monro, S. (1951). A stochastic approximation method. Annals of Mathematical Statistics 22, 400-407.
    Tierney, L. (1983). A space-efficient recursive procedure for estimating a quantile of an unknown distribution.
    SIAM J. Sci. Stat. Comput. 4, 706-711.
    """

    def __init__(self, base: float, config: ThresholdConfig | None = None) -> None:
        self.config = config or ThresholdConfig()
        self.base = math.log(base / (1.0 - base))
        self._segments = TenantLru[Key, tuple[int, float]](self.config.max_segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def evicted(self) -> int:
        """Applications forgotten for others."""
        return self._segments.evicted

    def pass_on(self, key: Key, log_odds: float) -> float:
        """Threshold for this event, from those before it; then learn its score."""
        c = self.config
        known = self._segments.get(key[0], key)
        seen, rise = known or (0, 0.0)
        limit = self.base + rise * seen / (seen + c.prior)
        step = max(c.step / (seen + 10.0), c.floor)
        rise += step * (1.0 - c.share) if log_odds > self.base + rise else -step * c.share
        rise = min(max(rise, 0.0), c.max_rise)
        if known is None:
            tenant = intern(key[0])
            self._segments.put(tenant, (tenant, intern(key[1])), (seen + 1, rise))
        else:
            self._segments.replace(key[0], key, (seen + 1, rise))
        return limit

    def state(self) -> dict[str, Any]:
        """Return columns in the order of `TenantLru.items`."""
        rows = list(self._segments.values())
        return {
            "config": asdict(self.config),
            "keys": [list(k) for k in self._segments],
            "tenants": self._segments.tenants(),
            "seen": np.array([n for n, _ in rows], np.int64),
            "rise": np.array([r for _, r in rows], np.float64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        keys, seen, rise = state["keys"], np.array(state["seen"], np.int64), np.array(state["rise"], np.float64)
        if state["config"] != asdict(self.config) or seen.shape != (len(keys),) or rise.shape != (len(keys),):
            raise ValueError("thresholds made with other settings, or of unequal length")
        expect_at_most(keys, self.config.max_segments, "segments")
        if (seen < 0).any() or (rise < 0.0).any() or (rise > self.config.max_rise).any():
            raise ValueError("a threshold that no scores lead to")
        rows = zip(seen.tolist(), rise.tolist(), strict=True)
        named = ((intern(tenant), intern(app)) for tenant, app in (expect_texts(key, 2) for key in keys))
        self._segments.restore(state["tenants"], named, rows)
