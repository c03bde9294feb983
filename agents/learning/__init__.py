"""Learning from labels while the stream runs, the same for every agent that does (ADR 0010)."""

from agents.learning.config import LearningConfig
from agents.learning.learner import Learner, Scored
from agents.learning.moves import Space

__all__ = ["Learner", "LearningConfig", "Scored", "Space"]
