"""Sections of the page about injection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation import figures
from evaluation.injection import OURS
from evaluation.kinds import kind_of
from evaluation.markdown import interval, number, prose, table

WORST = 8
COMPOSED = (
    "Public sets have no attacks in system prompts and few in tool results. Therefore short attacks of held-out",
    "sources are also inserted into held-out host texts, and ranked among the same hosts without the attacks",
    "(`composed`).",
)


def section(f: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Return the section; ``others`` are the figures of the baselines by name."""
    return [
        *("", "## Injection", "", "### All systems, the same folds", ""),
        *_systems({OURS: f, **others}),
        *("", *_how(f["means"])),
        *("", "### By role", ""),
        *_by_role(f["by_role"], others),
        *("", *prose(*COMPOSED)),
        *("", "### Limits", "", f"The {WORST} sources with the lowest AUC:", ""),
        *_worst(f["sources"]),
        *("", *_cannot(f, others)),
        *("", "### By source", ""),
        *_by_source(f["sources"], others),
        *("", "*own*: among the harmless rows of the same source, in any role, if it has at least twenty."),
        *("", "### By language (prompts)", ""),
        *_by_language(f["by_language"]),
        *("", "### Harmless rows flagged, by role and language", ""),
        *(f"Groups of at least {figures.LEAST_HARMLESS} rows; the largest share first.", ""),
        *_false_positives(f["false_positives"]),
        *("", "### Harmless prompts with trigger words", ""),
        *table(("word", "prompts", "flagged"), ((w, v["rows"], number(v["fpr"])) for w, v in f["by_word"].items())),
    ]


def _systems(systems: Mapping[str, Any]) -> list[str]:
    rows, notes = [], list[str]()
    for name, found in systems.items():
        every, sampled = found["means"]["all"], found.get("sampled")
        ranks = (interval(every[m]) for m in ("auc", "average_precision", "tpr_at_1_fpr"))
        flags = (number(every["recall"]), interval(found["fpr"]), interval(found["trigger_words"]["fpr"]))
        rows.append((name + (" *" if sampled else ""), *ranks, *flags))
        if sampled:
            notes.append(f"\\* on a sample: trained on {sampled[0]:,} rows and tested on {sampled[1]:,} a fold.")
    head = ("system", "AUC", "average precision", "recall at 1 % FPR", "recall", "FPR", "FPR, trigger words")
    return [*table(head, rows), *(["", *notes] if notes else [])]


def _how(means: Mapping[str, Any]) -> list[str]:
    every, train, evaluation = (means[part] for part in ("all", "injection_train", "injection_eval"))
    return prose(
        f"Means over the {every['sources']} sources with at least {figures.LEAST_ATTACKS} attacks, with",
        "equal weights. A source is ranked among all harmless rows of its role, each scored by a model that was not",
        "trained on its family. Recall and FPR of the agent use the thresholds that its trainer sets within its",
        "training rows; recall and FPR of the other systems use 1 % false positives on the harmless rows of the",
        "*other* folds, by role and script. Sources of injection_train alone:",
        f"AUC {interval(train['auc'])} ({train['sources']}); of",
        f"injection_eval alone: {interval(evaluation['auc'])} ({evaluation['sources']}).",
    )


def _by_language(f: Mapping[str, Any]) -> list[str]:
    rows = ((n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"])) for n, v in f.items())
    return table(("language", "attacks", "sources", "AUC", "recall"), rows)


def _by_role(roles: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    rows = []
    for role, found in roles.items():
        beside = [number(o["by_role"].get(role, {}).get("auc", {}).get("value")) for o in others.values()]
        cells = (role, found["sources"], found["attacks"], interval(found["auc"]), interval(found["tpr_at_1_fpr"]))
        rows.append((*cells, number(found["recall"]), *beside))
    head = ("role", "sources", "attacks", "AUC", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in others)), rows)


def _worst(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(s["source"], interval(s["auc"]), number(s["recall"]), kind_of(s["source"])) for s in sources[:WORST]]
    return table(("source", "AUC", "recall", "kind of attacks"), rows)


def _cannot(f: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Return the limits in sentences, with numbers from the figures."""
    sources, cells = f["sources"], [c for c in f["false_positives"] if c["language"] != "all"]
    half, none = ([s["source"] for s in sources if s["recall"] < share] for share in (0.5, 0.1))
    beaten = [
        s["source"]
        for s in sources
        if any((_auc_of(o, s["source"]) or 0.0) > s["auc"]["value"] for o in others.values())
    ]
    over = [f"{c['role']} {c['language']} ({number(c['fpr']['value'])} of {c['rows']})" for c in cells if _over(c)]
    return [
        *prose(f"- Flags fewer than half of the attacks of {len(half)} of {len(sources)} sources."),
        *prose(f"- Flags fewer than one in ten of: {', '.join(none) or 'none'}."),
        *prose(f"- A simpler system ranks better on: {', '.join(beaten) or 'none'}."),
        *prose(
            f"- Flags more than 2 % of the harmless rows of {len(over)} of {len(cells)} groups of role and language:",
            f"{', '.join(over) or 'none'}.",
        ),
        *prose(
            "- The agent reads wording, not intent: a request in ordinary words that harms only in its context is",
            "missed.",
        ),
        "- Korean attacks are of one family only, so their figures do not generalise.",
    ]


def _auc_of(system: Mapping[str, Any], source: str) -> float | None:
    return next((row["auc"]["value"] for row in system["sources"] if row["source"] == source), None)


def _over(cell: Mapping[str, Any]) -> bool:
    return bool(cell["fpr"]["value"] > 0.02)


def _by_source(sources: Sequence[Mapping[str, Any]], others: Mapping[str, Any]) -> list[str]:
    rows = []
    for s in sorted(sources, key=lambda s: (s["role"], s["source"])):
        cells = (s["source"], s["role"], s["attacks"], s["harmless"], interval(s["auc"]), number(s["own_auc"]))
        figures = (number(s["average_precision"]["value"]), number(s["tpr_at_1_fpr"]["value"]), number(s["recall"]))
        rows.append((*cells, *figures, *(number(_auc_of(o, s["source"])) for o in others.values())))
    head = ("source", "role", "attacks", "harmless", "AUC", "own", "AP", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in others)), rows)


def _false_positives(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = ((c["role"], c["language"], c["rows"], c["sources"], interval(c["fpr"])) for c in cells)
    return table(("role", "language", "rows", "sources", "flagged"), rows)


def languages(f: Mapping[str, Any]) -> list[str]:
    """Return the part about languages that were held out."""
    rows = (
        (n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"]), interval(v["fpr"]))
        for n, v in f.items()
        if v
    )
    return [
        *("", "### Held-out languages", ""),
        *prose(
            "No training row is in a tested language or of a tested family. The threshold gives 1 % false positives on",
            "harmless prompts of the fold in the other languages, because nothing else would be known.",
        ),
        "",
        *table(("held out", "attacks", "sources", "AUC", "recall", "FPR"), rows),
    ]


def shipped(f: Mapping[str, Any]) -> list[str]:
    """Return the part about the shipped agent."""
    found, triggers = f["means"]["injection_eval"], f["trigger_words"]
    return [
        *("", "### Shipped agent, on injection_eval", ""),
        *prose(
            f"Weights and thresholds were not trained on this file; {f['left_out']} near-duplicates of training rows",
            f"are excluded. Mean over {found['sources']} sources: AUC {interval(found['auc'])}, recall at 1 % FPR",
            f"{interval(found['tpr_at_1_fpr'])}, recall {number(found['recall'])}. Harmless flagged:",
            f"{interval(f['fpr'])}; with trigger words {interval(triggers['fpr'])} of {triggers['rows']} prompts.",
            "By role and language:",
        ),
        "",
        *_false_positives(f["false_positives"]),
    ]


def feedback(f: Mapping[str, Any]) -> list[str]:
    """Return the part about labels fed back."""
    rows = []
    for name, v in f["sources"].items():
        rows.append((name, v["rows"], "AUC", *(number(x) for x in v["auc"])))
        rows.append(("", "", "recall at 1 % FPR", *(number(x) for x in v["tpr_at_1_fpr"])))
    return [
        *("", "### With labels of an unseen source", ""),
        f"The shipped agent, test-then-train, measured on rows without labels; means of {f['orders']} orders.",
        "",
        *table(("source", "rows", "", *(f"{n} labels" for n in f["labels"])), rows),
    ]


def attack_share(f: Mapping[str, Any]) -> list[str]:
    """Return the part about the rate of flags."""
    shares = sorted(f["optimum"], key=lambda share: int(share.removesuffix("%")))
    rows = []
    for name, delays in f["delays"].items():
        found = (delays[share] for share in shares)
        rows.append(
            (name, *(f"{d['median']:.0f}" + (f" ({d['missed']} missed)" if d["missed"] else "") for d in found))
        )
    rows.append(("the best on these scores", *(f"{x:.0f}" for x in map(f["optimum"].get, shares))))
    return [
        *("", "### Detection delay of a rise in attacks", ""),
        *prose(
            f"Events until `injection.rate` alarms, median of {f['runs']} runs, by the shipped agent's flags:",
            f"{number(f['attacks_flagged'])} of the attacks and {number(f['harmless_flagged'], 4)} of the harmless",
            f"rows of injection_eval. Without attacks {f['false_alarms_per_10000']:.2f} false alarms in 10,000 events.",
            "The last row is the mean delay, to about a fifth, of the best possible detector on the scores alone with",
            "one false alarm in 10,000 events: a CUSUM with the true score distributions of harmless and attacking",
            "events, which no detector has in use.",
        ),
        "",
        *table(("", *(f"{share} attacks" for share in shares)), rows),
    ]
