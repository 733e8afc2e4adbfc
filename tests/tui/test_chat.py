"""Pictures of the Chat panel in every state, with voices that say nothing by themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.chat.held_prompts import HeldPrompt
from core.chat.messages import Failure, Inspection, Proof, Started, TokenChance
from core.chat.sampling import Sampling
from core.chat.subject import Subject
from core.runs.state import RunState
from core.workspace import state_folder
from tests.tui.chats import GREEDY, INSIDE, LOADED, NEED, Silent, say, voices
from tests.tui.test_shell import settled, until
from tui.chat.columns import ColumnsScreen
from tui.chat.files import LoadScreen, SaveScreen
from tui.chat.inspect import AnswerTokens, InspectScreen
from tui.chat.pick import PickPrompt
from tui.chat.settings import SamplingScreen
from tui.chat.stage import Stage
from tui.chat.talk import Talk
from tui.chat.transcript import Transcript
from tui.chat.write import WriteScreen
from tui.clipboard import copy, osc52, through_tmux
from tui.widgets.rows import RowList
from tui.widgets.text import wrap

CAT = "Say: The cat sees the dog."
DIFFERS = (
    "the prompt is not what the training put before an answer: after '<|im_start|>assistant' "
    "the training has '\\n<think>\\n\\n</think>', the prompt has '\\n'"
)
PROOF = Proof("default", True, "47bd6b951234")
PLAIN = "no chat template: the model completes plain text"
SIZES = [(80, 24), (120, 40), (200, 50)]
PROMPTS = [HeldPrompt(n, f"Say: The cat sees {n} dogs.", f"{n} dogs, the cat sees.") for n in range(40)]
ANSWER = "# Steps\n\n1. **Chop** the `onion`\n2. Look at [this](http://example.org)\n\n<b>done</b>"


def side_by_side(talk: Talk, both: Silent) -> None:
    talk.ask(CAT, expected="The dog, the cat sees.")
    say(talk, both)


def streaming(talk: Talk, both: Silent) -> None:
    talk.ask(CAT)
    say(talk, both, streaming=("tuned",))


def branches(talk: Talk, both: Silent) -> None:
    talk.set_system("Answer as Yoda.", on=True)
    side_by_side(talk, both)
    talk.ask("And the bird?")
    say(talk, both)
    talk.branch_off(talk.branch[0], "Say: The dog sleeps.")
    say(talk, both)
    say(talk, both)
    talk.point(-1)


def failed(talk: Talk, both: Silent) -> None:
    side_by_side(talk, both)
    talk.ask("Say: It rains.")
    say(talk, both, streaming=("tuned",))
    lost = "the chat process ended (out of memory or killed from outside); the conversation is kept, ask again to start it anew"
    talk.take(Failure(talk.said[2, "tuned"].number, lost, fatal=True))


def corrected(talk: Talk, both: Silent) -> None:
    side_by_side(talk, both)
    talk.correct(talk.branch[0], "tuned", "The dog, the cat sees. Hmm.")


def in_markdown(talk: Talk, both: Silent) -> None:
    side_by_side(talk, both)
    talk.correct(talk.branch[0], "base", ANSWER)
    talk.correct(talk.branch[0], "tuned", ANSWER)


def warned(talk: Talk, both: Silent) -> None:
    side_by_side(talk, both)
    said = talk.said[1, "tuned"]
    said.started = Started(
        1, "tuned", (1,), "x", GREEDY, ("the prompt is not what the training put before an answer",)
    )


STATES = {
    "loading": lambda talk, both: None,
    "ready": lambda talk, both: None,
    "base-alone": side_by_side,
    "streaming": streaming,
    "side-by-side": side_by_side,
    "three-columns": side_by_side,
    "branches": branches,
    "corrected": corrected,
    "markdown": in_markdown,
    "warned": warned,
    "failed": failed,
    "no-model": lambda talk, both: None,
    "no-room": lambda talk, both: None,
    "no-template": lambda talk, both: None,
}  # fmt: skip
NAMES = {
    "base-alone": ("base",),
    "no-template": ("base",),
    "three-columns": ("base", "tuned", "checkpoint-80"),
}


@pytest.fixture
def open_chat(make_app, monkeypatch: pytest.MonkeyPatch):
    """`open_chat(state)`: the app with that conversation, and the coroutine that brings it there."""

    def opened(state: str):
        silent = voices(*NAMES.get(state, ()))
        if state == "no-room":
            silent.needed = replace(NEED, free_bytes=3 << 30)
        if state == "no-template":
            silent.as_loaded = replace(LOADED, has_template=False, notes=(PLAIN,))
        monkeypatch.setattr("tui.chat.cast.Chorus", lambda subject: silent)
        app = make_app(start="chat")
        if state == "no-model":
            app.deck.change({"model.source": "nobody/nothing"})

        async def arrive(pilot) -> None:
            await until(pilot, lambda: app.panel and (app.panel.voices or app.panel.problem))
            panel = app.panel
            if panel.voices is not None:
                await until(pilot, lambda: panel.need is not None)
                await until(pilot, lambda: len(app.query(Transcript)) == len(panel.voices.names))
                panel.voices.is_loaded = state not in ("loading", "no-room")
                STATES[state](panel.talk, panel.voices)
                panel.stage.markdown = state == "markdown"
                panel.draw()
            await settled(pilot)

        return app, arrive

    return opened


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("size", SIZES[:2], ids=["80x24", "120x40"])
def test_pictures(snap_compare, open_chat, size, state: str) -> None:
    app, arrive = open_chat(state)
    assert snap_compare(app, terminal_size=size, run_before=arrive)


def test_wide_picture(snap_compare, open_chat) -> None:
    app, arrive = open_chat("three-columns")
    assert snap_compare(app, terminal_size=(200, 50), run_before=arrive)


RUNS = [
    RunState("20260101-120000-yoda", Path("a"), "done", step=264, loss=0.0131, model="demo", method="lora"),
    RunState("20260102-090000-dora", Path("b"), "running", step=40, loss=0.9, model="demo", method="dora"),
]
SCREENS = {
    "held-out": lambda folder: PickPrompt(PROMPTS),
    "inside": lambda folder: InspectScreen(
        "tuned", INSIDE, Started(1, "tuned", (1,), "a", GREEDY), proof=PROOF
    ),
    "inside-warned": lambda folder: InspectScreen(
        "tuned",
        INSIDE,
        Started(1, "tuned", (1,), "a", GREEDY, (DIFFERS,)),
    ),
    "sampling": lambda folder: SamplingScreen(Sampling(temperature=0.7, seed=3), GREEDY),
    "columns": lambda folder: ColumnsScreen(["base", "tuned"], RUNS),
    "save": lambda folder: SaveScreen("tuned", "conversations.jsonl"),
    "load": lambda folder: LoadScreen(folder, "conversations.jsonl"),
    "write": lambda folder: WriteScreen("correct the answer of tuned", "The dog, the cat sees."),
}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("size", SIZES[:2], ids=["80x24", "120x40"])
def test_pictures_of_screens_over_it(snap_compare, open_chat, tmp_path: Path, size, screen: str) -> None:
    app, arrive = open_chat("side-by-side")
    row = '{"messages": [{"role": "user", "content": "Say: It rains."}, {"role": "assistant", "content": "Rain, it does."}]}\n'
    (tmp_path / "conversations.jsonl").write_text(row * 3)

    async def before(pilot) -> None:
        await arrive(pilot)
        await app.push_screen(SCREENS[screen](tmp_path))
        await until(pilot, lambda: all(rows._drawn for rows in app.screen.query(RowList)))
        if screen == "load":
            await until(pilot, lambda: app.screen.query_one(RowList).count == 3)
            await until(pilot, lambda: app.screen.query_one(RowList).has_focus)
        if screen.startswith("inside"):
            await until(pilot, lambda: "answered 0" in app.screen.query_one("#token").text())
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


# What the keys do


async def test_tabs_at_80_and_columns_at_120(open_chat) -> None:
    app, arrive = open_chat("three-columns")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        assert [column.who for column in app.query(Transcript) if column.display] == ["checkpoint-80"]
        await pilot.press("tab")
        assert app.query_one(Stage).front == "base"
        assert [column.who for column in app.query(Transcript) if column.display] == ["base"]
        await pilot.click("#tabs", offset=(9, 0))
        assert app.query_one(Stage).front == "tuned"
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: sum(column.display for column in app.query(Transcript)) == 3)
        assert not app.query_one("#tabs").display


async def test_the_heading_is_that_of_the_focused_column_at_once(open_chat) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(120, 40)) as pilot:
        await arrive(pilot)
        first, second = app.query(Transcript)
        for focused, other in ((first, second), (second, first)):
            focused.focus()
            await pilot.pause()
            assert focused._drawn[0].pieces[0][1] == "current"
            assert other._drawn[0].pieces[0][1] == "heading"


async def test_what_does_not_fit_is_not_loaded(open_chat, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr(Silent, "start", lambda self: started.append(True))
    app, arrive = open_chat("no-room")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        await until(pilot, lambda: "does not fit" in app.panel.problem)
        assert not started, "only a question tries it again"
        await pilot.press(*"Hi", "enter")
        await until(pilot, lambda: started)


async def test_a_model_that_is_chosen_again_goes_on_where_it_was(open_chat) -> None:
    app, arrive = open_chat("streaming")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        panel, first = app.panel, app.panel.talk
        panel._choose(lambda: Subject("another", Path("model")))
        await until(pilot, lambda: panel.talk is not first and panel.need is not None)
        assert panel.talk.branch == ()
        panel._choose(lambda: Subject(panel.deck.recipe.model.source, Path("model")))
        await until(pilot, lambda: panel.talk is first and panel.need is not None)
        assert first.branch[0].answers == {"base": "The cat sees the dog."}
        assert first.at(1, "tuned").failure == "another model was chosen; r asks again"


async def test_one_voice_has_neither_tabs_nor_a_second_name(open_chat) -> None:
    app, arrive = open_chat("base-alone")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        assert not app.query_one("#tabs").display


async def test_editing_an_earlier_turn_branches_and_arrows_bring_the_first_back(open_chat) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        talk, both = app.panel.talk, app.panel.voices
        await pilot.press("escape", "e")
        await until(pilot, lambda: isinstance(app.screen, WriteScreen) and app.focused)
        await pilot.press(*" Now.", "enter")
        await until(pilot, lambda: not isinstance(app.screen, WriteScreen))
        await until(pilot, lambda: len(both.asked) == 4)
        assert talk.branch[0].prompt == f"{CAT} Now." and talk.dialogue.branches(1) == (1, 2)
        say(talk, both)
        await pilot.press("left")
        assert talk.branch[0].prompt == CAT
        await pilot.press("r")
        assert talk.dialogue.branches(1) == (1, 2, 3) and talk.branch[0].prompt == CAT


async def test_correcting_and_saving_by_keys(open_chat, tmp_path: Path) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        await pilot.press("escape", "c")
        await until(pilot, lambda: isinstance(app.screen, WriteScreen) and app.focused)
        await pilot.press("backspace", "!", "enter")
        await until(pilot, lambda: not isinstance(app.screen, WriteScreen))
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, SaveScreen) and app.focused)
        await pilot.press("enter")
        await until(pilot, (tmp_path / "conversations.jsonl").exists)
        assert '"The dog, the cat sees!"}]}' in (tmp_path / "conversations.jsonl").read_text()


async def test_loading_by_keys_takes_the_place_of_the_conversation(open_chat, tmp_path: Path) -> None:
    (tmp_path / "conversations.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "It rains."}]}\n'
    )
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        await pilot.press("escape", "o")
        await until(
            pilot, lambda: isinstance(app.screen, LoadScreen) and app.screen.query_one(RowList).has_focus
        )
        await pilot.press("enter")
        await until(pilot, lambda: [turn.prompt for turn in app.panel.talk.branch] == ["It rains."])
        await until(pilot, lambda: len(app.panel.voices.asked) == 4)


async def test_the_system_prompt_is_written_and_switched(open_chat) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await arrive(pilot)
        await pilot.press("escape", "enter")
        assert app.query_one("#prompt").has_focus, "Enter goes back into the field"
        await pilot.press("escape", "x")
        assert app.panel.why_not("system_switch") == "there is no system prompt; s writes one"
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, WriteScreen) and app.focused)
        await pilot.press(*"Be brief.", "enter")
        await until(pilot, lambda: app.panel.talk.dialogue.system == "Be brief.")
        await pilot.press("x")
        assert not app.panel.talk.dialogue.with_system


async def test_sampling_is_changed_in_place_and_given_back(open_chat) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        await pilot.press("escape", "t")
        await until(pilot, lambda: isinstance(app.screen, SamplingScreen) and app.focused)
        screen = app.screen
        await pilot.press("enter")  # greedy off
        assert screen.sampling == Sampling(temperature=1.0)
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: app.focused is screen.query_one("Input"))
        await pilot.press(*"7", "enter")
        assert "outside 0 to 1" in screen.query_one("#told").text(), "the mistake is told and the field stays"
        await pilot.press("backspace", *"0.9", "enter")
        await until(pilot, lambda: screen.sampling == Sampling(temperature=1.0, top_p=0.9))
        await until(pilot, lambda: app.focused is screen.query_one(RowList))
        await pilot.press("up", "d", "escape")
        await until(pilot, lambda: app.panel.sampling == Sampling(top_p=0.9))


async def test_the_inside_shows_ids_exact_text_and_alternatives(open_chat) -> None:
    app, arrive = open_chat("side-by-side")
    async with app.run_test(size=(80, 24)) as pilot:
        await arrive(pilot)
        await app.push_screen(
            InspectScreen("tuned", INSIDE, Started(1, "tuned", (1,), "<|im_start|>user", GREEDY))
        )
        screen = app.screen
        await until(pilot, lambda: "answered 0: id 7 'The' 97.0%" in screen.query_one("#token").text())
        await pilot.press("right")
        await until(pilot, lambda: "' dog' 31.0%, 1 were likelier" in screen.query_one("#token").text())
        assert "instead: ' a' 2.0%" in screen.query_one("#token").text(1)
        await pilot.press("i")
        assert screen.query_one(AnswerTokens).ids
        await pilot.press("x")
        assert not screen.query_one(AnswerTokens).display
        assert screen.query_one("TextView").text == "<|im_start|>user"


async def test_a_token_that_is_part_of_a_character_shows_its_bytes(make_app) -> None:
    smile = TokenChance(7, b"\xf0\x9f", 0.9, 0, ((7, b"\xf0\x9f", 0.9), (8, b"\x98", 0.1)))
    app = make_app(start="runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(InspectScreen("tuned", Inspection(1, ((3, b"\xe2"),), (smile,))))
        screen = app.screen
        await until(pilot, lambda: "answered 0: id 7 '‹F0›‹9F›' 90.0%" in screen.query_one("#token").text())
        assert "instead: '‹98›' 10.0%" in screen.query_one("#token").text(1)
        shown = "\n".join(
            "".join(segment.text for segment in screen.query_one(AnswerTokens).render_line(y))
            for y in range(3)
        )
        assert "‹E2›‹F0›‹9F›" in shown


async def test_filtering_and_choosing_a_prompt(make_app) -> None:
    app = make_app(start="runs")
    chosen: list = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(PickPrompt(PROMPTS), chosen.append)
        await until(pilot, lambda: isinstance(app.screen, PickPrompt) and app.focused)
        await pilot.press(*"cat 1", "down", "enter")
        await until(pilot, lambda: chosen)
    assert chosen == [PROMPTS[10]]


@pytest.mark.parametrize(
    ("keys", "chosen"),
    [
        (("enter",), ("drop", "base")),
        ((*"dora", "enter"), ("add", "20260102-090000-dora")),
        ((*"Qwen/Qwen3-8B", "enter"), ("add", "Qwen/Qwen3-8B")),
    ],
)
async def test_choosing_a_column(make_app, keys, chosen) -> None:
    app = make_app(start="runs")
    taken: list = []
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(ColumnsScreen(["base", "tuned"], RUNS), taken.append)
        await until(pilot, lambda: isinstance(app.screen, ColumnsScreen) and app.focused)
        await pilot.press(*keys)
        await until(pilot, lambda: taken)
    assert taken == [chosen]


def test_the_clipboard_sequence_and_its_way_through_tmux() -> None:
    assert osc52("é") == "\x1b]52;c;w6k=\a"
    assert through_tmux("\x1b]52;c;w6k=\a") == "\x1bPtmux;\x1b\x1b]52;c;w6k=\a\x1b\\"


async def test_copying_also_writes_a_file(make_app) -> None:
    app = make_app(start="runs")
    async with app.run_test():
        said = copy(app, "The dog, the cat sees.")
    assert str(state_folder() / "copied.txt") in said
    assert (state_folder() / "copied.txt").read_text() == "The dog, the cat sees."


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
