"""What is done before the first event, so that it does not wait for it."""

from __future__ import annotations

import gc

from schemas.event import Choice, Document, LLMEvent, Message
from schemas.settings import Settings
from streams.assembly import build_pipeline

_EVENT = LLMEvent(
    event_id="warm",
    call_id="warm",
    time="2026-01-01T00:00:00Z",
    tenant="warm",
    app="warm",
    messages=(
        Message(role="system", content="Answer from the passage."),
        Message(role="user", content="Is the dose safe?"),
    ),
    documents=(Document(text="The usual dose is 200 mg."),),
    choices=(Choice(content="Yes, up to 200 mg.", finish_reason="stop"),),
)


def warm(settings: Settings) -> None:
    """Compile or load every kernel by judging one event in a pipeline that is thrown away, then spare the collector.

    Decoding makes some 40 objects an event, and reference counting frees them; with Python's thresholds the cycle
    collector walks the heap for every 700 of them. Thirty times rarer, and with what was imported frozen out of its
    sight, decode and agents took 66 us an event instead of 88.
    """
    pipeline = build_pipeline(0, settings)
    pipeline.process([(0, _EVENT, _EVENT.model_dump_json(exclude_unset=True).encode())])
    spare_collector()


def spare_collector() -> None:
    """Let the cycle collector look rarely, and only at what was made since."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 1000)
