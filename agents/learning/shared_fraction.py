"""Share of a tenant's labels that other tenants feel: the more labels the tenant gives, the less of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from agents.common.state_validation import array
from agents.common.state_validation import counts as whole
from agents.common.tenant_map import TenantLru


class Lending:
    """Labels that each tenant gave, and the share of the next one that other tenants feel.

    Parameters
    ----------
    labels_at_once
        Labels of a tenant that count whole; all later ones together move the others by little.
    tenants_max
        Tenants kept.

    Examples
    --------
    >>> lending = Lending(labels_at_once=2, tenants_max=10)
    >>> [lending.share("acme") for _ in range(4)]
    [1.0, 1.0, 0.6666666666666666, 0.5]
    """

    def __init__(self, labels_at_once: float, tenants_max: int) -> None:
        self.labels_at_once = labels_at_once
        self._given = TenantLru[str, int](tenants_max)

    def share(self, tenant: str) -> float:
        """Count one more label of a tenant; return the share of it that other tenants feel."""
        given = (self._given.peek(tenant, tenant) or 0) + 1
        self._given.put(tenant, tenant, given)
        return min(1.0, self.labels_at_once / given)

    def state(self) -> dict[str, Any]:
        """Return tenants and numbers in the order of `TenantLru.items`."""
        return {"tenants": self._given.tenants(), "labels": np.array(list(self._given.values()), np.int64)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`; raises ValueError if it does not fit."""
        tenants = state["tenants"]
        labels = array(state["labels"], np.int64, len(tenants)).tolist()
        whole(*labels)
        self._given.restore(tenants, [tenant for tenant, *_ in tenants], labels)
