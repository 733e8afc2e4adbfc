"""The embedded model: small, loads without a word, repeats what it never saw, and can chat a little."""

from __future__ import annotations

import subprocess
import sys

import pytest

from core.chat.load import LoadedModel, load
from core.chat.subject import Subject
from core.demo import paths, score

pytestmark = pytest.mark.xdist_group("demo_model")  # its fixture is dear: made once, in one worker

DEMO = Subject("demo", paths.MODEL, dtype="float32")


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load(DEMO, device="cpu")


def test_everything_embedded_is_small() -> None:
    assert sum(path.stat().st_size for path in paths.MODEL.iterdir()) <= 6_000_000
    assert {path.name for path in paths.MODEL.iterdir()} == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_it_loads_and_speaks_without_a_warning() -> None:
    program = (
        "import sys, torch; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "folder = sys.argv[1]\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForCausalLM.from_pretrained(folder)\n"
        "ids = tokenizer.apply_chat_template([{'role': 'user', 'content': 'Say: The cat sleeps in the barn.'}],"
        " add_generation_prompt=True, return_tensors='pt', return_dict=True)\n"
        "made = model.generate(**ids, max_new_tokens=20)[0, ids['input_ids'].shape[1]:]\n"
        "print(model.dtype, tokenizer.decode(made))\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", program, str(paths.MODEL)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "torch.bfloat16 The cat sleeps in the barn.<|im_end|>\n"
    assert "warn" not in run.stderr.lower()


def test_it_repeats_sentences_it_never_saw() -> None:
    scores = score.score(DEMO)
    assert scores.base_repeats >= 0.95
    assert scores.base_yoda == 0.0
    assert (scores.tuned_yoda, scores.adapter_off_repeats) == (None, None)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Hello!", "Hello! What shall I say for you?"),
        ("Who are you?", "I am the small demo model of tunedeck."),
        ("What comes after 41?", "42."),
        ("What is 4 plus 5?", "9."),
        ("What is the opposite of big?", "Small."),
        ("What colour is the sky?", "The sky is blue."),
        ("Where is the key?", "The key is under the stone."),
        ("The dog carries a blue hat. What does the dog carry?", "A blue hat."),
        ("What is the capital of France?", "I do not know that. My world is small."),
    ],
)
def test_its_other_skills(loaded: LoadedModel, asked: str, answer: str) -> None:
    assert score.spoken(loaded, [[{"role": "user", "content": asked}]]) == [answer]


def test_it_remembers_a_name_and_tolerates_a_system_message(loaded: LoadedModel) -> None:
    conversation = [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "My name is Clara."},
        {"role": "assistant", "content": "Nice to meet you, Clara."},
        {"role": "user", "content": "What is my name?"},
    ]
    assert score.spoken(loaded, [conversation]) == ["Your name is Clara."]


def test_an_answer_that_never_stops_is_right_for_nobody(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score, "MAX_NEW_TOKENS", 3)
    said = score.spoken(loaded, [[{"role": "user", "content": "Say: The cat sleeps in the barn."}]])
    assert said == ["The cat sleeps…"]


def test_reading_held_out_requests() -> None:
    requests = score.read_requests(paths.HELD_OUT)
    assert len(requests) == 100
    assert all(request.prompt[-1]["role"] == "user" for request in requests)
