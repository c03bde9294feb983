"""LiteLLM as a library; see `common` for how programs are run."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing LiteLLM asks the network for its price list

from programs.common import Stage, main  # noqa: E402
from servers import openai as api  # noqa: E402
from streamgauge.integrations.litellm import StreamgaugeLogger  # noqa: E402

litellm: Any = importlib.import_module("litellm")
MODEL = "gpt-4o-mini"
SEEN: dict[str, Any] = {"model": MODEL, "provider": "openai"}
ANSWERED: dict[str, Any] = {**SEEN, "response": api.ANSWER, "input_tokens": 19, "output_tokens": 12}


def calls(stage: Stage) -> None:
    """Make one call each way."""
    litellm.callbacks = [StreamgaugeLogger(stage.publisher)]
    litellm.suppress_debug_info = True
    with api.serve() as server:
        to = {"model": f"openai/{MODEL}", "api_base": f"{server.url}/v1", "api_key": "key", "max_retries": 0}
        with stage.prompt("plain"):
            litellm.completion(messages=[{"role": "user", "content": "How much?"}], **to)
        stage.expect("plain", request="How much?", **ANSWERED)
        with stage.prompt("streamed"):
            asked = [{"role": "user", "content": "How often?"}]
            list(litellm.completion(messages=asked, stream=True, stream_options={"include_usage": True}, **to))
        stage.expect("streamed", request="How often?", streamed=True, **ANSWERED)
        server.will(api.error(429))
        with stage.prompt("failing"), contextlib.suppress(litellm.RateLimitError):
            litellm.completion(messages=[{"role": "user", "content": "And now?"}], **to)
        stage.expect("failing", request="And now?", error_type="RateLimitError", **SEEN)
    told(stage, 3)


def told(stage: Stage, count: int) -> None:
    """Wait until LiteLLM, on threads of its own, has told of so many calls."""
    pause, deadline = threading.Event(), time.monotonic() + 30
    while stage.publisher.stats.published < count and time.monotonic() < deadline:
        pause.wait(0.01)


if __name__ == "__main__":
    main("litellm", calls)
