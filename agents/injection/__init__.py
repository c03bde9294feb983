"""Prompt-injection detection in prompts, documents and tool answers: hashed n-grams and concepts, learned online."""

from agents.injection.agent import InjectionAgent, InjectionConfig
from agents.injection.signal import InjectionSignal

__all__ = ["InjectionAgent", "InjectionConfig", "InjectionSignal"]
