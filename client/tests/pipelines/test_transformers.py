"""Instrumented transformers pipelines, with tiny models."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("torch", reason="make test-client-torch has torch and transformers in an environment of its own")

import streamgauge
from pipelines import models
from streamgauge.testing import Recorder
from torch.utils.data import Dataset
from transformers import pipeline

pytestmark = pytest.mark.filterwarnings("default")  # torch and transformers warn of their own parts

QUESTION = "is this dose safe ?"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    one = Recorder(tenant="clinic", app="triage")
    before = one.stats.integration_errors
    yield one
    one.close()
    assert one.stats.integration_errors == before


def instrumented(pipe: Any, recorder: Recorder) -> Any:
    return streamgauge.instrument(pipe, recorder)


def entropy(scores: list[float]) -> float:
    return -math.fsum(p * math.log(p) for p in scores)


def test_a_label_becomes_an_event(recorder: Recorder) -> None:
    classify = instrumented(models.text_classifier(), recorder)
    (answer,) = classify(QUESTION)
    (event,) = recorder.events
    assert event["provider"] == "huggingface"
    assert event["request_model"] == "BertForSequenceClassification"  # made here: it has no name of its own
    assert event["parameters"] == {"task": "text-classification"}
    assert event["messages"] == [{"role": "user", "content": QUESTION}]
    assert event["choices"][0]["content"] == answer["label"]
    assert event["choices"][0]["logprobs"] == [pytest.approx(math.log(answer["score"]))]
    assert event["usage"]["input_tokens"] == 7  # five words, [CLS] and [SEP]
    assert event["latency_ms"] > 0


def test_confidence_entropy_and_all_scores_come_with_the_label(recorder: Recorder) -> None:
    pipe = models.text_classifier()
    everything = pipe(QUESTION, top_k=None)
    instrumented(pipe, recorder)(QUESTION)
    (event,) = recorder.events
    assert event["scores"] == {each["label"]: pytest.approx(each["score"]) for each in everything}
    assert event["confidence"] == pytest.approx(everything[0]["score"])
    assert event["entropy"] == pytest.approx(entropy([each["score"] for each in everything]))


def test_the_model_is_named_by_its_path(recorder: Recorder, tmp_path: Any) -> None:
    models.text_classifier().save_pretrained(tmp_path)
    instrumented(pipeline("text-classification", model=str(tmp_path), device=-1), recorder)(QUESTION)
    assert recorder.events[0]["request_model"] == str(tmp_path)


def test_the_result_of_the_pipeline_is_unchanged(recorder: Recorder) -> None:
    pipe = models.text_classifier()
    asked: list[tuple[Any, dict[str, Any]]] = [
        (QUESTION, {}),
        ([QUESTION, "take two"], {}),
        (QUESTION, {"top_k": None}),
        ([QUESTION], {"top_k": 2}),
    ]
    before = [pipe(given, **kwargs) for given, kwargs in asked]
    instrumented(pipe, recorder)
    assert [pipe(given, **kwargs) for given, kwargs in asked] == before


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_batch_is_one_event_per_input_with_shared_latency(recorder: Recorder, batch_size: int) -> None:
    texts = ["is this safe", "take two tablets", "anna lives in berlin ."]
    answers = instrumented(models.text_classifier(), recorder)(texts, batch_size=batch_size)
    events = recorder.events
    assert [event["messages"][0]["content"] for event in events] == texts
    assert [event["choices"][0]["content"] for event in events] == [answer["label"] for answer in answers]
    assert [event["usage"]["input_tokens"] for event in events] == [5, 5, 7]
    first_of_batch = events[0]["latency_ms"]
    assert all(event["latency_ms"] >= first_of_batch for event in events[:batch_size])


def test_a_generator_of_inputs_stays_lazy(recorder: Recorder) -> None:
    asked: list[str] = []

    def texts() -> Iterator[str]:
        for text in ("is this safe", "take two"):
            asked.append(text)
            yield text

    answers = instrumented(models.text_classifier(), recorder)(texts())
    next(iter(answers))
    assert len(asked) == 1
    assert [event["messages"][0]["content"] for event in recorder.events] == ["is this safe"]


def test_a_data_set_keeps_its_length_and_is_read_once(recorder: Recorder) -> None:
    class Texts(Dataset[str]):  # type: ignore[misc] # untyped where torch is not installed
        reads = 0

        def __len__(self) -> int:
            return 2

        def __getitem__(self, n: int) -> str:
            self.reads += 1
            return ("is this safe", "take two")[n]

    texts = Texts()
    answers = instrumented(models.text_classifier(), recorder)(texts)
    assert len(answers) == 2
    assert len(list(answers)) == len(recorder.events) == texts.reads == 2


def test_two_iterations_at_the_same_time_do_not_mix(recorder: Recorder) -> None:
    classify = instrumented(models.text_classifier(), recorder)
    first, second = iter(classify(text for text in ["is", "dose"])), iter(classify(text for text in ["take", "two"]))
    for answers in (first, second, first, second):
        next(answers)
    assert [event["messages"][0]["content"] for event in recorder.events] == ["is", "take", "dose", "two"]


def test_worker_processes_of_a_data_loader_cost_the_token_count_only(recorder: Recorder) -> None:
    instrumented(models.text_classifier(), recorder)(["is this safe", "take two"], num_workers=1)
    assert [event["messages"][0]["content"] for event in recorder.events] == ["is this safe", "take two"]
    assert [event["usage"] for event in recorder.events] == [None, None]


def test_a_pair_of_texts_is_one_message(recorder: Recorder) -> None:
    instrumented(models.text_classifier(), recorder)({"text": "is this safe", "text_pair": "take two"})
    assert recorder.events[0]["messages"] == [{"role": "user", "content": "is this safe\ntake two"}]


def test_independent_labels_have_a_mean_entropy(recorder: Recorder) -> None:
    instrumented(models.text_classifier(problem_type="multi_label_classification"), recorder)(QUESTION)
    (event,) = recorder.events
    each = [entropy([score, 1 - score]) for score in event["scores"].values()]
    assert event["entropy"] == pytest.approx(sum(each) / 3)


def test_a_regression_has_scores_but_no_probability(recorder: Recorder) -> None:
    classify = instrumented(models.text_classifier(("risk",), problem_type="regression"), recorder)
    texts = ["is this dose safe ?", "take two", "anna", "berlin", "the dose"]
    answers = classify(texts)
    outside = [n for n, answer in enumerate(answers) if not 0 <= answer["score"] <= 1]
    assert outside
    assert all("entropy" not in recorder.events[n] for n in outside)
    assert recorder.events[0]["scores"] == {"risk": pytest.approx(answers[0]["score"])}


def test_zero_shot_gives_the_scores_of_the_candidates(recorder: Recorder) -> None:
    answer = instrumented(models.zero_shot_classifier(), recorder)(QUESTION, candidate_labels=["dose", "berlin"])
    (event,) = recorder.events
    assert event["messages"] == [{"role": "user", "content": QUESTION}]
    assert event["choices"][0]["content"] == answer["labels"][0]
    assert event["scores"] == dict(zip(answer["labels"], map(pytest.approx, answer["scores"]), strict=True))
    assert event["parameters"]["candidate_labels"] == ["dose", "berlin"]
    assert event["usage"]["input_tokens"] == 2 * 13  # the model reads the question once for each candidate


def test_zero_shot_takes_lists(recorder: Recorder) -> None:
    texts = ["is this safe", "take two"]
    instrumented(models.zero_shot_classifier(), recorder)(
        texts, candidate_labels=["dose", "berlin", "anna"], batch_size=2
    )
    assert [event["messages"][0]["content"] for event in recorder.events] == texts
    assert all(len(event["scores"]) == 3 for event in recorder.events)


@pytest.mark.parametrize("strategy", ["none", "simple"])
def test_entities_are_lines_of_the_content(recorder: Recorder, strategy: str) -> None:
    find = instrumented(models.token_classifier(aggregation_strategy=strategy), recorder)
    answer = find("anna lives in berlin .")
    (event,) = recorder.events
    label = "entity" if strategy == "none" else "entity_group"
    (choice,) = event["choices"]
    assert answer
    assert choice["content"] == "\n".join(f"{each[label]}: {each['word']}" for each in answer)
    assert choice["logprobs"] == [pytest.approx(math.log(each["score"]), abs=1e-6) for each in answer]
    assert 0 < event["entropy"] < math.log(3)
    assert 1 / 3 < event["confidence"] < 1
    assert set(event["scores"]) == {each[label] for each in answer}
    assert event["usage"]["input_tokens"] == 7


def test_pretokenized_words_are_joined(recorder: Recorder) -> None:
    instrumented(models.token_classifier(), recorder)(["anna", "lives"], is_split_into_words=True)
    assert recorder.events[0]["messages"] == [{"role": "user", "content": "anna lives"}]


def test_the_word_behind_a_mask_with_the_entropy_over_the_vocabulary(recorder: Recorder) -> None:
    fill = instrumented(models.mask_filler(), recorder)
    answer = fill("take [MASK] tablets .", top_k=len(models.WORDS))
    (event,) = recorder.events
    assert event["choices"][0]["content"] == answer[0]["token_str"]
    assert event["confidence"] == pytest.approx(answer[0]["score"])
    assert event["entropy"] == pytest.approx(entropy([each["score"] for each in answer]), rel=1e-4)


def test_several_masks_are_one_choice(recorder: Recorder) -> None:
    answer = instrumented(models.mask_filler(), recorder)("take [MASK] [MASK] .")
    (event,) = recorder.events
    assert event["choices"][0]["content"] == " ".join(mask[0]["token_str"] for mask in answer)
    assert len(event["choices"][0]["logprobs"]) == 2


def test_generated_text_comes_without_its_prompt(recorder: Recorder) -> None:
    generate = instrumented(models.generator(), recorder)
    (answer,) = generate("take two", max_new_tokens=3, do_sample=False)
    (event,) = recorder.events
    assert event["messages"] == [{"role": "user", "content": "take two"}]
    assert "take two" + event["choices"][0]["content"] == answer["generated_text"]
    assert event["choices"][0]["finish_reason"] == "length"
    assert (event["usage"]["input_tokens"], event["usage"]["output_tokens"]) == (4, 3)
    assert event["parameters"] == {"task": "text-generation", "max_new_tokens": 3, "do_sample": False}


def test_several_sequences_are_several_choices(recorder: Recorder) -> None:
    generate = instrumented(models.generator(), recorder)
    answers = generate("take two", max_new_tokens=2, do_sample=True, num_return_sequences=2)
    (event,) = recorder.events
    assert [f"take two{each['content']}" for each in event["choices"]] == [each["generated_text"] for each in answers]
    assert event["usage"]["output_tokens"] == 4


def test_an_end_token_is_the_finish_reason(recorder: Recorder) -> None:
    generate = models.generator()
    first = generate("take two", max_new_tokens=1, do_sample=False, return_full_text=False)[0]["generated_text"].strip()
    instrumented(generate, recorder)(
        "take two", max_new_tokens=9, do_sample=False, eos_token_id=models.WORDS.index(first)
    )
    (event,) = recorder.events
    assert event["choices"][0]["finish_reason"] == "stop"
    assert event["usage"]["output_tokens"] == 1


def test_a_chat_is_its_messages(recorder: Recorder) -> None:
    generate = models.generator()
    generate.tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    chat = [{"role": "system", "content": "take the tablets"}, {"role": "user", "content": QUESTION}]
    instrumented(generate, recorder)(chat, max_new_tokens=2, do_sample=False)
    assert recorder.events[0]["messages"] == chat


def test_an_error_is_published_and_raised(recorder: Recorder) -> None:
    classify = instrumented(models.text_classifier(), recorder)
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the message is compared below
        classify(5)
    (event,) = recorder.events
    assert event["error"]["type"] == "ValueError"
    assert event["error"]["message"] == str(raised.value)
    assert event["choices"] == []


def test_an_error_in_a_list_belongs_to_its_input(recorder: Recorder) -> None:
    classify = instrumented(models.text_classifier(), recorder)
    with pytest.raises(ValueError):  # noqa: PT011 - the library has no class of its own
        classify(["take two", 5, "is this safe"])
    done, failed = recorder.events
    assert "error" not in done
    assert failed["error"]["type"] == "ValueError"


def test_the_context_applies(recorder: Recorder) -> None:
    with streamgauge.context("triage", version="v7", conversation_id="c-1"):
        instrumented(models.text_classifier(), recorder)(QUESTION)
    (event,) = recorder.events
    assert (event["prompt_name"], event["prompt_version"], event["conversation_id"]) == ("triage", "v7", "c-1")


def test_instrumenting_twice_has_no_effect(recorder: Recorder) -> None:
    instrumented(instrumented(models.text_classifier(), recorder), recorder)(QUESTION)
    assert len(recorder.events) == 1


def test_other_pipelines_of_the_class_are_unchanged(recorder: Recorder) -> None:
    instrumented(models.text_classifier(), recorder)
    models.text_classifier()(QUESTION)
    assert recorder.events == []


@pytest.mark.parametrize("of", [copy.deepcopy, lambda pipe: pickle.loads(pickle.dumps(pipe))])
def test_a_copy_is_not_instrumented(recorder: Recorder, of: Any) -> None:
    again = of(instrumented(models.text_classifier(), recorder))
    assert again(QUESTION)
    assert recorder.events == []


def test_an_unsupported_pipeline_is_unchanged_and_logged(recorder: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    features = pipeline(
        "feature-extraction", model=models.text_classifier().model, tokenizer=models.tokenizer(), device=-1
    )
    assert instrumented(features, recorder) is features
    assert [getattr(record, "reason", "") for record in caplog.records] == ["transformers"]
