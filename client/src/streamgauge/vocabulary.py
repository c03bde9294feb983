"""Values of the contracts' enumerations, as types."""

from __future__ import annotations

from typing import Literal

Severity = Literal["info", "warning", "critical"]
State = Literal["firing", "resolved"]
Signal = Literal["injection", "hallucination"]
Source = Literal["thumbs", "annotator", "judge", "user"]
