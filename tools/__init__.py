"""Command line, demo, replay, evaluation and diagnostics."""
