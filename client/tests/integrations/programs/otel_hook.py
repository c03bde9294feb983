"""OpenTelemetry's instrumentation of the OpenAI SDK with the completion hook; see `common`."""

# ruff: noqa: E402 - the path comes before what is imported by it
from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import streamgauge
from openai import OpenAI, RateLimitError
from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from programs.common import TENANT, Stage, main
from servers import openai as server

MODEL = "gpt-5.2"
ASKED: list[Any] = [{"role": "user", "content": "How many tablets?"}]
TOKENS = {"input_tokens": 19, "output_tokens": 12}


def calls(stage: Stage) -> None:
    """Make one plain, one streamed and one failing call; the hook publishes through the default publisher."""
    os.environ["OTEL_INSTRUMENTATION_GENAI_COMPLETION_HOOK"] = "streamgauge"
    default = streamgauge.configure(sys.argv[1], tenant=TENANT, app=stage.app, topic_prefix=stage.prefix)
    OpenAIInstrumentor().instrument(tracer_provider=TracerProvider())  # type: ignore[no-untyped-call]
    with server.serve() as api, OpenAI(base_url=f"{api.url}/v1", api_key="key", max_retries=0) as client:
        plain(stage, client)
        streamed(stage, client)
        api.will(server.error(429))
        failing(stage, client)
    if not default.flush(30.0):
        raise SystemExit(f"not all events were delivered within 30 s: {default.stats}")


def plain(stage: Stage, client: OpenAI) -> None:
    """Ask for an answer at once."""
    with stage.prompt("plain"):
        client.chat.completions.create(model=MODEL, messages=ASKED)
    stage.expect("plain", model=MODEL, provider="openai", request=ASKED[0]["content"], response=server.ANSWER, **TOKENS)


def streamed(stage: Stage, client: OpenAI) -> None:
    """Ask for a stream, and read it to its end. openai-v2 does not say when its first chunk came."""
    with stage.prompt("streamed"):
        options: Any = {"include_usage": True}
        list(client.chat.completions.create(model=MODEL, messages=ASKED, stream=True, stream_options=options))
    stage.expect(
        "streamed", model=MODEL, provider="openai", request=ASKED[0]["content"], response=server.ANSWER, **TOKENS
    )


def failing(stage: Stage, client: OpenAI) -> None:
    """Be refused."""
    with stage.prompt("failing"):
        try:
            client.chat.completions.create(model=MODEL, messages=ASKED)
        except RateLimitError:
            stage.expect(
                "failing", model=MODEL, provider="openai", request=ASKED[0]["content"], error_type="RateLimitError"
            )


if __name__ == "__main__":
    main("otel-hook", calls)
