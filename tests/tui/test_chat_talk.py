"""The conversation of the Chat panel without a screen: turns, branches, failures, files; and what is drawn of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.chat.conversation import load_conversations
from core.chat.messages import Failure, Piece, Started
from core.chat.sampling import Sampling
from core.errors import UsageError
from tests.tui.chats import GREEDY, INSIDE, LOADED, NEED, an_answer, say, voices
from tui.chat.blocks import blocks, figures, room_left
from tui.chat.inspect import surprise, tokens_of
from tui.chat.markdown import MOST_CHARACTERS, markdown_lines
from tui.chat.status import status
from tui.chat.talk import Talk

CAT = "Say: The cat sees the dog."


def a_talk(prompt: str = CAT, *, streaming=()) -> tuple[Talk, object]:
    talk, both = Talk("Be brief."), voices()
    talk.ask(prompt, expected="The dog, the cat sees.")
    say(talk, both, streaming=streaming)
    return talk, both


def texts(talk: Talk, who: str) -> list[str]:
    return [block.text for block in blocks(talk, who) if block.text]


def test_every_voice_is_asked_with_its_own_past() -> None:
    talk, both = a_talk()
    talk.ask("Again.")
    talk.ask_open(both, Sampling(seed=7))
    (who, messages, sampling), (other, theirs, _) = both.asked[2:]
    assert (who, other, sampling) == ("base", "tuned", Sampling(seed=7))
    assert [message["content"] for message in messages] == [
        "Be brief.",
        CAT,
        "The cat sees the dog.",
        "Again.",
    ]
    assert theirs[2]["content"] == "The dog, the cat sees."
    talk.ask_open(both, Sampling())
    assert len(both.asked) == 4, "what is under way is not asked twice"


def test_without_the_system_prompt_it_is_not_sent_and_stays_written() -> None:
    talk, both = a_talk()
    talk.set_system("Be brief.", on=False)
    talk.ask("Again.")
    talk.ask_open(both, Sampling())
    assert both.asked[-1][1][0] == {"role": "user", "content": CAT}
    assert texts(talk, "base")[0] == "system (off): Be brief."


def test_late_messages_go_nowhere() -> None:
    talk, _ = a_talk(streaming=("tuned",))
    said = talk.said[1, "tuned"]
    assert said.text == "The dog, the" and not said.ended
    assert talk.take(Failure(said.number, "killed")) is said
    assert talk.take(Piece(said.number, "late", (3,))) is None and said.text == "The dog, the"
    assert talk.take(Failure(9, "gone")) is None


def test_a_failed_answer_is_asked_again_without_a_branch_and_keeps_the_other_voice() -> None:
    talk, both = a_talk(streaming=("tuned",))
    talk.take(Failure(talk.said[1, "tuned"].number, "the chat process ended"))
    assert "✗ the chat process ended" in texts(talk, "tuned")
    assert not talk.is_open(both)
    talk.ask_open(both, Sampling())
    assert len(both.asked) == 2, "a failure is not asked again by itself"
    talk.again()
    talk.ask_open(both, Sampling())
    assert [who for who, _, _ in both.asked] == ["base", "tuned", "tuned"]
    assert talk.dialogue.branches(1) == (1,)


def test_what_failed_is_asked_before_the_next_prompt() -> None:
    talk, both = a_talk(streaming=("tuned",))
    talk.take(Failure(talk.said[1, "tuned"].number, "killed"))
    talk.ask("And now?")
    talk.ask_open(both, Sampling())
    assert [(who, messages[-1]["content"]) for who, messages, _ in both.asked[2:]] == [
        ("base", "And now?"),
        ("tuned", CAT),
    ]


def test_an_earlier_turn_is_edited_as_a_branch_and_the_first_comes_back() -> None:
    talk, both = a_talk()
    talk.ask("And the bird?")
    say(talk, both)
    talk.point(-1)
    talk.branch_off(talk.pointed, "Say: The dog sleeps.")
    assert [turn.prompt for turn in talk.branch] == ["Say: The dog sleeps.", "And the bird?"]
    say(talk, both)
    say(talk, both)
    assert [len(both.asked), talk.is_open(both)] == [8, False]
    assert "  branch 2 of 2: ← → show the others" in texts(talk, "tuned")
    talk.point(-1)
    talk.other_branch(talk.pointed, -1)
    assert [turn.prompt for turn in talk.branch] == [CAT, "And the bird?"]
    assert talk.pointed.prompt == CAT, "the same place stays in hand"


def test_stopping_takes_back_only_a_prompt_nobody_began_to_answer() -> None:
    talk, both = a_talk()
    both.is_loaded = False
    talk.ask("Too early")
    talk.held = True
    assert talk.take_back() == "Too early" and [turn.prompt for turn in talk.branch] == [CAT]
    assert talk.take_back() == ""


def test_a_held_conversation_asks_nothing_by_itself() -> None:
    talk, both = a_talk()
    talk.branch_off(talk.pointed, "Other")
    talk.held = True
    talk.ask_open(both, Sampling())
    assert len(both.asked) == 2
    assert "not answered; r asks" in texts(talk, "base")


def test_a_voice_that_leaves_takes_its_answers_along() -> None:
    talk, both = a_talk()
    talk.forget_voice("base")
    assert talk.branch[0].answers == {"tuned": "The dog, the cat sees."}
    talk.ask_open(both, Sampling())
    assert both.asked[-1][0] == "base", "one of the same name begins anew"


def test_a_voice_that_comes_back_finds_what_it_said() -> None:
    talk, both = a_talk()
    first = talk.at(1, "base")
    talk.send_away("base", Path("model"))
    assert talk.branch[0].answers == {"tuned": "The dog, the cat sees."} and talk.at(1, "base") is None
    talk.bring_back("another", Path("other"))
    assert "another" not in talk.branch[0].answers
    talk.ask("Go on.")
    talk.bring_back("again", Path("model"))
    assert talk.branch[0].answers["again"] == "The cat sees the dog."
    assert talk.at(1, "again").answer is first.answer
    both.names = ["again"]
    talk.ask_open(both, Sampling())
    who, messages, _ = both.asked[-1]
    assert who == "again" and [each["content"] for each in messages[-3:]] == [
        CAT, "The cat sees the dog.", "Go on.",
    ]  # fmt: skip


def test_what_was_said_to_a_turn_that_is_gone_does_not_come_back() -> None:
    talk, _ = a_talk()
    talk.ask("Gone")
    talk.dialogue = talk.dialogue.answered(talk.branch[-1].id, "base", "Yes.")
    talk.send_away("base", Path("model"))
    assert talk.take_back() == "Gone"
    talk.ask("Another")
    talk.bring_back("base", Path("model"))
    assert "base" in talk.branch[0].answers and talk.branch[1].answers == {}


def test_a_corrected_answer_is_saved_as_a_training_row_and_replaces_its_earlier_form(tmp_path: Path) -> None:
    talk, both = a_talk()
    file = tmp_path / "mine.jsonl"
    assert talk.save(file, "base") == (1, False)
    talk.correct(talk.pointed, "base", "The dog, the cat sees!")
    assert talk.save(file, "base") == (1, True)
    assert talk.save(file, "tuned") == (2, False)
    rows = [json.loads(line)["messages"] for line in file.read_text().splitlines()]
    assert [row[-1]["content"] for row in rows] == ["The dog, the cat sees!", "The dog, the cat sees."]
    assert "✎ corrected by hand" in texts(talk, "base")
    talk.ask("Go on.")
    talk.ask_open(both, Sampling())
    assert both.asked[-2][1][2]["content"] == "The dog, the cat sees!", (
        "the voice goes on from the correction"
    )


def test_another_branch_is_a_row_of_its_own_and_a_longer_conversation_the_same(tmp_path: Path) -> None:
    talk, both = a_talk()
    file = tmp_path / "mine.jsonl"
    assert talk.save(file, "tuned") == (1, False)
    talk.branch_off(talk.pointed, "Say: It rains.")
    say(talk, both)
    assert talk.save(file, "tuned") == (2, False)
    talk.other_branch(talk.pointed, -1)
    talk.ask("Go on.")
    say(talk, both)
    assert talk.save(file, "tuned") == (1, True)
    assert [len(row) for row in load_conversations(file)] == [5, 3]


def test_beginning_anew_or_loading_loses_nothing(tmp_path: Path) -> None:
    talk, both = a_talk()
    talk.begin_anew()
    assert talk.branch == () and texts(talk, "base")[-2].startswith("← brings")
    talk.come_back()
    assert [turn.prompt for turn in talk.branch] == [CAT]
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    talk.take_up(file, 0, both.names)
    assert [turn.answers for turn in talk.branch] == [{"base": "b", "tuned": "b"}]
    talk.other_branch(talk.pointed, -1)
    assert [turn.prompt for turn in talk.branch] == [CAT]


def test_what_was_on_its_way_when_the_model_changed_can_be_asked_again() -> None:
    talk, both = a_talk(streaming=("tuned",))
    talk.cut_off("another model was chosen")
    assert not talk.is_open(both) and "✗ another model was chosen" in texts(talk, "tuned")
    assert talk.branch[0].answers == {"base": "The cat sees the dog."}


def test_a_row_that_someone_else_changed_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    talk, _ = a_talk()
    file = tmp_path / "mine.jsonl"
    talk.save(file, "base")
    file.write_text('{"messages": []}\n')
    assert talk.save(file, "base") == (2, False)
    assert len(load_conversations(file)) == 2


def test_a_loaded_conversation_is_corrected_in_its_own_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    first = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    second = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ]
    file.write_text("".join(json.dumps({"messages": row}) + "\n\n" for row in (first, second)))
    talk = Talk()
    talk.take_up(file, 1, ["base", "tuned"])
    assert (talk.dialogue.system, texts(talk, "tuned")) == ("s", ["system: s", "▸ c", "d"])
    talk.correct(talk.pointed, "tuned", "D")
    assert talk.save(file, "tuned") == (3, True)
    assert [row[-1]["content"] for row in load_conversations(file)] == ["b", "D"]
    assert file.read_text().splitlines()[1] == ""
    talk.branch_off(talk.pointed, "c")
    assert talk.pointed.expected == "d", "asked anew, the file's answer stands beside"


def test_a_file_with_other_roles_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"messages": [{"role": "tool", "content": "x"}]}\n')
    talk, _ = a_talk()
    with pytest.raises(UsageError, match="tool"):
        talk.take_up(file, 0, ["base"])
    assert [turn.prompt for turn in talk.branch] == [CAT]


# What is drawn


def test_what_a_model_says_is_shown_never_obeyed() -> None:
    talk, both = Talk(), voices("base")
    talk.ask("\x1b[2J")
    talk.ask_open(both, Sampling())
    number = talk.said[1, "base"].number
    talk.take(Started(number, "base", (1,), "x", GREEDY, ("no \x1b template",)))
    talk.take(Piece(number, "[red]\x1b[31m\u202ex\ny", (1,)))
    assert texts(talk, "base") == ["▸ ␛[2J", "! no ␛ template", "[red]␛[31m‹202E›x\ny▌"]


def test_an_empty_conversation_says_what_can_be_done_and_a_model_what_it_lacks() -> None:
    found = [block.text for block in blocks(Talk(), "plain", ("no chat template: \x1b",))]
    assert found[0] == "! no chat template: ␛" and "Enter" in found[1] and len(found) == 3


def test_figures_of_an_answer() -> None:
    assert (
        figures(an_answer("base", "x"))
        == "0.12s first · 42 tok/s · 8 tokens · stop <|im_end|> · peak 1.2 GiB"
    )
    assert "cancelled" in figures(an_answer("base", "x", stop="cancelled"))


def test_an_answer_as_the_row_has_it_is_told_from_another() -> None:
    talk, _ = a_talk()
    assert "✓ as expected" in texts(talk, "tuned") and "expected: The dog, the cat sees." in texts(
        talk, "base"
    )


def test_a_context_that_is_nearly_full_says_what_will_be_cut() -> None:
    talk, _ = a_talk()
    assert room_left(talk, "base", LOADED) == ""
    talk.said[1, "base"].answer = replace(an_answer("base", "x"), prompt_ids=tuple(range(1900)))
    assert room_left(talk, "base", LOADED).startswith(
        "1,908 of 2,048 context tokens used: when they are full, the oldest"
    )


def plain(text: str, cells: int = 60) -> list[str]:
    return ["".join(piece for piece, _ in line).rstrip() for line in markdown_lines(text, cells)]


def test_markdown_is_drawn_and_hides_nothing() -> None:
    assert plain("**bold** <b>tag</b>") == ["bold <b>tag</b>"]
    assert plain("[click](http://x.y) ![seen](http://p.q)") == ["click (http://x.y) !seen (http://p.q)"]
    assert plain("<script>alert(1)</script>") == ["<script>alert(1)</script>"]
    assert plain("- one\n- two") == [" • one", " • two"]
    assert plain("> " * 50) == ["> " * 29 + ">", "> " * 19 + ">"], "what Markdown swallows stays as written"


def test_markdown_carries_no_links_and_is_bounded() -> None:
    lines = markdown_lines("[click](http://x.y) <http://z.w>", 60)
    assert all(style.link is None and not style.meta for line in lines for _, style in line)
    long = "*a* " * MOST_CHARACTERS
    drawn = "".join(plain(long))
    assert drawn.count("*a*") == (len(long) - MOST_CHARACTERS) // 4 and "a a a" in drawn


@pytest.mark.parametrize(("number", "style"), [(0, ""), (1, "likely"), (2, "unlikely")])
def test_surprise_by_rank_and_probability(number: int, style: str) -> None:
    assert surprise(INSIDE.answer[number]) == style


def test_prompt_and_answer_as_tokens_with_marks() -> None:
    tokens = tokens_of(INSIDE)
    assert [token.text for token in tokens][5:8] == ["The", "▲ dog", "‼\u202e"]
    assert list(tokens.trained) == [False] * 5 + [True] * 4


def test_the_first_line_says_how_it_decodes_and_who_said_so() -> None:
    both = voices()

    def line(sampling: Sampling) -> str:
        return "".join(part.text for part in status(both, "", sampling, NEED, 80)[0])

    assert line(Sampling()) == " yoda  cpu float32 8 MiB · greedy (the model's own)"
    assert line(Sampling(temperature=0.7, seed=1)).endswith("temperature 0.7 (set here)")
    both.is_loaded = False
    assert line(Sampling()) == " yoda  ◌ loading"
    said = ["".join(part.text for part in parts) for parts in status(both, "", Sampling(), NEED, 78)]
    assert said[1:] == [
        "   needs 17.6 GiB of GPU 0 (67.0 GiB free): weights 15.0 GiB, keys and values",
        "   2.0 GiB for 2 conversations of 4,096 tokens (8.0 GiB if all 32,768 of the",
        "   context are used)",
    ]
    lines = status(None, "the model is gone " * 12, Sampling(), None, 40)
    assert len(lines) == 5 and lines[0][0].text.startswith(" ✗ the model")
