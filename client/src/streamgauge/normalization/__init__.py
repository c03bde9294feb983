"""Normalization of JSON objects to the monitor's contracts: invalid fields are repaired, events are never rejected."""

from streamgauge.normalization.event import normalize_event
from streamgauge.normalization.feedback import find_fault, normalize_feedback
from streamgauge.normalization.identity import partition_key
from streamgauge.normalization.text import flatten_content

__all__ = ["find_fault", "flatten_content", "normalize_event", "normalize_feedback", "partition_key"]
