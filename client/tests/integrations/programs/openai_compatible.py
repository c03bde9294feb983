"""LLaMA model behind a server with OpenAI's protocol; see `common`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import openai as sdk  # noqa: E402
import streamgauge  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import openai as api  # noqa: E402
from servers.local import Server  # noqa: E402

MODEL = "meta-llama/Llama-3.3-70B-Instruct"


def calls(stage: Stage) -> None:
    """Make one call each way."""
    with api.serve() as server, sdk.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as client:
        streamgauge.instrument(client, stage.publisher, provider="vllm")
        plain(stage, client)
        uncounted(stage, client)
        failing(stage, client, server)


def plain(stage: Stage, client: sdk.OpenAI) -> None:
    """Ask for a chat completion."""
    with stage.prompt("plain"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "How much?"}])
    seen = {"model": MODEL, "provider": "vllm", "request": "How much?", "response": api.ANSWER}
    stage.expect("plain", **seen, input_tokens=19, output_tokens=12)


def uncounted(stage: Stage, client: sdk.OpenAI) -> None:
    """Ask for a stream without asking for its token counts."""
    with stage.prompt("streamed"):
        list(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "When?"}], stream=True))
    stage.expect("streamed", model=MODEL, provider="vllm", request="When?", response=api.ANSWER, streamed=True)


def failing(stage: Stage, client: sdk.OpenAI, server: Server) -> None:
    """Ask a server that is not well."""
    server.will(api.error(500))
    try:
        with stage.prompt("failing"):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "And now?"}])
    except sdk.InternalServerError:
        stage.expect("failing", model=MODEL, provider="vllm", request="And now?", error_type="InternalServerError")


if __name__ == "__main__":
    main("openai-compatible", calls)
