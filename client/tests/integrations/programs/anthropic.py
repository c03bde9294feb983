"""Messages through the Anthropic SDK; see `common` for how programs are run."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])

import anthropic as sdk  # noqa: E402
import streamgauge  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import anthropic as api  # noqa: E402
from servers.local import Server  # noqa: E402

MODEL = "claude-opus-5"
SEEN = {"model": MODEL, "provider": "anthropic"}
ANSWERED = SEEN | {"response": "Take two tablets.", "input_tokens": 2121, "output_tokens": 17}


def calls(stage: Stage) -> None:
    """Make one call each way."""
    with api.serve() as server, sdk.Anthropic(base_url=server.url, api_key="key", max_retries=0) as client:
        streamgauge.instrument(client, stage.publisher)
        plain(stage, client)
        streamed(stage, client)
        failing(stage, client, server)


def plain(stage: Stage, client: sdk.Anthropic) -> None:
    """Ask for a message."""
    with stage.prompt("plain"):
        client.messages.create(model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "How much?"}])
    stage.expect("plain", **ANSWERED, request="How much?")


def streamed(stage: Stage, client: sdk.Anthropic) -> None:
    """Ask for a message as a stream."""
    with (
        stage.prompt("streamed"),
        client.messages.stream(
            model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "How often?"}]
        ) as events,
    ):
        "".join(events.text_stream)
    stage.expect("streamed", **ANSWERED, request="How often?", streamed=True)


def failing(stage: Stage, client: sdk.Anthropic, server: Server) -> None:
    """Ask when all are busy."""
    server.will(api.error(529))
    try:
        with stage.prompt("failing"):
            client.messages.create(model=MODEL, max_tokens=64, messages=[{"role": "user", "content": "And now?"}])
    except sdk.InternalServerError:
        stage.expect("failing", **SEEN, request="And now?", error_type="OverloadedError")


if __name__ == "__main__":
    main("anthropic", calls)
