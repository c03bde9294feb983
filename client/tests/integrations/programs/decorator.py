"""Functions and blocks that call a model without an integration; see `common`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import streamgauge  # noqa: E402
from programs.common import Stage, main  # noqa: E402

MODEL = "llama-3.3-local"
ANSWER = "Take two tablets."
SEEN = {"model": MODEL, "provider": "local"}


def calls(stage: Stage) -> None:
    """Make one call each way."""
    observe = streamgauge.observe(provider="local", request_model=MODEL, publisher=stage.publisher)
    with stage.prompt("plain"):
        observe(answer)("How much?")
    stage.expect("plain", **SEEN, request="How much?", response=ANSWER)
    with stage.prompt("streamed"):
        list(observe(words)("How often?"))
    stage.expect("streamed", **SEEN, request="How often?", response=ANSWER, streamed=True)
    block(stage)
    try:
        with stage.prompt("failing"):
            observe(fail)("And now?")
    except LookupError:
        stage.expect("failing", **SEEN, request="And now?", error_type="LookupError")


def answer(question: str) -> str:
    """Stand for a model in this process."""
    return ANSWER if question else ""


def words(question: str) -> Iterator[str]:
    """Stand for a model that streams."""
    yield "Take"
    yield answer(question).removeprefix("Take")


def fail(question: str) -> str:
    """Stand for a model that is not there."""
    raise LookupError(f"no model for {len(question)} characters")


def block(stage: Stage) -> None:
    """Make a call as a block of code."""
    with (
        stage.prompt("block"),
        streamgauge.call(
            provider="local", request_model=MODEL, messages="With water?", publisher=stage.publisher
        ) as asked,
    ):
        asked.answer(ANSWER, finish_reason="stop", usage={"input_tokens": 9, "output_tokens": 4})
    stage.expect("block", **SEEN, request="With water?", response=ANSWER, input_tokens=9, output_tokens=4)


if __name__ == "__main__":
    main("decorator", calls)
