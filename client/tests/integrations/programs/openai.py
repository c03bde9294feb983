"""Chat completions and responses through the OpenAI SDK; see `common` for how programs are run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import openai as sdk  # noqa: E402
import streamgauge  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import openai as api  # noqa: E402
from servers.local import Server  # noqa: E402

MODEL = "gpt-5.2"


def calls(stage: Stage) -> None:
    """Make one call each way."""
    with api.serve() as server, sdk.OpenAI(base_url=f"{server.url}/v1", api_key="key", max_retries=0) as client:
        streamgauge.instrument(client, stage.publisher, provider="openai")
        chat(stage, client)
        streamed(stage, client)
        response(stage, client)
        failing(stage, client, server)


def chat(stage: Stage, client: sdk.OpenAI) -> None:
    """Ask for a chat completion."""
    with stage.prompt("plain"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "How much?"}])
    seen = {"model": MODEL, "provider": "openai", "request": "How much?", "response": api.ANSWER}
    stage.expect("plain", **seen, input_tokens=19, output_tokens=12)


def streamed(stage: Stage, client: sdk.OpenAI) -> None:
    """Ask for a chat completion as a stream."""
    with stage.prompt("streamed"):
        chunks = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "How often?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    seen = {"model": MODEL, "provider": "openai", "request": "How often?", "response": api.ANSWER}
    stage.expect("streamed", **seen, input_tokens=19, output_tokens=12, streamed=True)


def response(stage: Stage, client: sdk.OpenAI) -> None:
    """Ask the Responses API."""
    with stage.prompt("response"):
        client.responses.create(model=MODEL, input="With water?")
    seen = {"model": MODEL, "provider": "openai", "request": "With water?", "response": api.ANSWER}
    stage.expect("response", **seen, input_tokens=40, output_tokens=25)


def failing(stage: Stage, client: sdk.OpenAI, server: Server) -> None:
    """Ask once too often."""
    server.will(api.error(429))
    try:
        with stage.prompt("failing"):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "And now?"}])
    except sdk.RateLimitError:
        stage.expect("failing", model=MODEL, provider="openai", request="And now?", error_type="RateLimitError")


if __name__ == "__main__":
    main("openai", calls)
