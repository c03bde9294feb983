"""A learner without an agent around it: events of random words, labels for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Chunk
from agents.learning import FeatureSpec, Learner, LearningConfig, ScoredEvents
from schemas.event import LLMEvent
from schemas.feedback import Feedback
from streams.runtime.snapshot_codec import Snapshot, encode

SIZE, KEPT = 1 << 10, 24
SPACE = FeatureSpec(SIZE, KEPT, np.array([-6.0]), np.array([6.0]), hashed=True)
PLAIN = LearningConfig(label_window_events=512, labels_kept=256, tenants=4, requests_per_hour=0.0)


def learner(config: LearningConfig = PLAIN) -> Learner:
    return Learner("injection", SPACE, "base", config)


def words(seed: int, topic: int = 0) -> NDArray[np.int32]:
    """Return a row of hashed words, half of them a topic's own."""
    rng = np.random.default_rng((7, seed))
    row = np.full(KEPT, -1, np.int32)
    row[:10], row[10:20] = rng.integers(500, SIZE, 10), rng.integers(50 * topic, 50 * topic + 50, 10)
    return row


def call(n: int, tenant: str = "acme", time: str = "2026-01-01T00:00:00Z") -> LLMEvent:
    return LLMEvent(event_id=f"e{n}", call_id=f"c{n}", time=time, tenant=tenant, app="a")


def show(target: Learner, n: int, *, topic: int = 0, base: float = -1.0, tenant: str = "acme", **more: Any) -> float:
    """Let an event be scored; return its margin."""
    margins = np.array([base])
    row = words(n, topic)
    target.apply(row[None], [tenant], margins)
    said = ScoredEvents([0], row[None], np.array([base]), margins, [bool(margins[0] > 0)])
    target.observe(Chunk([call(n, tenant, **more)]), said)
    return float(margins[0])


def margin(target: Learner, n: int, *, topic: int = 0, base: float = -1.0, tenant: str = "acme") -> float:
    """Return the margin that an event would have, without telling the learner."""
    margins = np.array([base])
    target.apply(words(n, topic)[None], [tenant], margins)
    return float(margins[0])


def label(n: int, value: bool, *, tenant: str = "acme", who: str | None = "ann", **more: Any) -> Feedback:
    parts = {"feedback_id": f"f{n}-{who}-{value}", "source": "annotator"} | more
    return Feedback(
        call_id=f"c{n}", time="2026-01-01T00:00:00Z", tenant=tenant, app="a", signal="injection", label=value,
        user_id=who, **parts,
    )  # fmt: skip


def bits(target: Learner) -> bytes:
    """Return the state as a snapshot writes it."""
    return encode(Snapshot(0, 0, {}, {"learner": target.state()}))
