"""Common part of the end-to-end programs: arguments, publisher, and the expected events.

A program is run as ``python programs/<name>.py <streamgauge url> <topic prefix>``. It starts its own local server,
makes one plain, one streamed and one failing call (more where the library has more), flushes, and prints one JSON
line per call with what ClickHouse must hold. It starts by putting this folder's parent first in ``sys.path`` in
place of its own folder: ``programs/openai.py`` would otherwise be what ``import openai`` finds.

Examples
--------
A program::

    def calls(stage: Stage) -> None:
        with Server() as server:
            client = streamgauge.instrument(OpenAI(base_url=server.url, api_key="key"), stage.publisher)
            with stage.prompt("plain"):
                client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hello"}])
            stage.expect("plain", model="gpt-5", provider="openai", request="Hello", response="Hi",
                         input_tokens=9, output_tokens=2)


    main("openai", calls)
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any

import streamgauge

PROMPT_NAME = "triage"
PROMPT_VERSION = "v7"
TENANT = "e2e"


@dataclass(frozen=True, slots=True)
class Expected:
    """One row that must be in ClickHouse, found by its conversation."""

    conversation_id: str
    model: str
    provider: str
    request: str
    response: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    error_type: str = ""
    streamed: bool = False
    prompt_name: str = PROMPT_NAME
    prompt_version: str = PROMPT_VERSION
    tenant: str = TENANT
    app: str = ""


class Stage:
    """A program's publisher, prompt and expectations."""

    def __init__(self, app: str, url: str, prefix: str) -> None:
        self.app = app
        self.prefix = prefix
        self.publisher = streamgauge.EventPublisher(url, tenant=TENANT, app=app, topic_prefix=prefix)
        self.expected: list[Expected] = []

    def conversation(self, label: str) -> str:
        """Return the conversation that the call ``label`` is part of, unique to this run."""
        return f"{self.prefix}-{self.app}-{label}"

    def prompt(self, label: str) -> AbstractContextManager[Any]:
        """Open the prompt under which the call ``label`` is made."""
        conversation = self.conversation(label)
        return streamgauge.context(PROMPT_NAME, version=PROMPT_VERSION, conversation_id=conversation, user_id="u-9")

    def expect(self, label: str, **row: Any) -> None:
        """Say what the call ``label`` must leave in ClickHouse; the fields are those of `Expected`."""
        self.expected.append(Expected(self.conversation(label), app=self.app, **row))

    def close(self) -> None:
        """Deliver what was published, then print the expectations, one JSON object a line."""
        if not self.publisher.flush(30.0):
            raise SystemExit(f"{self.app}: not all events were delivered within 30 s: {self.publisher.stats}")
        self.publisher.close()
        for row in self.expected:
            sys.stdout.write(json.dumps(asdict(row)) + "\n")


def main(app: str, calls: Callable[[Stage], None]) -> None:
    """Run a program: ``<streamgauge url> <topic prefix>`` are its two arguments."""
    url, prefix = sys.argv[1:3]
    stage = Stage(app, url, prefix)
    calls(stage)
    stage.close()
