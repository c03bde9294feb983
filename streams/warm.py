"""What is done before the first event, so that it does not wait for it."""

from __future__ import annotations

from schemas.event import Choice, Document, LLMEvent, Message
from schemas.settings import Settings
from streams.assembly import build_pipeline
from streams.tuning import tune

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
    """Compile or load every kernel by judging one event in a pipeline that is thrown away, then tune the process."""
    pipeline = build_pipeline(0, settings)
    pipeline.process([(0, _EVENT, _EVENT.model_dump_json(exclude_unset=True).encode())])
    tune()
