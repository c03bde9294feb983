"""Is an application's traffic still what it was: scalars, categories and text against a reference, online."""

from agents.drift.agent import DriftAgent
from agents.drift.config import DriftConfig
from agents.drift.signal import DriftSignal

__all__ = ["DriftAgent", "DriftConfig", "DriftSignal"]
