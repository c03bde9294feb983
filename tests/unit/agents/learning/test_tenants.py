"""Labels help their own tenant at once and other tenants a little; false labels hardly harm other tenants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.learning import Learner
from tests.learning import PLAIN, label, learner, margin, show


def taught(tenant: str, count: int, *, value: bool = True) -> Learner:
    target = learner(replace(PLAIN, label_window_events=2000, labels_kept=1000))
    for n in range(count):
        show(target, n, tenant=tenant)
        target.learn(label(n, value=value, tenant=tenant, who=f"w{n % 10}"))
    return target


def test_labels_help_their_own_tenant_more_than_other_tenants() -> None:
    target = taught("acme", 20)
    own, other = (np.mean([margin(target, n, tenant=t) for n in range(500, 600)]) for t in ("acme", "other"))
    assert own > other > -1.0
    assert other + 1.0 < 0.6 * (own + 1.0)


def test_a_tenant_with_only_false_labels_hardly_moves_other_tenants() -> None:
    target = taught("evil", 600)
    harm = np.mean([margin(target, n, tenant="good") for n in range(1000, 1200)]) + 1.0
    one = taught("evil", 50)
    harm_of_fifty = np.mean([margin(one, n, tenant="good") for n in range(1000, 1200)]) + 1.0
    assert harm < 2.5 * harm_of_fifty


def test_an_additional_tenant_evicts_the_tenant_with_the_oldest_label() -> None:
    target = learner()
    for k, tenant in enumerate("abcdef"):
        show(target, k, tenant=tenant)
        target.learn(label(k, value=True, tenant=tenant))
    assert target.deltas.tenants == ["c", "d", "e", "f"]
    assert len(target.deltas) == 4
    assert margin(target, 0, tenant="a") == margin(target, 0, tenant="never seen")
