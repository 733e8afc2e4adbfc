"""The Chat panel with the real worker on the embedded model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from core.chat.messages import Answer, Done, Failure, Piece, Proof, Started
from core.chat.sampling import Decoding
from tests.tui.test_shell import settled, toasts, until
from tui.chat.prompt import Prompt
from tui.chat.session import Said, Session, Turn
from tui.chat.transcript import Transcript, blocks
from tui.widgets.bars import Bar, Footer
from tui.widgets.text import wrap

GREEDY = Decoding(True, 1.0, 1.0, 0, 0.0, 1.0, 512)


def an_answer(who: str, text: str, *, on: bool) -> Answer:
    proof = Proof("default", on, "47bd6b9512345678" if on else "24a5186712345678")
    ids = tuple(range(8))
    return Answer(who, text, (1, 2, 3), ids, "eos", "<|im_end|>", 0.12, 0.3, 41.5, 0, 0, None, proof)


def a_session(*, streaming: bool = False) -> Session:
    session = Session(turns=[Turn("Say: The cat sees the dog.", expected="The dog, the cat sees.")])
    said = session.turns[0].said
    said["base"] = Said(
        "base", 1, "The cat sees the dog.", None, an_answer("base", "The cat sees the dog.", on=False)
    )
    said["tuned"] = Said("tuned", 2, "The dog, the")
    if not streaming:
        said["tuned"].text = "The dog, the cat sees."
        said["tuned"].answer = an_answer("tuned", "The dog, the cat sees.", on=True)
    return session


def test_each_voice_has_its_own_history() -> None:
    session = a_session()
    session.system = "Be brief."
    session.turns.append(Turn("Again."))
    system = {"role": "system", "content": "Be brief."}
    asked = {"role": "user", "content": "Say: The cat sees the dog."}
    again = {"role": "user", "content": "Again."}
    assert session.history("base") == [
        system, asked, {"role": "assistant", "content": "The cat sees the dog."}, again
    ]  # fmt: skip
    assert session.history("tuned")[2]["content"] == "The dog, the cat sees."
    assert session.history("tuned", session.turns[0]) == [system, asked]


def test_messages_go_to_their_answer_and_old_ones_nowhere() -> None:
    session = Session(turns=[Turn("Hi", said={"base": Said("base", 7)})])
    said = session.turns[0].said["base"]
    assert session.take(Started(7, "base", (1,), "x", GREEDY, ("no template",))) is said
    session.take(Piece(7, "He", (1,)))
    session.take(Piece(7, "llo", (2,)))
    assert said.text == "Hello" and not said.ended
    session.take(Done(7, an_answer("base", "Hello", on=False)))
    assert said.ended
    assert session.take(Piece(7, "late", (3,))) is None and said.text == "Hello"
    assert session.take(Failure(9, "gone")) is None


def test_what_a_model_says_is_shown_never_obeyed() -> None:
    session = Session(turns=[Turn("\x1b[2J", said={"base": Said("base", 1, "[red]\x1b[31m\u202ex\ny")})])
    assert [block.text for block in blocks(session, "base")] == ["› ␛[2J", "[red]␛[31m‹202E›x\ny▌", ""]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("the cat sees", ["the cat", "sees"]),
        ("abcdefghijkl", ["abcdefgh", "ijkl"]),
        ("a\n\nb", ["a", "", "b"]),
        ("漢字漢字漢", ["漢字漢字", "漢"]),
        ("", [""]),
    ],
)
def test_wrapping_counts_cells(text: str, lines: list[str]) -> None:
    assert wrap(text, 8) == lines


async def test_the_embedded_model_answers_and_proves_itself(tmp_path: Path, make_app) -> None:
    app = make_app(start="chat")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.voices and app.panel.voices.loaded, seconds=90)
        assert app.panel.voices.names == ["base"]
        await pilot.press(*"Say: The cat sees the dog.", "enter")
        assert app.query_one(Prompt).text == ""
        said = app.panel.session.turns[0].said
        await until(pilot, lambda: said.get("base") and said["base"].ended, seconds=60)
        assert said["base"].text == "The cat sees the dog."
        assert "no adapter · logits" in app.query_one(Transcript)._heading()[0]
        # Killed in mid-conversation: what was said stays, the next prompt starts a fresh worker.
        os.kill(app.panel.voices.pids[0], signal.SIGKILL)
        await pilot.press(*"Say: The dog runs.", "enter")
        await until(
            pilot, lambda: len(app.panel.session.turns) == 2 or app.query_one(Prompt).text, seconds=60
        )
        assert app.panel.session.turns[0].said["base"].text == "The cat sees the dog."
        await until(pilot, lambda: app.panel._idle, seconds=90)
        if app.query_one(Prompt).text:
            await pilot.press("enter")
        elif app.panel.session.turns[1].said["base"].failure:
            await pilot.press("escape", "r")
        turn = app.panel.session.turns[1]
        await until(pilot, lambda: turn.said.get("base") and turn.said["base"].answer, seconds=90)
        app.query_one(Transcript).focus()
        await pilot.press("w")
        saved = json.loads((tmp_path / "conversations.jsonl").read_text())
        assert saved["messages"][1] == {"role": "assistant", "content": "The cat sees the dog."}


async def test_a_model_that_cannot_be_found_is_said_and_the_prompt_stays(make_app) -> None:
    app = make_app(start="chat")
    app.deck.change({"model.source": "nobody/nothing"})
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.problem)
        assert "nobody/nothing" in app.query_one("#status", Bar).text()
        await pilot.press(*"Hello", "enter")
        assert app.query_one(Prompt).text == "Hello"
        assert "nobody/nothing" in toasts(app)[-1]


async def test_in_the_field_hints_are_those_that_work_there(make_app) -> None:
    app = make_app(start="chat")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.panel and app.panel.voices)
        await until(pilot, lambda: "ask" in app.query_one(Footer).text())
        assert "retry" not in app.query_one(Footer).text()
        await pilot.press("q", "question_mark", "1")
        assert app.query_one(Prompt).text == "q?1"


class _Silent:
    """Voices whose model is never loaded: for pictures of states."""

    names = ("base", "tuned")
    loaded = None
    busy = False

    def __init__(self, subject) -> None:
        self.subject = subject

    def start(self) -> None: ...
    def poll(self) -> list: ...
    def close(self) -> None: ...
    def cancel(self) -> None: ...


@pytest.mark.parametrize("state", ["loading", "streaming", "side-by-side", "failed"])
def test_pictures(snap_compare, make_app, size, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.chat.panel.Voices", _Silent)
    monkeypatch.setattr(_Silent, "poll", lambda self: [], raising=False)
    app = make_app(start="chat")

    async def before(pilot) -> None:
        await until(pilot, lambda: app.panel and len(app.query(Transcript)) == 2)
        await until(pilot, lambda: "GPU 0" in app.query("Header").first().text())
        if state != "loading":
            app.panel.session = a_session(streaming=state == "streaming")
        if state == "failed":
            lost = "the chat worker ended (killed, signal 9); ask again to start a fresh one"
            app.panel.session.turns.append(
                Turn("Say: It rains.", said={"tuned": Said("tuned", 3, "Rai", failure=lost)})
            )
        app.panel._show()
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
