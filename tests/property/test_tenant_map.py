"""`TenantLru` for any sequence of operations: bounded, fair, deterministic, continued bit-equal from its state."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.common.tenant_map import ESTABLISHED, TenantLru, fair_share

Op = tuple[str, str, int]
OPS = st.lists(st.tuples(st.sampled_from("gppr"), st.sampled_from("tuvw"), st.integers(0, 30)), max_size=300)


def apply(kept: TenantLru[int, int], op: Op) -> object:
    what, tenant, key = op
    if what == "g":
        return kept.get(tenant, key)
    return kept.pop(tenant, key) if what == "r" else list(kept.put(tenant, key, key + 1))


def seen(kept: TenantLru[int, int]) -> object:
    return list(kept.items()), kept.tenants(), len(kept), kept.weight


@given(OPS, st.integers(1, 40))
def test_it_never_holds_more_than_its_capacity_and_its_counts_are_those_of_its_entries(
    ops: list[Op], capacity: int
) -> None:
    kept = TenantLru[int, int](capacity)
    for op in ops:
        apply(kept, op)
        assert len(kept) == kept.weight == len(list(kept.items())) <= capacity
    assert sum(int(entries) for _, entries, *_ in kept.tenants()) == len(kept)


@given(OPS, st.integers(8, 200))
def test_its_weights_together_never_exceed_its_capacity(ops: list[Op], capacity: int) -> None:
    kept = TenantLru[int, int](capacity, weigh=lambda value: value)
    for op in ops:
        apply(kept, op)
        assert kept.weight == sum(kept.values()) <= capacity


@given(OPS, st.integers(1, 40))
def test_a_tenant_at_or_below_its_share_loses_nothing(ops: list[Op], capacity: int) -> None:
    kept = TenantLru[int, int](capacity)
    for op in ops:
        before = Counter({str(tenant): int(entries) for tenant, entries, *_ in kept.tenants()})
        uses = {str(tenant): int(number) for tenant, _, number, _ in kept.tenants()}
        gone = apply(kept, op)
        if op[0] == "p" and isinstance(gone, list):
            share = capacity // len({*before, op[1]})
            losers = {tenant for tenant, _, _ in gone} - {op[1]}
            assert not [t for t in losers if uses[t] >= ESTABLISHED and before[t] <= share]


@given(OPS, OPS, st.integers(1, 40))
def test_it_is_continued_from_its_state(first: list[Op], then: list[Op], capacity: int) -> None:
    kept, again = TenantLru[int, int](capacity), TenantLru[int, int](capacity)
    for op in first:
        apply(kept, op)
    again.restore(kept.tenants(), kept, kept.values())
    assert seen(again) == seen(kept)
    for op in then:
        assert apply(again, op) == apply(kept, op)
    assert seen(again) == seen(kept)


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 7))
def test_of_a_single_tenant_a_small_one_is_an_ordinary_lru_map(keys: list[int], capacity: int) -> None:
    kept, plain = TenantLru[int, int](capacity), list[int]()
    for key in keys:
        kept.get_or_create("t", key, int)
        plain = [*(k for k in plain if k != key), key][-capacity:]
        assert list(kept) == plain


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20), st.integers(1, 200))
def test_the_fair_share_fills_the_room(held: list[int], room: int) -> None:
    level, left = fair_share(held, room)
    used = sum(min(weight, level) for weight in held)
    assert used + left == room or (level == max(held) and used <= room)
    if level < max(held):
        assert left < sum(weight > level for weight in held)


@pytest.mark.parametrize(
    ("tenants", "keys"),
    [
        ([["t", 2, 1, 0]], [1]),
        ([["t", 1, 1, 0]], [1, 2]),
        ([["t", 1, 0, 0]], [1]),
        ([["t", 1, ESTABLISHED + 1, 0]], [1]),
        ([["t", 1, 1, 0], ["t", 1, 1, 0]], [1, 2]),
        ([["t", 2, 1, 0]], [1, 1]),
        ([["t", 5, 1, 0]], [1, 2, 3, 4, 5]),
        ([[1, 1, 1, 0]], [1]),
    ],
)
def test_a_state_that_does_not_fit_is_refused(tenants: list[list[str | int]], keys: list[int]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the class is the contract
        TenantLru[int, int](4).restore(tenants, keys, keys)


def test_invented_tenants_compete_among_themselves() -> None:
    kept = TenantLru[str, int](1000)
    for _ in range(ESTABLISHED):
        for app in range(5):
            kept.get_or_create("victim", f"app{app}", int)
    for n in range(100_000):
        kept.put(f"invented{n}", "app", 1)
    assert [key for tenant, key, _ in kept.items() if tenant == "victim"] == [f"app{n}" for n in range(5)]
