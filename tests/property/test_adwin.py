"""The ADWIN kernel makes the same cuts as river's ADWIN."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift import ADWIN

from agents.drift.adwin import LEVELS, TOTAL, VARIANCE, WIDTH, update

PARAMETERS = st.fixed_dictionaries(
    {
        "delta": st.sampled_from([1e-6, 0.002, 0.05, 0.3]),
        "clock": st.sampled_from([1, 3, 32]),
        "max_buckets": st.integers(2, 8),
        "min_window_length": st.integers(1, 20),
        "grace_period": st.integers(0, 60),
    }
)


class Kernel:
    def __init__(self, parameters: dict[str, Any], levels: int = 24) -> None:
        self.parameters = parameters
        self.window = np.zeros(5)
        self.totals = np.zeros((levels, parameters["max_buckets"]))
        self.variances = np.zeros_like(self.totals)
        self.counts = np.zeros(levels, np.int64)
        self.cut = False

    def update(self, value: float) -> bool:
        if self.cut:
            for array in (self.window, self.totals, self.variances, self.counts):
                array[...] = 0
        parameters = self.parameters
        self.cut = bool(
            update(
                self.window,
                self.totals,
                self.variances,
                self.counts,
                value,
                parameters["delta"],
                parameters["clock"],
                parameters["min_window_length"],
                parameters["grace_period"],
            )
        )
        return self.cut


def stream(seed: int, levels: list[float], run: int, kind: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    means = np.repeat(levels, run)
    if kind == "flags":
        return (rng.random(len(means)) < means).astype(np.float64)
    return means + 0.1 * rng.standard_normal(len(means)) if kind == "noise" else means


@settings(max_examples=150, deadline=None)
@given(
    PARAMETERS,
    st.integers(0, 2**32 - 1),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5),
    st.integers(1, 700),
    st.sampled_from(["flags", "noise", "constant"]),
)
def test_the_kernel_cuts_where_river_cuts(
    parameters: dict[str, Any], seed: int, levels: list[float], run: int, kind: str
) -> None:
    kernel, adwin = Kernel(parameters), ADWIN(**parameters)  # type: ignore[no-untyped-call]
    for value in stream(seed, levels, run, kind).tolist():
        adwin.update(value)  # type: ignore[no-untyped-call]
        assert kernel.update(value) == adwin.drift_detected
        assert (kernel.window[WIDTH], kernel.window[TOTAL]) == (adwin.width, adwin.total)
        assert kernel.window[VARIANCE] == adwin._helper.get_variance()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(2, 6))
def test_a_window_of_few_levels_is_bounded_and_its_sums_equal_its_events(seed: int, buckets: int, levels: int) -> None:
    parameters = {"delta": 1e-9, "clock": 32, "max_buckets": buckets, "min_window_length": 5, "grace_period": 10}
    kernel, values = Kernel(parameters, levels), stream(seed, [0.5], 2000, "noise")
    for value in values.tolist():
        kernel.update(value)
    width = int(kernel.window[WIDTH])
    assert width <= buckets * (2**levels - 1)
    assert kernel.window[LEVELS] == levels
    assert np.isclose(kernel.window[TOTAL], values[-width:].sum())
    assert np.isclose(kernel.window[VARIANCE], values[-width:].var() * width)
