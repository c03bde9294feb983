from __future__ import annotations

from schemas.settings import Settings
from streams.runtime.registry import differing_agents


def test_an_agent_differs_if_an_agent_that_it_requires_differs() -> None:
    default = Settings()
    learning = default.learning.model_copy(update={"label_window_events": 2 * default.learning.label_window_events})
    changed = default.model_copy(update={"learning": learning})
    assert differing_agents(default, default) == frozenset()
    assert differing_agents(default, changed) == {"injection", "hallucination", "campaign"}
