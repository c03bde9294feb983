"""End-to-end program for transformers pipelines, in the environment with torch."""

# ruff: noqa: E402 - the path comes before what is imported by it
from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:1] = [str(TESTS / "integrations"), str(TESTS)]

import streamgauge
from pipelines import models
from programs.common import Stage, main

MODEL, PROVIDER = "BertForSequenceClassification", "huggingface"
QUESTION, OTHER = "is this dose safe ?", "take two tablets"


def calls(stage: Stage) -> None:
    """Classify a text, a list, and something that is no text; generate a text."""
    classify: Any = streamgauge.instrument(models.text_classifier(), stage.publisher)
    generate: Any = streamgauge.instrument(models.generator(), stage.publisher)
    with stage.prompt("plain"):
        (answer,) = classify(QUESTION)
    expect = {"model": MODEL, "provider": PROVIDER}
    stage.expect("plain", **expect, request=QUESTION, response=answer["label"], input_tokens=7)
    with stage.prompt("batch"):
        (answer,) = classify([OTHER], batch_size=2)
    stage.expect("batch", **expect, request=OTHER, response=answer["label"], input_tokens=5)
    with stage.prompt("failing"), contextlib.suppress(ValueError):
        classify(5)
    stage.expect("failing", **expect, request="", error_type="ValueError")
    with stage.prompt("generated"):
        (text,) = generate(OTHER, max_new_tokens=3, do_sample=False, return_full_text=False)
    said = {"request": OTHER, "response": text["generated_text"], "input_tokens": 5, "output_tokens": 3}
    stage.expect("generated", model="BertLMHeadModel", provider=PROVIDER, **said)


if __name__ == "__main__":
    main("transformers", calls)
