"""Publisher for the tests of the integrations."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from streamgauge.testing import Recorder

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else importing LiteLLM asks the network for its price list


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a publisher whose events can be looked at."""
    publisher = Recorder(tenant="clinic", app="triage")
    yield publisher
    publisher.close()


@pytest.fixture
def published(recorder: Recorder) -> Recorder:
    """Return the publisher of the instrumented client."""
    return recorder
