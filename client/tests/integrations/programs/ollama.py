"""A LLaMA model through the ollama client; see `common` for how programs are run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import ollama as sdk  # noqa: E402
import streamgauge  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import ollama as api  # noqa: E402
from servers.local import Server  # noqa: E402

MODEL = "llama3.3"
SEEN = {"model": MODEL, "provider": "ollama"}
ANSWERED = SEEN | {"response": api.ANSWER, "input_tokens": 26, "output_tokens": 9}


def calls(stage: Stage) -> None:
    """Make one call each way."""
    with api.serve() as server, sdk.Client(server.url) as client:
        streamgauge.instrument(client, stage.publisher)
        plain(stage, client)
        streamed(stage, client)
        generated(stage, client)
        failing(stage, client, server)


def plain(stage: Stage, client: sdk.Client) -> None:
    """Ask in a chat."""
    with stage.prompt("plain"):
        client.chat(MODEL, [{"role": "user", "content": "How much?"}])
    stage.expect("plain", **ANSWERED, request="How much?")


def streamed(stage: Stage, client: sdk.Client) -> None:
    """Ask in a chat for a stream."""
    with stage.prompt("streamed"):
        list(client.chat(MODEL, [{"role": "user", "content": "How often?"}], stream=True))
    stage.expect("streamed", **ANSWERED, request="How often?", streamed=True)


def generated(stage: Stage, client: sdk.Client) -> None:
    """Ask with a prompt."""
    with stage.prompt("generated"):
        client.generate(MODEL, "With water?")
    stage.expect("generated", **ANSWERED, request="With water?")


def failing(stage: Stage, client: sdk.Client, server: Server) -> None:
    """Ask for a model that is not there."""
    server.will(api.error(404, f"model '{MODEL}' not found"))
    try:
        with stage.prompt("failing"):
            client.chat(MODEL, [{"role": "user", "content": "And now?"}])
    except sdk.ResponseError:
        stage.expect("failing", **SEEN, request="And now?", error_type="ResponseError")


if __name__ == "__main__":
    main("ollama", calls)
