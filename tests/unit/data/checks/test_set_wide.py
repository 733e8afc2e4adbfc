"""What is told of rows because of other rows, on conversations made by hand."""

from __future__ import annotations

from core.data.checks.facts import Note
from core.data.checks.set_wide import SetFacts, asked, set_notes
from core.data.types import Conversation, Message


def chat(row: int, question: str, answer: str, how: str = "OpenAI messages role/content", system: str = "") -> Conversation:  # fmt: skip
    first = (Message("system", system),) if system else ()
    return Conversation(
        row, "messages", (*first, Message("user", question), Message("assistant", answer)), how=how
    )


def notes(
    *chats: Conversation, eval_keys: frozenset[int] = frozenset(), tokens: list[int] | None = None
) -> list[Note]:
    facts = SetFacts()
    by_row = {item.row: item for item in chats}
    for number, item in enumerate(chats):
        facts.add(item, "a.jsonl")
        facts.measure(item.row, tokens[number] if tokens else 10)
    return list(set_notes(facts, eval_keys, by_row.__getitem__))


def test_every_copy_after_the_first_names_the_first() -> None:
    found = notes(chat(3, "Hi", "Yes."), chat(5, "Hi", "Yes."), chat(8, "Hi", "Yes."), chat(9, "Ho", "Yes."))
    assert found == [
        Note("duplicate-row", 5, "row 5 is row 3 again"),
        Note("duplicate-row", 8, "row 8 is row 3 again"),
    ]


def test_one_prompt_two_answers() -> None:
    found = notes(chat(0, "Say it.", "Yes."), chat(1, " say  IT.", "No."), chat(2, "Say it.", "Yes."))
    assert found == [
        Note("duplicate-row", 2, "row 2 is row 0 again"),
        Note("prompt-answered-twice", 1, "rows 0 and 1"),
    ]


def test_outliers_need_twenty_rows_and_four_times_the_usual() -> None:
    chats = [chat(number, f"Question {number}", "Yes.") for number in range(21)]
    assert notes(*chats[:19], tokens=[10] * 18 + [5000]) == []
    assert notes(*chats, tokens=[10] * 20 + [40]) == []
    (found,) = notes(*chats, tokens=[10] * 20 + [41])
    assert found == Note("length-outlier", 20, "row 20 has 41 tokens, 95 % of the rows have at most 10")


def test_a_stray_shape_is_one_that_few_rows_of_a_file_have() -> None:
    chats = [chat(number, f"Question {number}", "Yes.") for number in range(9)]
    odd = chat(9, "Question 9", "Yes.", how="instruction is the user's turn, output the assistant's")
    (found,) = notes(*chats, odd)
    assert (found.code, found.row) == ("mixed-formats", 9) and found.detail.endswith(
        "(OpenAI messages role/content)"
    )
    assert notes(*chats[:3], odd) == [], "a quarter of the rows is no stray"


def test_leaks_are_by_prompt() -> None:
    from core.data.split import prompt_key

    key = prompt_key(chat(0, "say IT.", "No."))
    assert notes(chat(0, "Say it.", "Yes."), chat(1, "Else", "Yes."), eval_keys=frozenset({key})) == [
        Note("eval-leak", 0)
    ]


def test_what_is_asked_leaves_out_system_texts_and_what_follows_the_answer() -> None:
    assert asked(chat(0, "Hi", "Yes.", system="Be brief.")) == "Hi"
    assert asked(Conversation(0, "text", text="Once.")) == ""


def test_nothing_of_an_empty_set() -> None:
    assert notes() == []
