"""What the tests of the integrations share: a publisher that keeps what it sends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from streamgauge.testing import Recorder


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Return a publisher whose events can be looked at."""
    publisher = Recorder(tenant="clinic", app="triage")
    yield publisher
    publisher.close()
