"""A conversation as a tree: editing, trying again and branching lose nothing, and every voice has its own past."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.chat.dialogue import Dialogue, dialogue_of
from core.errors import UsageError


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def two_turns() -> Dialogue:
    talk = Dialogue(system="Be brief.").asked("one", expected="eno")
    talk = talk.answered(1, "base", "one!").answered(1, "tuned", "eno")
    return talk.asked("two").answered(2, "base", "two!").answered(2, "tuned", "owt")


def test_each_voice_has_its_own_past() -> None:
    talk = two_turns().asked("three")
    system = {"role": "system", "content": "Be brief."}
    assert talk.history("base") == [
        system, user("one"), assistant("one!"), user("two"), assistant("two!"), user("three")
    ]  # fmt: skip
    assert talk.history("tuned", 2) == [system, user("one"), assistant("eno"), user("two")]


def test_the_system_prompt_is_kept_while_it_is_off() -> None:
    from dataclasses import replace

    off = replace(two_turns(), with_system=False)
    assert off.history("base")[0] == user("one")
    assert off.system == "Be brief."


def test_editing_an_earlier_turn_opens_a_branch_and_the_first_stays() -> None:
    talk = two_turns()
    edited = talk.edited(1, "uno")
    assert [turn.prompt for turn in edited.branch] == ["uno"]
    assert edited.turn(3).expected == "" and not edited.turn(3).answers
    assert edited.branches(3) == (1, 3)
    back = edited.other_branch(3)
    assert [turn.prompt for turn in back.branch] == ["one", "two"]
    assert back.conversation("tuned") == talk.conversation("tuned")
    assert back.other_branch(1, -1).at == 3


def test_a_replay_asks_the_later_prompts_again_one_after_another() -> None:
    talk = two_turns().asked("three").answered(3, "base", "three!").replayed(1, "uno")
    assert [turn.prompt for turn in talk.branch] == ["uno", "two", "three"]
    asked = []
    while (turn := talk.open_turn("base")) is not None:
        asked.append(talk.history("base", turn)[-1]["content"])
        talk = talk.answered(turn, "base", f"<{asked[-1]}>")
    assert asked == ["uno", "two", "three"]
    assert talk.history("base")[2:4] == [assistant("<uno>"), user("two")]


def test_a_new_column_catches_up_turn_by_turn() -> None:
    talk = two_turns()
    assert talk.open_turn("base") is None
    assert talk.open_turn("other") == 1
    assert talk.answered(1, "other", "1").open_turn("other") == 2


def test_trying_again_keeps_the_expected_answer() -> None:
    talk = two_turns().retried(1)
    assert (talk.turn(3).prompt, talk.turn(3).expected, dict(talk.turn(3).answers)) == ("one", "eno", {})


def test_a_turn_taken_back_goes_with_what_follows_it() -> None:
    talk = two_turns().asked("three").at_turn(2).taken_back()
    assert [turn.id for turn in talk.turns] == [1] and talk.at == 1
    assert talk.taken_back().turns == () and talk.taken_back().taken_back().at is None


def test_a_conversation_is_a_training_row_up_to_the_last_answer() -> None:
    talk = two_turns().asked("three")
    assert talk.conversation("tuned")[-1] == assistant("owt")
    assert talk.answered(2, "tuned", "corrected").conversation("tuned")[-1] == assistant("corrected")
    assert talk.conversation("nobody") == [] and Dialogue().conversation("base") == []


def test_a_saved_conversation_is_taken_up_again() -> None:
    saved = two_turns().conversation("tuned")
    talk = dialogue_of(saved, ["base", "tuned"])
    assert talk.conversation("tuned") == talk.conversation("base") == saved
    assert talk.turn(1).expected == "eno"
    unanswered = dialogue_of([user("one")], ["base"])
    assert unanswered.open_turn("base") == 1


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        ([assistant("x")], "message 1 is of the role assistant, not user"),
        ([user("x"), user("y")], "message 2 is of the role user, not assistant"),
        ([user("x"), {"role": "tool", "content": "y"}], "role tool"),
        ([{"role": "user", "content": [{"type": "image"}]}], "something other than text"),
    ],
)
def test_what_cannot_be_gone_on_with_says_why(messages: list[dict[str, object]], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        dialogue_of(messages, ["base"])


def test_a_turn_that_does_not_exist_is_said() -> None:
    with pytest.raises(UsageError, match="there is no turn 9"):
        two_turns().edited(9, "x")


@given(st.lists(st.tuples(st.sampled_from(["ask", "edit", "retry", "back", "other"]), st.integers(0, 50))))
def test_any_order_of_steps_keeps_a_sound_tree(steps: list[tuple[str, int]]) -> None:
    talk = Dialogue()
    for step, number in steps:
        ids = [turn.id for turn in talk.turns]
        if step == "ask" or not ids:
            talk = talk.asked(f"prompt {number}")
        elif step == "edit":
            talk = talk.replayed(ids[number % len(ids)], "edited")
        elif step == "retry":
            talk = talk.retried(ids[number % len(ids)])
        elif step == "back":
            talk = talk.taken_back()
        else:
            talk = talk.other_branch(ids[number % len(ids)])
        ids = [turn.id for turn in talk.turns]
        assert len(set(ids)) == len(ids)
        assert all(turn.parent is None or turn.parent in ids[: ids.index(turn.id)] for turn in talk.turns)
        assert talk.at is None or talk.history("base")[-1] == user(talk.turn(talk.at).prompt)
