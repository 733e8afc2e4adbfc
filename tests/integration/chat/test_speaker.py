"""Answers of a loaded model: ids, stops, voices, kept caches and probabilities, against bare `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.chat.generate import answers
from core.chat.inspection import inspection
from core.chat.load import LoadedModel, add_adapter, load
from core.chat.messages import Ask, Inspect, Piece, Started
from core.chat.sampling import GREEDY, Sampling
from core.chat.speaker import Speaker
from core.chat.subject import Subject
from core.errors import TunedeckError
from tests.integration.tiny import make_adapter

QUESTION = ({"role": "user", "content": "the cat sees the dog"},)
SHORT = Sampling(temperature=0.0, max_tokens=12)


@pytest.fixture(scope="module")
def loaded(tiny_model: Path, tiny_adapter: Path) -> LoadedModel:
    return load(
        Subject("tiny", tiny_model, adapter=tiny_adapter, template_folder=tiny_adapter, dtype="float32"),
        device="cpu",
    )


def bare(folder: Path, adapter: Path | None, prompt: list[int], tokens: int = 12) -> list[int]:
    """What transformers alone answers, greedily."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    ids = torch.tensor([prompt])
    output = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens
    )
    return list(output[0, len(prompt) :].tolist())


def say(loaded: LoadedModel, ask: Ask, is_cancelled: Any = lambda: False) -> tuple[Any, list[Any]]:
    sent: list[Any] = []
    return Speaker(loaded, is_cancelled).answer(ask, sent.append), sent


def test_base_and_tuned_answer_as_bare_transformers_would(
    loaded: LoadedModel, tiny_model: Path, tiny_adapter: Path
) -> None:
    speaker = Speaker(loaded, lambda: False)
    base = speaker.answer(Ask(1, "base", QUESTION, sampling=SHORT), lambda _: None)
    tuned = speaker.answer(Ask(2, "tuned", QUESTION, sampling=SHORT), lambda _: None)
    again = speaker.answer(Ask(3, "base", QUESTION, sampling=SHORT), lambda _: None)

    assert list(base.ids) == bare(tiny_model, None, list(base.prompt_ids))
    assert list(tuned.ids) == bare(tiny_model, tiny_adapter, list(tuned.prompt_ids))
    assert base.ids != tuned.ids
    assert again.ids == base.ids
    assert (base.proof.adapter, base.proof.active) == ("default", False)
    assert (tuned.proof.adapter, tuned.proof.active) == ("default", True)
    assert base.proof.first_step != tuned.proof.first_step


def test_prompt_is_the_training_rendering_up_to_the_answer(loaded: LoadedModel, tiny_model: Path) -> None:
    answer, sent = say(loaded, Ask(1, "base", QUESTION, sampling=SHORT))
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    text = "<|im_start|>user\nthe cat sees the dog<|im_end|>\n<|im_start|>assistant\n"
    trained = tokenizer.encode(text + "a dog<|im_end|>\n", add_special_tokens=False)

    started = sent[0]
    assert isinstance(started, Started)
    assert started.prompt_text == text
    assert list(answer.prompt_ids) == trained[: len(answer.prompt_ids)]
    assert started.warnings == ()


def test_a_prompt_that_differs_from_the_training_is_named(loaded: LoadedModel) -> None:
    own = loaded.tokenizer.chat_template
    loaded.tokenizer.chat_template = own.replace(
        "<|im_start|>assistant\n{% endif", "<|im_start|>assistant\n\n{% endif"
    )
    try:
        _, sent = say(loaded, Ask(1, "base", QUESTION, sampling=SHORT))
    finally:
        loaded.tokenizer.chat_template = own
    assert len(sent[0].warnings) == 1
    assert "the prompt has '\\n'" in sent[0].warnings[0]


def test_pieces_add_up_to_the_text_and_the_ids(loaded: LoadedModel) -> None:
    answer, sent = say(loaded, Ask(1, "tuned", QUESTION, sampling=Sampling(temperature=0.0, max_tokens=40)))
    pieces = [message for message in sent if isinstance(message, Piece)]
    assert "".join(piece.text for piece in pieces) == answer.text
    assert tuple(id for piece in pieces for id in piece.ids) == answer.ids
    ids = [id for id in answer.ids if id not in loaded.stop_ids]
    assert answer.text == loaded.tokenizer.decode(ids, skip_special_tokens=True)


def test_stops_are_the_union_of_config_tokenizer_and_template(loaded: LoadedModel) -> None:
    ids = loaded.tokenizer.convert_tokens_to_ids
    assert set(loaded.stop_ids) == {ids("<|endoftext|>"), ids("<|im_end|>")}


def test_an_answer_ends_on_a_stop_token(loaded: LoadedModel) -> None:
    answer, _ = say(loaded, Ask(1, "base", QUESTION, sampling=SHORT))
    third = answer.ids[2]
    assert third not in answer.ids[:2]
    old, loaded.stop_ids = loaded.stop_ids, (third,)
    try:
        shorter, _ = say(loaded, Ask(2, "base", QUESTION, sampling=SHORT))
    finally:
        loaded.stop_ids = old
    assert shorter.ids == answer.ids[:3]
    assert shorter.stop == "eos"
    assert shorter.stop_token == loaded.tokenizer.convert_ids_to_tokens(third)
    assert answer.stop == "length"


def test_cache_kept_across_turns_changes_nothing(loaded: LoadedModel) -> None:
    speaker = Speaker(loaded, lambda: False)
    first = speaker.answer(Ask(1, "tuned", QUESTION, sampling=SHORT), lambda _: None)
    turns = (
        *QUESTION,
        {"role": "assistant", "content": first.text},
        {"role": "user", "content": "a dog sees"},
    )
    second = speaker.answer(Ask(2, "tuned", turns, sampling=SHORT), lambda _: None)
    fresh = Speaker(loaded, lambda: False).answer(Ask(3, "tuned", turns, sampling=SHORT), lambda _: None)
    assert first.reused_tokens == 0
    assert second.reused_tokens >= len(first.prompt_ids)
    assert fresh.reused_tokens == 0
    assert second.ids == fresh.ids

    edited = ({"role": "user", "content": "the cat sees a cat"},)
    third = speaker.answer(Ask(4, "tuned", edited, sampling=SHORT), lambda _: None)
    anew, _ = say(loaded, Ask(5, "tuned", edited, sampling=SHORT))
    assert 0 < third.reused_tokens < len(third.prompt_ids)
    assert third.ids == anew.ids


def test_cancel_in_the_prompt_and_in_the_answer(loaded: LoadedModel) -> None:
    looks = 0

    def after(limit: int) -> Any:
        def cancelled() -> bool:
            nonlocal looks
            looks += 1
            return looks > limit

        return cancelled

    in_prompt, _ = say(loaded, Ask(1, "base", QUESTION, sampling=SHORT), after(1))
    assert (in_prompt.stop, in_prompt.ids, in_prompt.proof.first_step) == ("cancelled", (), "")
    looks = 0
    speaker = Speaker(loaded, after(8))  # one look in each of two layers, then one a token
    in_answer = speaker.answer(Ask(2, "base", QUESTION, sampling=SHORT), lambda _: None)
    assert in_answer.stop == "cancelled"
    assert len(in_answer.ids) == 7
    looks = -1000
    whole = speaker.answer(Ask(3, "base", QUESTION, sampling=SHORT), lambda _: None)
    assert whole.ids[: len(in_answer.ids)] == in_answer.ids
    assert whole.stop == "length"


def test_full_context_leaves_out_the_oldest_turns_and_says_so(loaded: LoadedModel) -> None:
    turn = [
        {"role": "user", "content": "the cat sees the dog " * 4},
        {"role": "assistant", "content": "a dog sees a cat"},
    ]
    messages = ({"role": "system", "content": "sees"}, *(turn * 8), {"role": "user", "content": "the dog"})
    answer, sent = say(loaded, Ask(1, "base", messages, sampling=SHORT))
    assert sent[0].left_out > 0 and sent[0].left_out % 2 == 0
    assert f"the oldest {sent[0].left_out} messages" in sent[0].warnings[0]
    assert sent[0].prompt_text.startswith("<|im_start|>system\nsees<|im_end|>\n<|im_start|>user\n")
    assert len(answer.prompt_ids) + len(answer.ids) <= 256

    too_long = ({"role": "user", "content": "the cat sees the dog " * 100},)
    with pytest.raises(TunedeckError, match="the model holds 256"):
        say(loaded, Ask(2, "base", too_long, sampling=SHORT))


def test_the_context_ends_an_answer(loaded: LoadedModel) -> None:
    text = "the cat sees the dog " * 45
    prompt = loaded.tokenizer.encode(text)
    assert 200 < len(prompt) < 256
    answer, sent = say(loaded, Ask(1, "base", text=text, sampling=Sampling(temperature=0.0, max_tokens=400)))
    assert sent[0].warnings == (f"the context leaves room for {256 - len(prompt)} of 400 new tokens",)
    if answer.stop != "eos":
        assert answer.stop == "context"
        assert len(answer.prompt_ids) + len(answer.ids) == 256


def test_sampling_repeats_with_its_seed(loaded: LoadedModel) -> None:
    warm = Sampling(temperature=1.5, top_p=0.95, max_tokens=20)
    first, _ = say(loaded, Ask(1, "base", QUESTION, sampling=warm))
    assert first.seed is not None
    from dataclasses import replace

    again, _ = say(loaded, Ask(2, "base", QUESTION, sampling=replace(warm, seed=first.seed)))
    other, _ = say(loaded, Ask(3, "base", QUESTION, sampling=replace(warm, seed=first.seed + 1)))
    assert again.ids == first.ids
    assert other.ids != first.ids


def test_several_adapters_of_one_base(loaded: LoadedModel, tiny_model: Path, tmp_path: Path) -> None:
    second = make_adapter(tiny_model, tmp_path / "v2.1", seed=2)
    both = load(loaded.subject, device="cpu")
    add_adapter(both, "v2.1", second)
    assert both.voices == ("base", "tuned", "v2.1")
    answer, _ = say(both, Ask(1, "v2.1", QUESTION, sampling=SHORT))
    assert list(answer.ids) == bare(tiny_model, second, list(answer.prompt_ids))
    first, _ = say(both, Ask(2, "tuned", QUESTION, sampling=SHORT))
    assert first.ids == say(loaded, Ask(3, "tuned", QUESTION, sampling=SHORT))[0].ids
    with pytest.raises(TunedeckError, match="there is no v3"):
        say(both, Ask(4, "v3", QUESTION))


def test_inspection_gives_the_models_own_probabilities(loaded: LoadedModel, tiny_model: Path) -> None:
    answer, _ = say(loaded, Ask(1, "base", QUESTION, sampling=SHORT))
    shown = inspection(loaded, Inspect(2, "base", answer.prompt_ids, answer.ids, 3))
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32")
    logits = model(torch.tensor([answer.prompt_ids + answer.ids])).logits[0].detach().softmax(-1)
    expected = [float(logits[len(answer.prompt_ids) - 1 + index, id]) for index, id in enumerate(answer.ids)]
    assert [chance.probability for chance in shown.answer] == pytest.approx(expected, abs=1e-5)
    assert all(chance.rank == 0 and chance.alternatives[0][0] == chance.id for chance in shown.answer)
    assert tuple(id for id, _ in shown.prompt) == answer.prompt_ids


def test_inspection_gives_every_byte_of_a_character_that_tokens_share(loaded: LoadedModel) -> None:
    prompt, ids = (loaded.tokenizer.encode(text, add_special_tokens=False) for text in ("the cat", "é🙂"))
    shown = inspection(loaded, Inspect(1, "base", tuple(prompt), tuple(ids), 3))
    assert [chance.data for chance in shown.answer] == [bytes([byte]) for byte in "é🙂".encode()]
    assert b"".join(data for _, data in shown.prompt) == b"the cat"


def test_batched_answers_equal_single_ones(loaded: LoadedModel, tiny_model: Path) -> None:
    texts = ["the cat", "a dog sees the cat and the dog", "dog", "sees the", "the"]
    prompts = [loaded.tokenizer.encode(text) for text in texts]
    told: list[int] = []
    with loaded.model.disable_adapter():
        got = answers(
            loaded.model,
            loaded.tokenizer,
            prompts,
            max_tokens=12,
            stop_ids=loaded.stop_ids,
            batch_size=2,
            progress=told.append,
        )
    expected = [tuple(bare(tiny_model, None, prompt)) for prompt in prompts]
    assert got == expected
    assert told == [2, 4, 5]


def test_a_model_without_a_template_completes_text(loaded: LoadedModel) -> None:
    own, loaded.tokenizer.chat_template = loaded.tokenizer.chat_template, None
    try:
        with pytest.raises(TunedeckError, match="no chat template"):
            say(loaded, Ask(1, "base", QUESTION))
        answer, _ = say(loaded, Ask(2, "base", text="the cat", sampling=SHORT))
    finally:
        loaded.tokenizer.chat_template = own
    assert list(answer.prompt_ids) == loaded.tokenizer.encode("the cat")


def test_an_adapter_of_another_base_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(tiny_model)
    config.hidden_size = 48
    other = AutoModelForCausalLM.from_config(config)
    other.save_pretrained(tmp_path / "other")
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / "other")
    adapter = make_adapter(tmp_path / "other", tmp_path / "adapter", seed=3)
    with pytest.raises(TunedeckError, match="trained on another base model: .* has 32 outputs here and 48"):
        load(Subject("x", tiny_model, adapter=adapter, dtype="float32"), device="cpu")


def test_pickled_weights_are_read_only_by_name(tiny_model: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(TunedeckError, match=r"the weights are pickled \(pytorch_model.bin\)"):
        load(Subject("x", tmp_path, dtype="float32"), device="cpu")
    found = load(Subject("x", tmp_path, dtype="float32", allow_pickle="pytorch_model.bin"), device="cpu")
    wanted = model.get_input_embeddings().weight.float()
    assert torch.equal(found.model.get_input_embeddings().weight, wanted)


def test_a_damaged_adapter_is_one_clear_error(tiny_model: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(tiny_adapter, broken)
    weights = broken / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TunedeckError, match="the adapter's weights are damaged"):
        load(Subject("x", tiny_model, adapter=broken), device="cpu")


def test_a_damaged_shard_is_one_clear_error(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(tiny_model, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(TunedeckError, match=r"model\.safetensors(.|\n)*fetch or save the model again"):
        load(Subject("x", tmp_path / "model"), device="cpu")


def test_a_model_that_does_not_fit_is_said_before_loading(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": 1000})())
    with pytest.raises(TunedeckError, match="the weights need 0.0 GiB and 0.0 GiB are free"):
        load(Subject("x", tiny_model, dtype="float32"), device="cpu")


def test_greedy_is_temperature_zero() -> None:
    assert GREEDY.temperature == 0.0


@pytest.mark.parametrize("method", ["prompt", "prefix", "ia3"])
def test_other_kinds_of_adapters_answer_and_switch_off(method: str, tiny_model: Path, tmp_path: Path) -> None:
    from peft import IA3Config, PrefixTuningConfig, PromptTuningConfig, get_peft_model

    config: Any = {
        "prompt": PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        "prefix": PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4),
        "ia3": IA3Config(
            task_type="CAUSAL_LM",
            target_modules=["k_proj", "v_proj", "down_proj"],
            feedforward_modules=["down_proj"],
        ),
    }[method]
    torch.manual_seed(7)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32"), config)
    with torch.no_grad():
        for weights in (w for w in model.parameters() if w.requires_grad):
            weights.add_(torch.randn_like(weights))
    model.save_pretrained(tmp_path)
    loaded = load(Subject("x", tiny_model, adapter=tmp_path, dtype="float32"), device="cpu")
    speaker = Speaker(loaded, lambda: False)
    for _ in range(2):  # the second time a kept cache would be used, if there is one
        base = speaker.answer(Ask(1, "base", QUESTION, sampling=SHORT), lambda _: None)
        tuned = speaker.answer(Ask(2, "tuned", QUESTION, sampling=SHORT), lambda _: None)
        assert list(base.ids) == bare(tiny_model, None, list(base.prompt_ids))
        assert list(tuned.ids) == bare(tiny_model, tmp_path, list(tuned.prompt_ids))
        assert (base.proof.active, tuned.proof.active) == (False, True)
    shown = inspection(loaded, Inspect(3, "tuned", tuned.prompt_ids, tuned.ids, 2))
    assert [chance.rank for chance in shown.answer] == [0] * len(tuned.ids)
