"""The general prompts: every rule takes a right answer and refuses a wrong one, and what was lost is found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from core.chat.general import HOW, GeneralAnswer, GeneralPrompt, general_prompts, general_scores, is_right
from core.chat.judged import Evaluation, Judged
from core.chat.metrics import chrf, scores
from core.chat.report import markdown, picture_of_differences

RIGHT = {
    "Write the numbers from 1 to 5 with commas between them and nothing else.": "1, 2, 3, 4, 5",
    "Answer only with the word yes.": "Yes.",
}


@pytest.mark.parametrize("prompt", general_prompts(), ids=lambda prompt: prompt.prompt[:40])
def test_every_rule_tells_right_from_wrong(prompt: GeneralPrompt) -> None:
    assert prompt.how in HOW
    if prompt.how == "shown":
        assert is_right(prompt, "anything") is None
        return
    right = RIGHT.get(prompt.prompt, prompt.accept[0])
    assert is_right(prompt, right) is True
    assert is_right(prompt, f" {right}\n") is True
    assert is_right(prompt, "banana") is False
    assert is_right(prompt, "") is False


def test_the_rules_one_by_one() -> None:
    word = GeneralPrompt("facts", "?", ("12",), "word")
    assert is_right(word, "The answer is 12.") and not is_right(word, "The answer is 120.")
    exact = GeneralPrompt("x", "?", ("green lamp",), "exact")
    assert is_right(exact, "green lamp.") and not is_right(exact, "Green lamp, of course")
    form = GeneralPrompt("x", "?", ('{"a": 1}',), "json")
    assert is_right(form, '{ "a" : 1 }') and not is_right(form, '{"a": 2}') and not is_right(form, "a: 1")


def test_the_set_is_fixed_and_no_prompt_comes_twice() -> None:
    prompts = general_prompts()
    assert len(prompts) == 42 and max(Counter(p.prompt for p in prompts).values()) == 1
    assert sum(p.how == "shown" for p in prompts) == 4


def answered(right: bool) -> tuple[GeneralAnswer, ...]:
    texts = [RIGHT.get(p.prompt, p.accept[0] if p.accept else "Rain falls.") for p in general_prompts()]
    said = texts if right else ["banana" for _ in texts]
    return tuple(
        GeneralAnswer(text, True, is_right(prompt, text))
        for prompt, text in zip(general_prompts(), said, strict=True)
    )


def test_what_was_right_before_and_is_wrong_now_is_listed() -> None:
    assert general_scores(answered(True)).right == 1.0
    found = general_scores(answered(False))
    assert (found.right, found.asked, found.by_kind["facts"]) == (0.0, 38, 0.0)
    nothing = scores([], [])
    tuned = Judged("tuned", "run", nothing, (), (), answered(False))
    base = Judged("base", "base", nothing, (), (), answered(True))
    evaluation = Evaluation("x", Path(), (tuned, base), {}, (), 0.0)
    lost = evaluation.forgotten()
    assert len(lost) == 38
    assert lost[0]["answers"] == {"tuned": "banana", "base": "12"}
    text = markdown(evaluation)
    assert "Right before, wrong now (38)" in text and "| facts | 0.0% | 100.0% |" in text
    assert Evaluation("x", Path(), (base, tuned), {}, (), 0.0).forgotten() == []
    assert picture_of_differences(evaluation).startswith("<svg")


def by_hand(text: str, expected: str) -> float:
    """chrF2 from its definition: character n-grams without blanks, mean precision and recall, recall twice as heavy."""
    ours, theirs = (t.replace(" ", "") for t in (text, expected))
    precisions, recalls = [], []
    for n in range(1, 7):
        a = Counter(ours[i : i + n] for i in range(len(ours) - n + 1))
        b = Counter(theirs[i : i + n] for i in range(len(theirs) - n + 1))
        if a and b:
            common = (a & b).total()
            precisions.append(common / a.total())
            recalls.append(common / b.total())
    p, r = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return 5 * p * r / (4 * p + r) if p + r else 0.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The dog, the cat sees.", "The cat sees the dog."),
        ("a cat on a mat", "the cat sat on the mat"),
        ("x", "x"),
    ],
)
def test_chrf_is_its_definition(text: str, expected: str) -> None:
    assert chrf(text, expected) == pytest.approx(by_hand(text, expected), abs=1e-6)


def test_chrf_at_its_ends() -> None:
    assert chrf("the same", "the same") == pytest.approx(1.0)
    assert chrf("abc", "xyz") == 0.0 and chrf("", "xyz") == 0.0
    assert chrf("", "  ") == 1.0
