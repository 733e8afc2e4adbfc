"""What a person asks for laid over the model's own defaults."""

from __future__ import annotations

import pytest

from core.chat.sampling import Decoding, Sampling, changed, decoding, laid_over
from core.errors import UsageError

OWN = Decoding(False, 0.7, 0.8, 20, 0.0, 1.05, 512)


def test_nothing_asked_is_the_models_own() -> None:
    assert laid_over(Sampling(), OWN) == OWN
    own = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    assert decoding(Sampling(), own, {"top_k": 50}) == OWN


def test_asking_for_any_of_four_samples_unless_the_temperature_is_zero() -> None:
    greedy = decoding(Sampling(), {}, {"top_k": 50})
    assert greedy == Decoding(True, 1.0, 1.0, 50, 0.0, 1.0, 512)
    assert not laid_over(Sampling(top_p=0.9), greedy).greedy
    assert laid_over(Sampling(temperature=0.0, top_p=0.9), OWN).greedy
    assert laid_over(Sampling(max_tokens=3, seed=1), greedy) == Decoding(True, 1.0, 1.0, 50, 0.0, 1.0, 3)


def test_a_field_is_set_as_written_and_given_back_by_nothing() -> None:
    one = changed(Sampling(), "top_k", " 40 ")
    assert one == Sampling(top_k=40)
    assert changed(one, "top_k", "") == Sampling()


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("top_k", "4.5", "top_k = 4.5 is not a whole number"),
        ("temperature", "warm", "temperature = warm is not a number"),
        ("top_p", "1.5", "top_p = 1.5 is outside 0 to 1"),
        ("temperature", "nan", "outside"),
        ("heat", "1", "there is no heat"),
    ],
)
def test_what_cannot_be_set_says_why(name: str, text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        changed(Sampling(), name, text)
