from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest

from agents.hallucination import HallucinationAgent
from agents.injection import InjectionAgent


@pytest.mark.parametrize("make", [InjectionAgent, HallucinationAgent])
def test_a_learner_is_freed_with_its_agent(make: Callable[[], InjectionAgent | HallucinationAgent]) -> None:
    gc.disable()  # the worker's collector rarely looks: a cycle kept 100 MB of tables for each restored partition
    try:
        agent = make()
        learner = weakref.ref(agent.learner)
        del agent
        assert learner() is None
    finally:
        gc.enable()
