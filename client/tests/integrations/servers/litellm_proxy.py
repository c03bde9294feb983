"""LiteLLM proxy in its own process, which publishes to a monitor."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from servers.local import unused_url

KEY = "sk-of-the-proxy-in-the-tests-of-streamgauge"
CONFIG = """
model_list:
  - model_name: doctor
    litellm_params:
      model: openai/gpt-4o-mini
      api_base: {api}/v1
      api_key: key
      max_retries: 0
guardrails:
  - guardrail_name: words
    litellm_params:
      guardrail: litellm_content_filter
      mode: pre_call
      default_on: true
      blocked_words:
        - {{keyword: forbidden, action: BLOCK}}
        - {{keyword: private, action: MASK}}
litellm_settings:
  callbacks: streamgauge.integrations.litellm.logger
router_settings:
  num_retries: 0
general_settings:
  master_key: {key}
"""
START_S = 120


@contextlib.contextmanager
def running(folder: Path, api: str, monitor: str) -> Iterator[str]:
    """Run the proxy in front of an OpenAI API while the context is open; yield its URL."""
    config, said = folder / "config.yaml", folder / "proxy.log"
    config.write_text(CONFIG.format(api=api, key=KEY))
    url = unused_url()
    environment = os.environ | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "STREAMGAUGE_URL": monitor,
        "STREAMGAUGE_TENANT": "clinic",
        "STREAMGAUGE_APP": "gateway",
    }
    program = Path(sys.executable).with_name("litellm")
    command = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", url.rpartition(":")[2]]
    with said.open("wb") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        try:
            _wait(process, url, said)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str, said: Path) -> None:
    pause, deadline = threading.Event(), time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health/liveliness", timeout=5):
            return
        pause.wait(0.1)
    raise RuntimeError(f"the proxy did not start: {said.read_text()[-2000:]}")
