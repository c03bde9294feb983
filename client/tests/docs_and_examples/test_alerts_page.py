"""docs/integrations/alerts-and-feedback: its programs with a broker in this process."""

from __future__ import annotations

from pathlib import Path

from docs_and_examples import pages
from docs_and_examples.broker import ADDRESS, first_line, records
from docs_and_examples.scripts import Place


def program(at: Place, number: int, kafka: str) -> Path:
    """Write one block of the page, with the address of the broker that is there."""
    block = pages.blocks("alerts-and-feedback", "python")[number]
    assert ADDRESS in block.code
    path = at.folder / f"block_{number}.py"
    path.write_text(block.code.replace(ADDRESS, kafka))
    return path


def test_alerts_are_printed(at: Place, kafka: str) -> None:
    assert (
        first_line(at, program(at, 0, kafka), kafka)
        == "firing injection-rate Attacks on triage rose from 1 % to 9 %.\n"
    )


def test_alerts_for_async_programs(at: Place, kafka: str) -> None:
    assert first_line(at, program(at, 1, kafka), kafka) == "a-1 0.09 > 0.05\n"


def test_feedback_comes_after_its_call_under_the_same_key(at: Place, kafka: str) -> None:
    at.python(program(at, 2, kafka))
    (event,), (label,) = records(kafka, "llm.events"), records(kafka, "llm.feedback")
    assert event[0] == label[0] == b"c-1"
    assert event[1]["call_id"] == label[1]["call_id"]
    assert (label[1]["signal"], label[1]["label"], label[1]["source"]) == ("hallucination", True, "thumbs")
