"""From nearly any JSON object to one that the monitor's contracts accept: repaired where it can be, never refused."""

from streamgauge.conforming.event import conform_event
from streamgauge.conforming.feedback import conform_feedback, fault_of
from streamgauge.conforming.identity import key_of
from streamgauge.conforming.text import flatten_content

__all__ = ["conform_event", "conform_feedback", "fault_of", "flatten_content", "key_of"]
