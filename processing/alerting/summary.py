"""Summary of an alert: one or two sentences for the on-call engineer.

A summary states the scope, the signal, its level against the threshold or baseline, and the start of the change. While
the alert fires, a next step follows (`next_step`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from agents.base import ChangePoint
from agents.drift.layout import BINARY, CATEGORICAL
from schemas.rules import Rule

RATE = ".rate"
"""Suffix of the signals of flag rates; the prefix is the name of the agent that flags."""

_SHARES = frozenset(f"drift.{name}" for name in (*BINARY, *CATEGORICAL))
_SLICE_SHIFT_MIN = 0.2
"""Minimum shift of a slice's share that is reported. Smaller shifts occur by chance among the few calls since the start
of a change."""
_NAMES = {
    "injection.score": "injection score",
    "injection.flag": "injection flag",
    "injection.rate": "injection flag rate",
    "injection.precision": "precision of injection flags",
    "injection.recall": "recall of injection flags",
    "injection.auc": "AUC of injection scores",
    "injection.calibration": "calibration of injection scores",
    "hallucination.score": "hallucination score",
    "hallucination.flag": "hallucination flag",
    "hallucination.grounding": "grounding",
    "hallucination.rate": "hallucination flag rate",
    "hallucination.precision": "precision of hallucination flags",
    "hallucination.recall": "recall of hallucination flags",
    "hallucination.auc": "AUC of hallucination scores",
    "hallucination.calibration": "calibration of hallucination scores",
    "guardrail.flag": "guardrail objection",
    "guardrail.rate": "guardrail objection rate",
    "campaign.flag": "campaign flag",
    "campaign.members": "prompts in the campaign",
    "campaign.users": "users in the campaign",
    "drift.distance": "drift distance",
    "drift.text": "distance of the prompt texts from their baseline",
    "drift.novelty": "novelty of the prompt texts",
    "drift.unfamiliar": "share of prompts with unfamiliar text",
    "drift.prompt_chars": "prompt length",
    "drift.response_chars": "answer length",
    "drift.refusal": "refusal rate",
    "drift.error": "error rate",
    "drift.language": "share of the most frequent language",
    "drift.response_model": "share of the most frequent model",
    "drift.finish_reason": "share of the most frequent finish reason",
    "drift.format": "share of the most frequent answer format",
    "drift.opening": "share of the most frequent opening word",
    "drift.fingerprint": "share of the most frequent model fingerprint",
    "latency_ms": "latency",
    "ttft_ms": "time to first token",
    "cost_usd": "cost",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
}
_UNITS = {
    "latency_ms": " ms",
    "ttft_ms": " ms",
    "cost_usd": " USD",
    "prompt_chars": " characters",
    "response_chars": " characters",
}
_NEXT_STEPS = {
    "injection": "Review the evidence events and block their source if they are attacks",
    "hallucination": "Compare the evidence events with their contexts",
    "guardrail": "Review the evidence events in the guardrail's log",
    "campaign": "Review the evidence events and block their users or passages",
    "drift": "Compare recent deployments, prompt versions and traffic sources with the start of the change",
    "drift.provider": "Check the provider's model version, and pin the model if possible",
    "drift.error": "Check the provider's status and the error types of the evidence events",
    "precision": "Review the latest labels; if they are right, raise the rule's threshold or roll back the weights",
    "recall": "Review the latest labels; if they are right, lower the rule's threshold or roll back the weights",
    "auc": "Review the latest labels; if they are right, roll back the weights",
    "calibration": "Review the latest labels; if they are right, roll back the weights",
    "error": "Check the provider's status and the error types of the evidence events",
    "refusal": "Review the evidence events for changed prompts or a changed model",
    "latency_ms": "Check the provider's status and the length of prompts and answers",
    "ttft_ms": "Check the provider's status and the length of prompts",
    "cost_usd": "Check the token counts and the model of the evidence events",
    "input_tokens": "Check the prompts of the evidence events for added context",
    "output_tokens": "Check the answers of the evidence events for repetition",
}


def summarise_value(rule: Rule, segment: Mapping[str, str], value: float, n: int) -> str:
    """Return the summary of a value in one event, or in a window of ``n`` events."""
    scope, name, unit = _scope(segment), _name(rule.metric), _unit(rule.metric)
    threshold = f"{rule.threshold:g}{unit}"
    if rule.type == "event":
        return f"{scope}: {name} {value:.3g}{unit} in one event (threshold {threshold})"
    window = f"the last {rule.window_s} s"
    if rule.type == "rate":
        return f"{scope}: {name} rate {value:.1%} of {n} events in {window} (threshold {rule.threshold:.1%})"
    if rule.type == "quantile":
        quantile = f"p{100 * (rule.q or 0):g}"
        return f"{scope}: {quantile} {name} {value:.4g}{unit} over {n} events in {window} (threshold {threshold})"
    return f"{scope}: {name} in {value:g} of {n} events in {window} (threshold {rule.threshold:g})"


def summarise_change(change: ChangePoint) -> str:
    """Return the summary of a change point: levels before and after, start, and probable cause or words and slices."""
    scope = _scope(change.segment)
    if change.summary:
        return f"{scope}: {change.summary}"
    verb = "rose" if change.after > change.before else "fell" if change.after < change.before else "moved"
    before, after = (_level(change.signal, level) for level in (change.before, change.after))
    finding = f"{_name(change.signal)} {verb} from {before} to {after}"
    if change.signal == "drift.provider":
        finding = f"properties of the answers that changed while the prompts did not: {after}"
    text = f"{scope}: {finding}, since about {_utc(change.since_time_ms)}"
    if change.causes:
        text += f"; probable cause: {change.causes[0]}"
    if change.terms_gained:
        text += f"; more frequent words: {', '.join(change.terms_gained[:5])}"
    if change.terms_lost:
        text += f"; less frequent words: {', '.join(change.terms_lost[:5])}"
    if change.slices and not change.causes:  # a cause has figures of its own, from the latest calls
        name, (share_before, share_after) = max(change.slices.items(), key=lambda item: abs(item[1][1] - item[1][0]))
        if abs(share_after - share_before) >= _SLICE_SHIFT_MIN:
            text += f"; share of {name}: {share_before:.0%} before, {share_after:.0%} after"
    return text


def summarise_firing(signal: str, summary: str) -> str:
    """Return the summary of a firing alert: the finding and the next step."""
    step = next_step(signal)
    return f"{summary}. {step}." if step else f"{summary}."


def summarise_resolved(rule: Rule, summary: str) -> str:
    """Return the summary of a resolved alert: the finding and the reason of the resolution."""
    if rule.type == "change":
        reason = f"auto-resolved after {rule.window_s} s without new evidence (the level may still be elevated)"
    elif rule.type == "event":
        reason = f"resolved after {rule.window_s} s without another such event"
    else:
        reason = f"resolved: the level no longer exceeds the threshold, or no event has arrived for {rule.window_s} s"
    return f"{summary}; {reason}."


def next_step(signal: str) -> str:
    """Return the next step for a signal; empty for an unknown signal.

    Examples
    --------
    >>> next_step("guardrail.rate")
    "Review the evidence events in the guardrail's log"
    """
    agent, _, metric = signal.partition(".")
    return _NEXT_STEPS.get(signal) or (agent != "drift" and _NEXT_STEPS.get(metric)) or _NEXT_STEPS.get(agent, "")


def change_details(change: ChangePoint) -> dict[str, object]:
    """Return the details of an alert on a change point."""
    return {
        "before": change.before,
        "after": change.after,
        "score": change.score,
        "since_offset": change.since_offset,
        "terms_gained": list(change.terms_gained),
        "terms_lost": list(change.terms_lost),
        "causes": list(change.causes),
        "slices": {name: list(shares) for name, shares in change.slices.items()},
        **change.facts,
    }


def _scope(segment: Mapping[str, str]) -> str:
    return "/".join(segment.values())


def _name(signal: str) -> str:
    return _NAMES.get(signal) or _NAMES.get(signal.removeprefix("drift."), signal)


def _unit(signal: str) -> str:
    return _UNITS.get(signal.removeprefix("drift."), "")


def _level(signal: str, value: float) -> str:
    is_share = signal.endswith(RATE) or signal in _SHARES
    return f"{value:.1%}" if is_share else f"{value:.4g}{_unit(signal)}"


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
