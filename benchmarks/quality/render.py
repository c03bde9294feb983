"""The page ``docs/quality.md``, from the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.quality import hallucination, injection
from benchmarks.quality.families import FAMILIES, NOT_TESTED
from benchmarks.quality.kinds import kind_of
from benchmarks.quality.markdown import interval, number, table
from benchmarks.quality.modules import SECTIONS
from benchmarks.quality.targets import outcomes

WORST = 8

HEAD = """# Quality

Written by `make quality`; change it there (`benchmarks/quality/`). The figures: `benchmarks/results/quality.json`.

What counts is traffic that no training run saw. So every figure here is of sources that were held out with their whole
family (sources that share texts, authors or templates, see the end), with near-duplicates (Jaccard similarity of
character 5-grams from .8) taken out of training. The models are trained anew for each fold by the very trainer of what
ships, on the other families only; what ships is then measured as it is on the evaluation file, of which it has nothing.
In brackets: 95 % intervals of a bootstrap over sources and their rows. All draws are seeded, so the same code and data
write the same page.
"""


def page(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; ``parts`` are as kept in ``quality.json``."""
    figures = {name: part["figures"] for name, part in parts.items()}
    lines = [HEAD, *_targets(figures)]
    if "injection" in figures:
        lines += _injection(figures["injection"], figures.get("baselines", {}))
    if "languages" in figures:
        lines += _languages(figures["languages"])
    if "shipped" in figures:
        lines += _shipped(figures["shipped"])
    if "feedback" in figures:
        lines += _feedback(figures["feedback"])
    if "hallucination" in figures:
        lines += _hallucination(figures["hallucination"])
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


def _injection(f: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    lines = ["", "## Injection", "", "### All systems, the same folds", ""]
    rows = []
    for name, found in {injection.OURS: f, **others}.items():
        every = found["means"]["all"]
        rows.append(
            (
                name + (" *" if found.get("sampled") else ""),
                *(interval(every[m]) for m in ("auc", "average_precision", "tpr_at_1_fpr")),
                number(every["recall"]),
                interval(found["means"]["fpr"]),
                interval(found["trigger_words"]["fpr"]),
            )
        )
    head = ("system", "AUC", "average precision", "recall at 1 % FPR", "recall", "FPR", "FPR, trigger words")
    lines += table(head, rows)
    lines += [""]
    lines += [
        f"\\* on a sample: {n} trained on {s[0]:,} rows and tested on {s[1]:,} a fold."
        for n, s in _sampled(others).items()
    ]
    every, train, evaluation = (f["means"][p] for p in ("all", "injection_train", "injection_eval"))
    lines += [
        "",
        (
            f"Means over the {every['sources']} sources with at least {injection.LEAST_ATTACKS} attacks, each weighing "
            "the same. A source is ranked among the harmless rows of its role that are held out in the same fold. "
            "Recall and FPR of the agent are at the thresholds that its trainer sets within the rows it is given; of "
            "the others at 1 % false positives on the harmless rows of the *other* folds, by role and script. Of the "
            f"sources of injection_train ({train['sources']}) AUC is {interval(train['auc'])}, of those of "
            f"injection_eval ({evaluation['sources']}) {interval(evaluation['auc'])}."
        ),
        "",
        "### By role",
        "",
        *_by_role(f["by_role"], others),
        "",
        (
            "There is no attack in a system prompt in public sets and hardly one in a tool answer, so "
            "short attacks of held-out "
            "sources are also put into held-out hosts and ranked among the same hosts without them (`composed` above)."
        ),
        "",
        "### What it cannot do",
        "",
        f"The {WORST} sources it does worst on:",
        "",
        *_worst(f["sources"]),
        "",
        *_cannot(f, others),
        "",
        "### By source",
        "",
        *_by_source(f["sources"], others),
        "",
        "*own*: among the harmless rows of the very source, of whatever role, where it has twenty.",
        "",
        "### By language (prompts)",
        "",
        *table(
            ("language", "attacks", "sources", "AUC", "recall"),
            (
                (n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"]))
                for n, v in f["by_language"].items()
            ),
        ),
        "",
        "### Harmless rows flagged, by role and language",
        "",
        f"Groups of at least {injection.LEAST_HARMLESS} rows; the largest first.",
        "",
        *_false_positives(f["false_positives"]),
        "",
        "### Harmless prompts with trigger words",
        "",
        *table(
            ("word", "prompts", "flagged"),
            ((w, v["rows"], number(v["fpr"])) for w, v in f["by_word"].items()),
        ),
    ]
    return lines


def _sampled(others: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    return {name: found["sampled"] for name, found in others.items() if found["sampled"]}


def _by_role(roles: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    rows = []
    for role, found in roles.items():
        beside = [number(o["by_role"].get(role, {}).get("auc", {}).get("value")) for o in others.values()]
        cells = (role, len(found["sources"]), found["attacks"], interval(found["auc"]), interval(found["tpr_at_1_fpr"]))
        rows.append((*cells, number(found["recall"]), *beside))
    head = ("role", "sources", "attacks", "AUC", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in others)), rows)


def _worst(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(s["source"], interval(s["auc"]), number(s["recall"]), kind_of(s["source"])) for s in sources[:WORST]]
    return table(("source", "AUC", "recall", "what its attacks are like"), rows)


def _cannot(f: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Say in sentences where it fails; every number is of the figures."""
    sources, cells = f["sources"], [c for c in f["false_positives"] if c["language"] != "all"]
    half = [s for s in sources if s["recall"] < 0.5]
    beaten = [s for s in sources if any(o["auc"].get(s["source"], 0.0) > s["auc"]["value"] for o in others.values())]
    over = [c for c in cells if c["fpr"]["value"] > 0.02]
    none = [s["source"] for s in sources if s["recall"] < 0.1]
    return [
        f"- It flags fewer than half of the attacks of {len(half)} of {len(sources)} sources"
        + (f", and fewer than one in ten of {', '.join(none)}." if none else "."),
        f"- A simpler system ranks better on {len(beaten)} sources"
        + (f": {', '.join(s['source'] for s in beaten)}." if beaten else "."),
        f"- More than 2 % of harmless rows are flagged in {len(over)} of {len(cells)} groups of role and language"
        + (f", the most in {cells[0]['role']}, {cells[0]['language']}." if over else "."),
        "- It reads wording, not intent: a request in ordinary words that harms only where it stands is not seen.",
        "- Korean attacks are of one family only, so their figures say little of others.",
    ]


def _by_source(sources: Sequence[Mapping[str, Any]], others: Mapping[str, Any]) -> list[str]:
    rows = []
    for s in sorted(sources, key=lambda s: (s["role"], s["source"])):
        cells = (s["source"], s["role"], s["attacks"], s["harmless"], interval(s["auc"]), number(s["own_auc"]))
        figures = (number(s["average_precision"]["value"]), number(s["tpr_at_1_fpr"]["value"]), number(s["recall"]))
        rows.append((*cells, *figures, *(number(o["auc"].get(s["source"])) for o in others.values())))
    head = ("source", "role", "attacks", "harmless", "AUC", "own", "AP", "recall at 1 % FPR", "recall")
    return table((*head, *(f"AUC: {name}" for name in others)), rows)


def _false_positives(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = ((c["role"], c["language"], c["rows"], c["sources"], interval(c["fpr"])) for c in cells)
    return table(("role", "language", "rows", "sources", "flagged"), rows)


def _languages(f: Mapping[str, Any]) -> list[str]:
    rows = [
        (n, v["attacks"], v["sources"], number(v["auc"]), interval(v["recall"]), interval(v["fpr"]))
        for n, v in f.items()
        if v
    ]
    return [
        "",
        "### Languages it never read",
        "",
        (
            "No training row is in a language of the group or of a family tested. The threshold is that of 1 % false "
            "positives on harmless prompts of the fold in the other languages: more could not be known."
        ),
        "",
        *table(("held out", "attacks", "sources", "AUC", "recall", "FPR"), rows),
    ]


def _shipped(f: Mapping[str, Any]) -> list[str]:
    found = f["summary"]
    triggers = f["trigger_words"]
    return [
        "",
        "### As it ships, on injection_eval",
        "",
        (
            f"Its weights and thresholds have nothing of this file; {f['left_out']} rows that are nearly "
            f"training rows are left "
            f"out. Mean over {found['sources']} sources: AUC {interval(found['auc'])}, recall at 1 % FPR "
            f"{interval(found['tpr_at_1_fpr'])}, recall {number(found['recall'])}. Harmless flagged: "
            f"{interval(f['fpr'])}; with "
            f"trigger words {interval(triggers['fpr'])} of {triggers['rows']} prompts. By role and language:"
        ),
        "",
        *_false_positives(f["false_positives"]),
    ]


def _feedback(f: Mapping[str, Any]) -> list[str]:
    rows = []
    for name, v in f["sources"].items():
        rows.append((name, v["rows"], "AUC", *(number(x) for x in v["auc"])))
        rows.append(("", "", "recall at 1 % FPR", *(number(x) for x in v["tpr_at_1_fpr"])))
    return [
        "",
        "### With labels of an unseen source",
        "",
        f"The shipped agent, test-then-train, figures on rows that are never labelled; means of {f['orders']} orders.",
        "",
        *table(("source", "rows", "", *(f"{n} labels" for n in f["labels"])), rows),
    ]


def _hallucination(f: Mapping[str, Any]) -> list[str]:
    means = f["means"]
    rows = [
        (
            name,
            *(interval(m["all"][k]) for k in ("auc", "average_precision")),
            *(number(m[p]["auc"]["value"]) for p in ("train", "eval")),
        )
        for name, m in means.items()
    ]
    systems = [name for name in means if name != hallucination.OURS]
    by_source = (
        (
            *(s["source"], s["part"], s["rows"], s["unsupported"], interval(s["auc"])),
            *(number(s["tpr_at_1_fpr"]["value"]), number(s["ece"])),
            *(number(s["baselines"].get(name)) for name in systems),
        )
        for s in f["by_source"]
    )
    shipped = (
        (n, interval(v["auc"]), number(v["recall"]), number(v["fpr"])) for n, v in f["shipped"]["sources"].items()
    )
    return [
        "",
        "## Hallucination",
        "",
        *table(("system", "AUC", "average precision", "AUC: train sources", "AUC: eval sources"), rows),
        "",
        f"Means over {means[hallucination.OURS]['all']['sources']} sources of both labels. Worst first:",
        "",
        *table(
            (
                *("source", "file", "rows", "unsupported", "AUC", "recall at 1 % FPR", "ECE"),
                *(f"AUC: {name}" for name in systems),
            ),
            by_source,
        ),
        "",
        "### Calibration",
        "",
        (
            f"Expected calibration error {number(f['calibration']['ece'])} with sources and labels "
            f"weighing the same (as the "
            "probability is defined), in tenths of the rows:"
        ),
        "",
        *table(
            ("said", "was so", "rows"),
            ((number(b["said"]), number(b["was"]), b["rows"]) for b in f["calibration"]["bins"]),
        ),
        "",
        "### As it ships, on hallucination_eval",
        "",
        (
            f"Threshold {number(f['shipped']['threshold'])}; {f['shipped']['left_out']} rows that are "
            f"nearly training rows left "
            "out."
        ),
        "",
        *table(("source", "AUC", "recall", "FPR"), shipped),
        "",
        "### What it cannot do",
        "",
        *_cannot_tell(f),
    ]


def _cannot_tell(f: Mapping[str, Any]) -> list[str]:
    low = [s["source"] for s in f["by_source"] if s["auc"]["value"] < 0.65]
    beaten = [s["source"] for s in f["by_source"] if any((v or 0) > s["auc"]["value"] for v in s["baselines"].values())]
    many = [n for n, v in f["shipped"]["sources"].items() if v["fpr"] > 0.2]
    return [
        f"- AUC under .65, little better than chance: {', '.join(low) or 'none'}.",
        f"- A simpler or batch model ranks better on: {', '.join(beaten) or 'none'}.",
        f"- Flags more than a fifth of supported answers of: {', '.join(many) or 'none'}.",
        (
            "- It compares words, numbers and names: a false statement made of the context's own words is "
            "hardly seen, and a "
            "free paraphrase is taken for unsupported."
        ),
    ]


def _families(f: Mapping[str, Any] | None) -> list[str]:
    lines = ["", "## Families and folds", "", "A source that is not named is a family of its own.", ""]
    lines += table(("family", "sources", "why"), ((x.name, ", ".join(x.sources), x.reason) for x in FAMILIES))
    lines += ["", "Not tested:", "", *(f"- {source}: {reason}" for source, reason in NOT_TESTED.items())]
    if f is not None:
        rows = ((x["name"], x["train"], x["test"], x["attacks"], ", ".join(x["sources"])) for x in f["folds"])
        lines += ["", *table(("fold", "rows trained on", "rows tested", "attacks", "sources tested"), rows)]
    return lines


def _when(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = ((name, part["at"], part["commit"], part["minutes"]) for name, part in parts.items())
    return ["", "## When", "", *table(("part", "at (UTC)", "commit", "minutes"), rows)]
