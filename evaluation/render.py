"""The page ``docs/quality.md``, from the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation import render_hallucination, render_injection
from evaluation.families import FAMILIES, NOT_TESTED
from evaluation.markdown import table
from evaluation.modules import SECTIONS
from evaluation.targets import outcomes

HEAD = """# Quality

Written by `make quality`; change it there (`evaluation/`). The figures: `evaluation/results/quality.json`.

Every figure is measured on sources that were held out of training with their whole family (sources that share texts,
authors or templates, see the end). Near-duplicates (Jaccard similarity of character 5-grams from .8) are removed from
training. For each fold the trainer of the shipped models trains new models from scratch, on the other families only.
The shipped models are then measured on the evaluation file, none of which they were trained on. In brackets: 95 %
intervals of a bootstrap over sources and their rows. All draws are seeded, so the same code and data write
the same page.
"""


def page(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; ``parts`` are as kept in ``quality.json``."""
    figures = {name: part["figures"] for name, part in parts.items()}
    lines = [HEAD, *_targets(figures)]
    if "injection" in figures:
        lines += render_injection.section(figures["injection"], figures.get("baselines", {}))
    if "languages" in figures:
        lines += render_injection.languages(figures["languages"])
    if "shipped" in figures:
        lines += render_injection.shipped(figures["shipped"])
    if "feedback" in figures:
        lines += render_injection.feedback(figures["feedback"])
    if "attack_share" in figures:
        lines += render_injection.attack_share(figures["attack_share"])
    if "hallucination" in figures:
        lines += render_hallucination.section(figures["hallucination"])
    for name, (title, write) in SECTIONS.items():
        if name in figures:
            lines += ["", f"## {title}", "", *write(figures[name])]
    lines += _families(figures.get("injection"))
    lines += _when(parts)
    return "\n".join(lines).rstrip() + "\n"


def _targets(figures: Mapping[str, Any]) -> list[str]:
    words = {True: "holds", False: "**misses**", None: "-"}
    found = outcomes(figures)
    return ["## Targets", "", *table(("target", "figure", ""), ((o.target, o.figure, words[o.holds]) for o in found))]


def _families(f: Mapping[str, Any] | None) -> list[str]:
    lines = ["", "## Families and folds", "", "A source that is not listed is a separate family.", ""]
    lines += table(("family", "sources", "why"), ((x.name, ", ".join(x.sources), x.reason) for x in FAMILIES))
    lines += ["", "Not tested:", "", *(f"- {source}: {reason}" for source, reason in NOT_TESTED.items())]
    if f is not None:
        rows = ((x["name"], x["train"], x["test"], x["attacks"], ", ".join(x["sources"])) for x in f["folds"])
        lines += ["", *table(("fold", "rows trained on", "rows tested", "attacks", "sources tested"), rows)]
    return lines


def _when(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = ((name, part["at"], part["commit"], part["minutes"]) for name, part in parts.items())
    return ["", "## Runs", "", *table(("part", "at (UTC)", "commit", "minutes"), rows)]
