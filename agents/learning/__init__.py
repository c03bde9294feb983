"""Learning from labels while the stream runs, the same for every agent that does (ADR 0010)."""

from agents.learning.config import LearningConfig
from agents.learning.deltas import Space
from agents.learning.learner import Learner, Scored

__all__ = ["Learner", "LearningConfig", "Scored", "Space"]
