"""Fraction of a tenant's labels that affects other tenants: the more labels a tenant gives, the less each affects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.common.state_validation import expect_array, expect_counts
from agents.common.tenant_map import TenantLru


class SharedFraction:
    """Number of labels per tenant, and the fraction of the next label that affects other tenants.

    Parameters
    ----------
    full_weight_labels
        Number of labels of a tenant that count in full. All later labels together move other tenants by little.
    tenants_max
        Maximum number of tenants whose labels are counted.

    Examples
    --------
    >>> fraction = SharedFraction(full_weight_labels=2, tenants_max=10)
    >>> [fraction.next_label("acme") for _ in range(4)]
    [1.0, 1.0, 0.6666666666666666, 0.5]
    """

    def __init__(self, full_weight_labels: float, tenants_max: int) -> None:
        self.full_weight_labels = full_weight_labels
        self._labels = TenantLru[str, int](tenants_max)

    def next_label(self, tenant: str) -> float:
        """Count one more label of a tenant; return the fraction of the label that affects other tenants."""
        labels = (self._labels.peek(tenant, tenant) or 0) + 1
        self._labels.put(tenant, tenant, labels)
        return min(1.0, self.full_weight_labels / labels)

    def state(self) -> dict[str, Any]:
        """Return the complete state, in the order of `TenantLru.items`."""
        return {"tenants": self._labels.tenants(), "labels": np.array(list(self._labels.values()), np.int64)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state; raise ValueError if it does not fit."""
        tenants = state["tenants"]
        labels = expect_array(state["labels"], np.int64, len(tenants)).tolist()
        expect_counts(*labels)
        self._labels.restore(tenants, [tenant for tenant, *_ in tenants], labels)
