"""Section of the page about hallucination."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.hallucination import AGENT
from evaluation.markdown import interval, number, prose, table

LOW_AUC, HIGH_FPR = 0.65, 0.2
"""Sources with a lower AUC, or with a larger fraction of flagged supported answers, are listed as limitations."""


def section(f: Mapping[str, Any]) -> list[str]:
    """Return the section."""
    shipped, calibration = f["shipped"], f["calibration"]
    return [
        *("", "## Hallucination", ""),
        *_systems(f["means"]),
        *("", "Sources by AUC, lowest first:", ""),
        *_by_source(f["by_source"], [name for name in f["means"] if name != AGENT]),
        *("", "ECE: expected calibration error at the source's own fraction of unsupported answers."),
        *("", "### Limitations", ""),
        *_limitations(f),
        *("", "### Calibration", ""),
        *prose(
            f"Expected calibration error {number(calibration['ece'])}. Sources and labels have equal weights, as in",
            "the",
            "definition of the probability.",
        ),
        "",
        *table(
            ("predicted", "observed", "rows"),
            ((number(b["predicted"]), number(b["observed"]), b["rows"]) for b in calibration["bins"]),
        ),
        *("", "### Shipped agent on hallucination_eval", ""),
        *prose(
            f"Threshold {number(shipped['threshold'])}; {shipped['left_out']} near-duplicates of training rows are",
            "left out.",
            f"Mean AUC {interval(shipped['mean']['auc'])}.",
            "Flags use the adaptive threshold with all sources as one application; it rises because most rows are",
            "unsupported. docs/models/hallucination.md has the figures at the shipped threshold and with one threshold",
            "per source.",
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


def _limitations(f: Mapping[str, Any]) -> list[str]:
    sources = f["by_source"]
    low_auc = [s["source"] for s in sources if s["auc"]["value"] < LOW_AUC]
    beaten = [s["source"] for s in sources if any((v or 0) > s["auc"]["value"] for v in s["baselines"].values())]
    high_fpr = [n for n, v in f["shipped"]["sources"].items() if v["fpr"] > HIGH_FPR]
    return [
        *prose(f"- AUC below {number(LOW_AUC, 2)}, little better than chance: {', '.join(low_auc) or 'none'}."),
        *prose(f"- A baseline or a batch model has a higher AUC on: {', '.join(beaten) or 'none'}."),
        *prose(f"- More than 20 % of the supported answers are flagged on: {', '.join(high_fpr) or 'none'}."),
        *prose(
            "- The agent compares words, numbers and names. It rarely detects a false statement made of the",
            "context's own",
            "words, and it treats a free paraphrase as unsupported.",
        ),
    ]
