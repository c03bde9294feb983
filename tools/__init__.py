"""Command line, demo, replay, evaluation and diagnosis."""
