"""Hallucination agent: lexical grounding of a response in its context, learned online."""

from agents.hallucination.agent import HallucinationAgent, HallucinationConfig
from agents.hallucination.signal import GroundingSignal

__all__ = ["GroundingSignal", "HallucinationAgent", "HallucinationConfig"]
