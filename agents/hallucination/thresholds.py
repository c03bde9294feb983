"""Adaptive thresholds: the shipped threshold, raised for an app whose answers paraphrase freely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from sys import intern
from typing import Any

import numpy as np

from agents.common.state_validation import expect_at_most, expect_texts
from agents.common.tenant_map import TenantLru

Scope = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ThresholdConfig:
    """Settings of `AdaptiveThresholds`.

    Attributes
    ----------
    share
        Fraction of an app's events that may be flagged before the app's threshold rises.
    prior
        Events after which the app's quantile has the same weight as the shipped threshold.
    max_rise
        Maximum rise of a threshold, in log odds; 0 keeps the shipped threshold.
    step, floor
        Step of the quantile at the n-th event: ``step / (n + 10)``, at least ``floor``. The floor keeps the quantile
        following slow changes.
    max_segments
        Maximum number of apps, with a fair share for each tenant; the least recently seen app is evicted.
    """

    share: float = 0.15
    prior: float = 200.0
    max_rise: float = 1.0
    step: float = 2.0
    floor: float = 0.002
    max_segments: int = 4096


class AdaptiveThresholds:
    """Thresholds in log odds by scope (tenant, app).

    Two numbers per app track the upper quantile of the app's scores. The quantile is shrunk towards the shipped
    threshold by the number of events seen. A threshold never falls below the shipped one and rises by at most
    ``max_rise``: a clear error of an app that is always wrong is still flagged. The app's flag rate
    (`FlagRateMonitor`) changes long before its threshold.

    Parameters
    ----------
    base
        Shipped threshold, a probability.
    config
        See `ThresholdConfig`.

    Examples
    --------
    >>> thresholds = AdaptiveThresholds(0.6)
    >>> limits = [thresholds.update(("acme", "chat"), 1.2) for _ in range(1000)]
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
        self._segments = TenantLru[Scope, tuple[int, float]](self.config.max_segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def evicted(self) -> int:
        """Number of apps evicted to admit another app."""
        return self._segments.evicted

    def update(self, scope: Scope, log_odds: float) -> float:
        """Return the threshold of an event from the app's previous events, then update it with the event's score."""
        c = self.config
        tenant, app = scope
        entry = self._segments.get(tenant, scope)
        seen, rise = entry or (0, 0.0)
        limit = self.base + rise * seen / (seen + c.prior)
        step = max(c.step / (seen + 10.0), c.floor)
        rise += step * (1.0 - c.share) if log_odds > self.base + rise else -step * c.share
        rise = min(max(rise, 0.0), c.max_rise)
        if entry is None:
            tenant = intern(tenant)
            self._segments.put(tenant, (tenant, intern(app)), (seen + 1, rise))
        else:
            self._segments.replace(tenant, scope, (seen + 1, rise))
        return limit

    def state(self) -> dict[str, Any]:
        """Return one column per field, in the order of `TenantLru.items`."""
        rows = list(self._segments.values())
        return {
            "config": asdict(self.config),
            "keys": [list(k) for k in self._segments],
            "tenants": self._segments.tenants(),
            "seen": np.array([n for n, _ in rows], np.int64),
            "rise": np.array([r for _, r in rows], np.float64),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raise ValueError if the state does not fit."""
        keys, seen, rise = state["keys"], np.array(state["seen"], np.int64), np.array(state["rise"], np.float64)
        if state["config"] != asdict(self.config) or seen.shape != (len(keys),) or rise.shape != (len(keys),):
            raise ValueError("thresholds were written with other settings or have columns of unequal length")
        expect_at_most(keys, self.config.max_segments, "segments")
        if (seen < 0).any() or (rise < 0.0).any() or (rise > self.config.max_rise).any():
            raise ValueError(f"a threshold has a negative count, or a rise outside 0 to {self.config.max_rise}")
        rows = zip(seen.tolist(), rise.tolist(), strict=True)
        scopes = ((intern(tenant), intern(app)) for tenant, app in (expect_texts(key, 2) for key in keys))
        self._segments.restore(state["tenants"], scopes, rows)
