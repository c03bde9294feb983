"""The section of the page about hallucination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.hallucination import OURS
from evaluation.markdown import interval, number, prose, table

CHANCE, MANY = 0.65, 0.2
"""AUC below which a source is listed as near chance, and share of flagged supported answers that is too high."""


def section(f: Mapping[str, Any]) -> list[str]:
    """Return the section."""
    shipped, calibration = f["shipped"], f["calibration"]
    return [
        *("", "## Hallucination", ""),
        *_systems(f["means"]),
        *("", "Lowest AUC first:", ""),
        *_by_source(f["by_source"], [name for name in f["means"] if name != OURS]),
        *("", "ECE: expected calibration error at the source's own share of unsupported answers."),
        *("", "### Limits", ""),
        *_cannot(f),
        *("", "### Calibration", ""),
        *prose(
            f"Expected calibration error {number(calibration['ece'])} with equal weights of sources and labels, for",
            "which the probability is defined:",
        ),
        "",
        *table(
            ("predicted", "observed", "rows"),
            ((number(b["said"]), number(b["was"]), b["rows"]) for b in calibration["bins"]),
        ),
        *("", "### Shipped agent, on hallucination_eval", ""),
        *prose(
            f"Threshold {number(shipped['threshold'])}; {shipped['left_out']} near-duplicates of",
            "training rows excluded.",
            f"Mean AUC {interval(shipped['mean']['auc'])}.",
            "Flags use the threshold as it adapts to all sources as one application, row by row: it rises, because",
            "most rows are unsupported. With the shipped threshold, and one per source: docs/models/hallucination.md.",
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
            "- The agent compares words, numbers and names: most false statements made of the context's own words are",
            "missed, and a free paraphrase is scored as unsupported.",
        ),
    ]
