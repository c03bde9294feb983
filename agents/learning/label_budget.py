"""Daily budget of unverified labels, independent of the number of annotators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.common.state_validation import expect_array, expect_at_most, expect_counts, expect_texts
from agents.common.tenant_map import TenantLru
from agents.common.watermark import SCOPES_MAX, Scope
from agents.learning.annotators import DAY_MS


class DailyBudget:
    """Number of labels that may count per scope and day, shared by all annotators of the scope.

    The day is the day of the scope's watermark. No label advances the watermark, so the time stated in a label opens no
    new budget. Watermarks never decrease, and therefore the day of a scope never does.

    Parameters
    ----------
    labels_a_day
        Number of labels that count per scope and day.
    scopes_max
        Maximum number of scopes, with a fair share for each tenant.

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
        """Spend one label; return False if the budget of the day is exhausted."""
        day, spent = self._spent.peek(scope[0], scope) or (0, 0)
        today = max(day, now_ms // DAY_MS)
        spent = spent if today == day else 0
        allowed = spent < self.labels_a_day
        self._spent.put(scope[0], scope, (today, spent + allowed))
        return allowed

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        numbers = np.array(list(self._spent.values()), np.int64).reshape(len(self._spent), 2)
        return {"scopes": [list(scope) for scope in self._spent], "tenants": self._spent.tenants(), "numbers": numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        scopes = [expect_texts(scope, 2) for scope in state["scopes"]]
        expect_at_most(scopes, self.scopes_max, "scopes")
        numbers = expect_array(state["numbers"], np.int64, len(scopes), 2).tolist()
        expect_counts(*(n for row in numbers for n in row))
        self._spent.restore(state["tenants"], ((s[0], s[1]) for s in scopes), ((day, n) for day, n in numbers))
