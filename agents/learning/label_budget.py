"""Budget of labels that nobody vouches for: so many count in a day, however many labellers give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.common.state_validation import array, texts, within
from agents.common.state_validation import counts as whole
from agents.common.tenant_map import TenantLru
from agents.common.watermark import SCOPES_MAX, Scope
from agents.learning.annotators import DAY_MS


class DailyBudget:
    """Labels that may count per scope and day, shared by all labellers of the scope.

    The day is that of the scope's watermark, which no label moves: the time that a label claims opens no new budget. A
    watermark never goes back, nor does a scope's day.

    Parameters
    ----------
    labels_a_day
        Labels that count per scope and day.
    scopes_max
        Scopes kept, a fair share for each tenant.

    Examples
    --------
    >>> budget = DailyBudget(2)
    >>> [budget.spend(("acme", "chat"), 0) for _ in range(3)], budget.spend(("acme", "chat"), DAY_MS)
    ([True, True, False], True)
    >>> budget.spend(("acme", "triage"), 0)
    True
    """

    def __init__(self, labels_a_day: int, scopes_max: int = SCOPES_MAX) -> None:
        self.labels_a_day, self.scopes_max = labels_a_day, scopes_max
        self._spent = TenantLru[Scope, tuple[int, int]](scopes_max)

    def spend(self, scope: Scope, now_ms: int) -> bool:
        """Count a label; return False if the budget of the day is spent."""
        day, spent = self._spent.peek(scope[0], scope) or (0, 0)
        today = max(day, now_ms // DAY_MS)
        spent = spent if today == day else 0
        left = spent < self.labels_a_day
        self._spent.put(scope[0], scope, (today, spent + left))
        return left

    def state(self) -> dict[str, Any]:
        """Return scopes and numbers in the order of `TenantLru.items`."""
        numbers = np.array(list(self._spent.values()), np.int64).reshape(len(self._spent), 2)
        return {"scopes": [list(scope) for scope in self._spent], "tenants": self._spent.tenants(), "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        scopes = [texts(scope, 2) for scope in state["scopes"]]
        within(scopes, self.scopes_max, "scopes")
        numbers = array(state["numbers"], np.int64, len(scopes), 2).tolist()
        whole(*(n for row in numbers for n in row))
        self._spent.restore(state["tenants"], ((s[0], s[1]) for s in scopes), ((day, n) for day, n in numbers))
