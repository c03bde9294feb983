"""google-genai, at Google AI and at Vertex AI; see `common` for how programs are run."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])

import streamgauge  # noqa: E402
from google import genai  # noqa: E402
from google.genai import errors, types  # noqa: E402
from google.oauth2.credentials import Credentials  # noqa: E402
from programs.common import Stage, main  # noqa: E402
from servers import google_genai as api  # noqa: E402
from servers.local import Server  # noqa: E402

MODEL = "gemini-3.8-flash"
SEEN: dict[str, Any] = {"model": MODEL, "provider": "gcp.gemini"}
ANSWERED: dict[str, Any] = {**SEEN, "response": api.ANSWER, "input_tokens": 33, "output_tokens": 12}


def calls(stage: Stage) -> None:
    """Make one call each way."""
    with api.serve() as server:
        options = types.HttpOptions(base_url=server.url)
        client = streamgauge.instrument(genai.Client(api_key="key", http_options=options), stage.publisher)
        with stage.prompt("plain"):
            client.models.generate_content(model=MODEL, contents="How much?")
        stage.expect("plain", request="How much?", **ANSWERED)
        with stage.prompt("streamed"):
            list(client.models.generate_content_stream(model=MODEL, contents="How often?"))
        stage.expect("streamed", request="How often?", streamed=True, **ANSWERED)
        server.will(api.error(429))
        with stage.prompt("failing"), contextlib.suppress(errors.ClientError):
            client.models.generate_content(model=MODEL, contents="And now?")
        stage.expect("failing", request="And now?", error_type="ClientError", **SEEN)
        vertex(stage, server)


def vertex(stage: Stage, server: Server) -> None:
    """Ask the same model at Vertex AI."""
    options = types.HttpOptions(base_url=server.url)
    credentials = Credentials(token="token")  # type: ignore[no-untyped-call]
    client = genai.Client(vertexai=True, project="p", location="l", credentials=credentials, http_options=options)
    streamgauge.instrument(client, stage.publisher)
    with stage.prompt("vertex"):
        client.models.generate_content(model=MODEL, contents="With water?")
    stage.expect("vertex", request="With water?", **{**ANSWERED, "provider": "gcp.vertex_ai"})


if __name__ == "__main__":
    main("google-genai", calls)
