"""Is the response supported by the context it was given: lexical grounding, learned online."""

from agents.hallucination.agent import HallucinationAgent, HallucinationConfig
from agents.hallucination.signal import GroundingSignal

__all__ = ["GroundingSignal", "HallucinationAgent", "HallucinationConfig"]
