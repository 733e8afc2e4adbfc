"""The Chat panel with the real worker on the embedded model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from core.chat.held_prompts import HeldPrompt, held_prompts
from core.chat.messages import Answer, Done, Failure, Inspection, Piece, Proof, Started, TokenChance
from core.chat.sampling import Decoding
from core.errors import MissingError
from core.recipe import Recipe, recipe_text, with_changes
from core.workspace import Workspace, state_folder
from tests.tui.runs import make_run
from tests.tui.test_shell import settled, toasts, until
from tui.chat.inspect import InspectScreen, surprise
from tui.chat.pick import PickPrompt
from tui.chat.prompt import Prompt
from tui.chat.session import Said, Session, Turn
from tui.chat.transcript import Transcript, blocks
from tui.clipboard import copy, osc52, through_tmux
from tui.widgets.bars import Bar, Footer
from tui.widgets.rows import RowList
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
    monkeypatch.setattr("tui.chat.panel.Chorus", _Silent)
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


def test_the_held_out_prompts_of_a_run_come_with_their_answers(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": "Say: a"}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": "no answer"}]},
        {"prompt": "2+2=", "completion": "4"},
    ]
    (tmp_path / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = make_run(tmp_path)
    recipe = with_changes(Recipe(), {"data.eval_source": "held.jsonl"})
    (folder / "recipe.toml").write_text(recipe_text(recipe))
    assert held_prompts(folder, Workspace(tmp_path)) == [
        HeldPrompt(0, "Say: a", "a"),
        HeldPrompt(2, "2+2=", "4"),
    ]


def test_a_run_without_held_out_rows_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (tmp_path / "yoda.jsonl").write_text('{"text": "a"}\n')
    with pytest.raises(MissingError, match="held no rows out"):
        held_prompts(folder, Workspace(tmp_path))


PROMPTS = [HeldPrompt(n, f"Say: The cat sees {n} dogs.", f"{n} dogs, the cat sees.") for n in range(40)]


def test_the_clipboard_sequence_and_its_way_through_tmux() -> None:
    assert osc52("é") == "\x1b]52;c;w6k=\a"
    assert through_tmux("\x1b]52;c;w6k=\a") == "\x1bPtmux;\x1b\x1b]52;c;w6k=\a\x1b\\"


async def test_copying_also_writes_a_file(make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test():
        said = copy(app, "The dog, the cat sees.")
    assert str(state_folder() / "copied.txt") in said
    assert (state_folder() / "copied.txt").read_text() == "The dog, the cat sees."


async def test_filtering_and_choosing_a_prompt(make_app) -> None:
    app = make_app(start="runs")
    chosen: list = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(PickPrompt(PROMPTS), chosen.append)
        await pilot.pause()
        await pilot.press(*"cat 1", "down", "enter")
        await until(pilot, lambda: chosen)
    assert chosen == [PROMPTS[10]]


def a_chance(text: str, probability: float, rank: int) -> TokenChance:
    return TokenChance(7, text, probability, rank, ((7, text, probability), (8, " a", 0.02)))


INSIDE = Inspection(
    1,
    ((1, "<|im_start|>"), (12, "user"), (3, "\n")),
    (a_chance("The", 0.97, 0), a_chance(" dog", 0.31, 1), a_chance("\u202e", 0.004, 12)),
)


@pytest.mark.parametrize(("number", "mark"), [(0, "·"), (1, "▲"), (2, "!!")])
def test_surprise_has_a_mark(number: int, mark: str) -> None:
    assert surprise(INSIDE.answer[number])[0] == mark


@pytest.mark.parametrize("screen", ["held-out", "inside"])
def test_pictures_of_screens_over_it(snap_compare, make_app, size, screen: str) -> None:
    app = make_app(start="runs")

    async def before(pilot) -> None:
        await until(pilot, lambda: "GPU 0" in app.query("Header").first().text() and app.panel)
        await settled(pilot)
        await app.push_screen(PickPrompt(PROMPTS) if screen == "held-out" else InspectScreen("tuned", INSIDE))
        await until(pilot, lambda: app.screen.query_one(RowList)._drawn)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)
