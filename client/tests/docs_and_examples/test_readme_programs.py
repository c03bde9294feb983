"""client/README.md: every program runs, with a broker in this process."""

from __future__ import annotations

from pathlib import Path

from docs_and_examples import pages
from docs_and_examples.broker import ADDRESS, first_line, records
from docs_and_examples.scripts import Place


def program(at: Place, kafka: str, says: str) -> Path:
    """Write the one block that says something, with the address of the broker that is there."""
    (block,) = (block for block in pages.readme_blocks() if says in block.code)
    assert ADDRESS in block.code
    path = at.folder / "program.py"
    path.write_text(block.code.replace(ADDRESS, kafka))
    return path


def test_an_instrumented_client(at: Place, kafka: str) -> None:
    at.python(program(at, kafka, "streamgauge.instrument("))
    ((key, event),) = records(kafka, "llm.events")
    assert (key, event["prompt_name"], event["request_model"]) == (b"c-1", "triage", "gpt-4.1-mini")
    assert event["choices"][0]["content"]


def test_a_custom_event(at: Place, kafka: str) -> None:
    said = at.python(program(at, kafka, "streamgauge.EventPublisher("))
    assert said.startswith("Stats(published=1, delivered=1,")
    ((key, event),) = records(kafka, "llm.events")
    assert (key, event["prompt_version"], event["usage"]["output_tokens"]) == (b"clinic/triage", "v7", 12)
    assert event["event_id"]
    assert event["time"]


def test_an_event_from_asyncio(at: Place, kafka: str) -> None:
    assert at.python(program(at, kafka, "AsyncEventPublisher(")) == "1 delivered\n"
    ((_, event),) = records(kafka, "llm.events")
    assert event["messages"] == [{"role": "user", "content": "How often?"}]


def test_alerts(at: Place, kafka: str) -> None:
    path = program(at, kafka, "subscribe_alerts(")
    said = first_line(at, path, kafka)
    assert said == "firing injection-rate Attacks on triage rose from 1 % to 9 %.\n"


def test_a_label(at: Place, kafka: str) -> None:
    at.python(program(at, kafka, "send_feedback("))
    ((event_key, event),), ((label_key, label),) = records(kafka, "llm.events"), records(kafka, "llm.feedback")
    assert event_key == label_key == b"clinic/triage"
    assert (label["call_id"], label["signal"], label["label"]) == (event["call_id"], "hallucination", True)


def test_every_program_is_run() -> None:
    assert len(pages.readme_blocks()) == 5
