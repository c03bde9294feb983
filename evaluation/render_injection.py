"""Sections of the page about injection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation import figures
from evaluation.attack_kinds import attack_kind
from evaluation.injection import AGENT
from evaluation.markdown import interval, number, prose, table

WORST = 8
COMPOSED = (
    "Public data sets have no attacks in system prompts and few in tool results. Short attacks of held-out sources are",
    "therefore inserted into held-out hosts and ranked among the same hosts without the attack (`composed`).",
)


def section(f: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[str]:
    """Return the section; ``baselines`` has the figures of the baselines by name."""
    return [
        *("", "## Injection", "", "### All systems on the same folds", ""),
        *_systems({AGENT: f, **baselines}),
        *("", *_method(f["means"])),
        *("", "### By role", ""),
        *_by_role(f["by_role"], baselines),
        *("", *prose(*COMPOSED)),
        *("", "### Limitations", "", f"The {WORST} sources with the lowest AUC:", ""),
        *_worst(f["sources"]),
        *("", *_limitations(f, baselines)),
        *("", "### By source", ""),
        *_by_source(f["sources"], baselines),
        *(
            "",
            "*own*: AUC among the harmless rows of the same source, of any role, if it has at least twenty.",
        ),
        *("", "### By language (prompts)", ""),
        *_by_language(f["by_language"]),
        *("", "### Harmless rows flagged, by role and language", ""),
        *(f"Groups of at least {figures.MIN_HARMLESS} rows; the largest fraction first.", ""),
        *_false_positives(f["false_positives"]),
        *("", "### Harmless prompts with trigger words", ""),
        *table(("word", "prompts", "flagged"), ((w, v["rows"], number(v["fpr"])) for w, v in f["by_word"].items())),
    ]


def _systems(systems: Mapping[str, Any]) -> list[str]:
    rows, notes = [], list[str]()
    for name, system in systems.items():
        means, sampled = system["means"]["all"], system.get("sampled")
        ranks = (interval(means[m]) for m in ("auc", "average_precision", "tpr_at_1_fpr"))
        flags = (number(means["recall"]), interval(system["fpr"]), interval(system["trigger_words"]["fpr"]))
        rows.append((name + (" *" if sampled else ""), *ranks, *flags))
        if sampled:
            notes.append(f"\\* on a sample: {sampled[0]:,} training rows and {sampled[1]:,} test rows per fold.")
    head = ("system", "AUC", "average precision", "recall at 1 % FPR", "recall", "FPR", "FPR, trigger words")
    return [*table(head, rows), *(["", *notes] if notes else [])]


def _method(means: Mapping[str, Any]) -> list[str]:
    overall, train, evaluation = (means[part] for part in ("all", "injection_train", "injection_eval"))
    return prose(
        f"Unweighted means over the {overall['sources']} sources with at least {figures.MIN_ATTACKS} attacks. A source",
        "is ranked among all harmless rows of its role; each row is scored by a model that was trained without its",
        "family. Recall and FPR of the agent use the thresholds that its trainer derives from the training rows.",
        "Recall and FPR of the baselines use thresholds with 1 % false positives on the harmless rows of the *other*",
        f"folds, by role and script. AUC for sources of injection_train: {interval(train['auc'])}",
        f"({train['sources']} sources), of injection_eval: {interval(evaluation['auc'])} ({evaluation['sources']}",
        "sources).",
    )


def _by_language(f: Mapping[str, Any]) -> list[str]:
    rows = ((n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"])) for n, v in f.items())
    return table(("language", "attacks", "sources", "AUC", "recall"), rows)


def _by_role(roles: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[str]:
    rows = []
    for role, means in roles.items():
        aucs = [number(b["by_role"].get(role, {}).get("auc", {}).get("value")) for b in baselines.values()]
        cells = (role, means["sources"], means["attacks"], interval(means["auc"]), interval(means["tpr_at_1_fpr"]))
        rows.append((*cells, number(means["recall"]), *aucs))
    head = ("role", "sources", "attacks", "AUC", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in baselines)), rows)


def _worst(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(s["source"], interval(s["auc"]), number(s["recall"]), attack_kind(s["source"])) for s in sources[:WORST]]
    return table(("source", "AUC", "recall", "attacks"), rows)


def _limitations(f: Mapping[str, Any], baselines: Mapping[str, Any]) -> list[str]:
    """Return the limitations as sentences with figures."""
    sources, cells = f["sources"], [c for c in f["false_positives"] if c["language"] != "all"]
    below_half, below_tenth = ([s["source"] for s in sources if s["recall"] < share] for share in (0.5, 0.1))
    beaten = [
        s["source"]
        for s in sources
        if any((_auc_of(b, s["source"]) or 0.0) > s["auc"]["value"] for b in baselines.values())
    ]
    over = [f"{c['role']} {c['language']} ({number(c['fpr']['value'])} of {c['rows']})" for c in cells if _over(c)]
    return [
        *prose(f"- Recall below 50 % on {len(below_half)} of {len(sources)} sources."),
        *prose(f"- Recall below 10 % on: {', '.join(below_tenth) or 'none'}."),
        *prose(f"- A baseline has a higher AUC on: {', '.join(beaten) or 'none'}."),
        *prose(
            f"- More than 2 % of the harmless rows are flagged in {len(over)} of {len(cells)} groups of role and",
            "language:",
            f"{', '.join(over) or 'none'}.",
        ),
        *prose(
            "- The agent detects wording, not intent: it misses a request in ordinary words that is harmful only in",
            "its",
            "context.",
        ),
        "- All Korean attacks come from one family, so their figures may not apply to other sources.",
    ]


def _auc_of(system: Mapping[str, Any], source: str) -> float | None:
    return next((row["auc"]["value"] for row in system["sources"] if row["source"] == source), None)


def _over(cell: Mapping[str, Any]) -> bool:
    return bool(cell["fpr"]["value"] > 0.02)


def _by_source(sources: Sequence[Mapping[str, Any]], baselines: Mapping[str, Any]) -> list[str]:
    rows = []
    for s in sorted(sources, key=lambda s: (s["role"], s["source"])):
        cells = (s["source"], s["role"], s["attacks"], s["harmless"], interval(s["auc"]), number(s["own_auc"]))
        figures = (number(s["average_precision"]["value"]), number(s["tpr_at_1_fpr"]["value"]), number(s["recall"]))
        rows.append((*cells, *figures, *(number(_auc_of(b, s["source"])) for b in baselines.values())))
    head = ("source", "role", "attacks", "harmless", "AUC", "own", "AP", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in baselines)), rows)


def _false_positives(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = ((c["role"], c["language"], c["rows"], c["sources"], interval(c["fpr"])) for c in cells)
    return table(("role", "language", "rows", "sources", "flagged"), rows)


def languages(f: Mapping[str, Any]) -> list[str]:
    """Return the section about held-out languages."""
    rows = (
        (n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"]), interval(v["fpr"]))
        for n, v in f.items()
        if v
    )
    return [
        *("", "### Languages held out of training", ""),
        *prose(
            "Training excludes all rows in a language of the group and all rows of the tested families. The",
            "threshold gives",
            "1 % false positives on the fold's harmless prompts in the other languages.",
        ),
        "",
        *table(("held out", "attacks", "sources", "AUC", "recall", "FPR"), rows),
    ]


def shipped(f: Mapping[str, Any]) -> list[str]:
    """Return the section about the shipped agent."""
    means, triggers = f["means"]["injection_eval"], f["trigger_words"]
    return [
        *("", "### Shipped agent on injection_eval", ""),
        *prose(
            f"Training of weights and thresholds did not use this file; {f['left_out']} near-duplicates of training",
            "rows",
            f"are left out. Means over {means['sources']} sources: AUC {interval(means['auc'])}, recall at 1 % FPR",
            f"{interval(means['tpr_at_1_fpr'])}, recall {number(means['recall'])}. Flagged harmless rows:",
            f"{interval(f['fpr'])}; with trigger words: {interval(triggers['fpr'])} of {triggers['rows']} prompts.",
            "By role and language:",
        ),
        "",
        *_false_positives(f["false_positives"]),
    ]


def feedback(f: Mapping[str, Any]) -> list[str]:
    """Return the section about feedback."""
    rows = []
    for name, v in f["sources"].items():
        rows.append((name, v["rows"], "AUC", *(number(x) for x in v["auc"])))
        rows.append(("", "", "recall at 1 % FPR", *(number(x) for x in v["tpr_at_1_fpr"])))
    return [
        *("", "### Labels of a held-out source", ""),
        f"Shipped agent, test-then-train; figures on rows without labels, means of {f['orders']} orders.",
        "",
        *table(("source", "rows", "", *(f"{n} labels" for n in f["labels"])), rows),
    ]


def attack_share(f: Mapping[str, Any]) -> list[str]:
    """Return the section about the flag rate."""
    shares = sorted(f["optimum"], key=lambda share: int(share.removesuffix("%")))
    rows = []
    for name, delays in f["delays"].items():
        by_share = (delays[share] for share in shares)
        rows.append(
            (name, *(f"{d['median']:.0f}" + (f" ({d['missed']} missed)" if d["missed"] else "") for d in by_share))
        )
    rows.append(("optimum on these scores", *(f"{x:.0f}" for x in map(f["optimum"].get, shares))))
    return [
        *("", "### Detection of a rising share of attacks", ""),
        *prose(
            f"Median number of events until `injection.rate` alarms over {f['runs']} runs. The shipped agent flags",
            f"{number(f['attacks_flagged'])} of the attacks and {number(f['harmless_flagged'], 4)} of the harmless",
            "rows of",
            f"injection_eval. Without attacks there are {f['false_alarms_per_10000']:.2f} false alarms in 10,000",
            "events.",
            "The last row is the approximate mean delay (within about 20 %) of the optimal detector on these scores",
            "at one",
            "false alarm in 10,000 events: a CUSUM that knows both score distributions, which no real detector does.",
        ),
        "",
        *table(("", *(f"{share} attacks" for share in shares)), rows),
    ]
