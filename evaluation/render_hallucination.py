"""The section of the page about hallucination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.hallucination import OURS
from evaluation.markdown import interval, number, prose, table

CHANCE, MANY = 0.65, 0.2
"""AUC below which a source is named as hardly told apart, and share of supported answers flagged that is too many."""


def section(f: Mapping[str, Any]) -> list[str]:
    """Return the section."""
    shipped, calibration = f["shipped"], f["calibration"]
    return [
        *("", "## Hallucination", ""),
        *_systems(f["means"]),
        *("", "Worst first:", ""),
        *_by_source(f["by_source"], [name for name in f["means"] if name != OURS]),
        *("", "ECE: expected calibration error at the source's own share of unsupported answers."),
        *("", "### What it cannot do", ""),
        *_cannot(f),
        *("", "### Calibration", ""),
        *prose(
            f"Expected calibration error {number(calibration['ece'])} where sources and labels weigh",
            "the same, which is",
            "what the probability is defined for:",
        ),
        "",
        *table(
            ("said", "was so", "rows"), ((number(b["said"]), number(b["was"]), b["rows"]) for b in calibration["bins"])
        ),
        *("", "### As it ships, on hallucination_eval", ""),
        *prose(
            f"Threshold {number(shipped['threshold'])}; {shipped['left_out']} rows that are nearly",
            "training rows left out.",
            f"Mean AUC {interval(shipped['mean']['auc'])}.",
            "Flags are by the threshold as it adapts to all sources as one application, row by row: it rises, as most",
            "rows are unsupported. With the shipped one, and one for each source: docs/models/hallucination.md.",
        ),
        "",
        *_shipped(shipped["sources"]),
    ]


def _systems(means: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, m in means.items():
        parts = (number(m[part]["auc"]["value"]) for part in ("train", "eval"))
        rows.append((name, m["all"]["sources"], *(interval(m["all"][k]) for k in ("auc", "average_precision")), *parts))
    return table(("system", "sources", "AUC", "average precision", "AUC: train sources", "AUC: eval sources"), rows)


def _by_source(sources: Sequence[Mapping[str, Any]], systems: Sequence[str]) -> list[str]:
    rows = []
    for s in sources:
        cells = (s["source"], s["part"], s["rows"], s["unsupported"], interval(s["auc"]))
        figures = (number(s["tpr_at_1_fpr"]["value"]), number(s["ece"]))
        rows.append((*cells, *figures, *(number(s["baselines"].get(name)) for name in systems)))
    head = ("source", "file", "rows", "unsupported", "AUC", "recall at 1 % FPR", "ECE")
    return table((*head, *(f"AUC: {name}" for name in systems)), rows)


def _shipped(sources: Mapping[str, Any]) -> list[str]:
    rows = ((n, interval(v["auc"]), number(v["recall"]), number(v["fpr"])) for n, v in sources.items())
    return table(("source", "AUC", "recall", "FPR"), rows)


def _cannot(f: Mapping[str, Any]) -> list[str]:
    sources = f["by_source"]
    low = [s["source"] for s in sources if s["auc"]["value"] < CHANCE]
    beaten = [s["source"] for s in sources if any((v or 0) > s["auc"]["value"] for v in s["baselines"].values())]
    many = [n for n, v in f["shipped"]["sources"].items() if v["fpr"] > MANY]
    return [
        *prose(f"- AUC under {number(CHANCE, 2)}, little better than chance: {', '.join(low) or 'none'}."),
        *prose(f"- A simpler or a batch model ranks better on: {', '.join(beaten) or 'none'}."),
        *prose(f"- Flags more than a fifth of the supported answers of: {', '.join(many) or 'none'}."),
        *prose(
            "- It compares words, numbers and names: a false statement made of the context's own words is hardly seen,",
            "and a free paraphrase is taken for unsupported.",
        ),
    ]
