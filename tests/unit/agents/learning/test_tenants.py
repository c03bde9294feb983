"""One tenant's labels help it at once and the others a little; false ones harm the others hardly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents.learning import Learner
from tests.learning import PLAIN, label, learner, margin, show


def taught(tenant: str, count: int, *, value: bool = True) -> Learner:
    target = learner(replace(PLAIN, events=2000, labelled=1000))
    for n in range(count):
        show(target, n, tenant=tenant)
        target.learn(label(n, value=value, tenant=tenant, who=f"w{n % 10}"))
    return target


def test_a_tenants_labels_help_it_more_than_the_others() -> None:
    target = taught("acme", 20)
    own, other = (np.mean([margin(target, n, tenant=t) for n in range(500, 600)]) for t in ("acme", "other"))
    assert own > other > -1.0
    assert other + 1.0 < 0.6 * (own + 1.0)


def test_a_tenant_full_of_false_labels_hardly_moves_the_others() -> None:
    target = taught("evil", 600)
    harm = np.mean([margin(target, n, tenant="good") for n in range(1000, 1200)]) + 1.0
    one = taught("evil", 50)
    harm_of_fifty = np.mean([margin(one, n, tenant="good") for n in range(1000, 1200)]) + 1.0
    assert harm < 2.5 * harm_of_fifty


def test_a_tenant_too_many_pushes_out_the_one_labelled_longest_ago() -> None:
    target = learner()
    for k, tenant in enumerate("abcdef"):
        show(target, k, tenant=tenant)
        target.learn(label(k, value=True, tenant=tenant))
    assert target.moves.names == ["c", "d", "e", "f"]
    assert len(target.moves) == 4
    assert margin(target, 0, tenant="a") == margin(target, 0, tenant="never seen")
