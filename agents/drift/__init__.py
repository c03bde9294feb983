"""Drift agent: concept drift of an app's scalars, categories and text against a learned reference, online."""

from agents.drift.agent import DriftAgent
from agents.drift.config import DriftConfig
from agents.drift.signal import DriftSignal

__all__ = ["DriftAgent", "DriftConfig", "DriftSignal"]
