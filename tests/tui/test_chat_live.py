"""The Chat panel with the real worker: the embedded model, and runs that hold adapters of a tiny one."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from core.chat.held_prompts import HeldPrompt, held_prompts
from core.errors import MissingError
from core.recipe import Recipe, recipe_text, with_changes
from core.workspace import Workspace
from tests.integration.tiny import make_adapter, make_model
from tests.tui.runs import make_run
from tests.tui.test_shell import toasts, until
from tui.chat.inspect import InspectScreen
from tui.chat.prompt import Prompt
from tui.chat.stage import Stage
from tui.chat.transcript import Transcript
from tui.messages import OpenRun
from tui.widgets.bars import Bar, Footer

CAT = "Say: The cat sees the dog."


async def test_the_embedded_model_answers_proves_itself_and_comes_back_after_a_kill(make_app) -> None:
    app = make_app(start="chat")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.voices and app.panel.voices.loaded, seconds=90)
        panel, talk, field = app.panel, app.panel.talk, app.query_one("#prompt", Prompt)
        assert panel.voices.names == ["base"] and not app.query_one("#tabs").display
        await pilot.press(*CAT, "enter")
        assert field.text == ""
        await until(pilot, lambda: talk.branch[0].answers, seconds=60)
        assert talk.branch[0].answers == {"base": "The cat sees the dog."}
        assert "no adapter · logits" in app.query_one(Transcript).heading
        # Killed with a prompt in hand: it stays with the reason, and r asks it again in the same place.
        os.kill(panel.voices.pids[0], signal.SIGSTOP)
        await pilot.press(*"Say: The dog runs.", "enter", *"next")
        await until(pilot, lambda: talk.at(2, "base"))
        os.kill(panel.voices.pids[0], signal.SIGKILL)
        await until(pilot, lambda: talk.at(2, "base").failure, seconds=60)
        assert "out of memory or killed" in talk.at(2, "base").failure
        assert [turn.prompt for turn in talk.branch] == [CAT, "Say: The dog runs."] and field.text == "next"
        await pilot.press("escape", "r")
        await until(pilot, lambda: not talk.is_open(panel.voices), seconds=90)
        assert talk.branch[1].answers == {"base": "The dog runs."} and talk.dialogue.branches(2) == (2,)
        # Killed between two prompts: what is being written stays, and asking it starts a fresh process unasked.
        killed = panel.voices.pids[0]
        os.kill(killed, signal.SIGKILL)
        os.waitid(os.P_PID, killed, os.WEXITED | os.WNOWAIT)
        await pilot.press("escape", *" one", "enter")
        await until(pilot, lambda: len(talk.branch) == 3)
        assert talk.branch[2].prompt == "next one" and talk.at(3, "base") is None
        assert talk.is_open(panel.voices) and panel.voices.pids[0] != killed


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two runs on one tiny base: `one` is done, `two` still trains and has a checkpoint."""
    root = tmp_path_factory.mktemp("trained")
    model = make_model(root / "tiny")
    first, second = (make_adapter(model, root / f"adapter{n}", seed=n) for n in (1, 2))
    for name, state in (("one", "done"), ("two", "running")):
        folder = make_run(root, name, state=state)
        recipe = with_changes(Recipe(), {"model.source": str(model), "model.dtype": "float32"})
        (folder / "recipe.toml").write_text(recipe_text(recipe))
    shutil.copytree(first, root / "runs" / "one" / "adapter")
    save_checkpoint(root / "runs" / "two", 40, second)
    return root


def save_checkpoint(run: Path, step: int, adapter: Path) -> None:
    folder = run / "checkpoints" / f"checkpoint-{step}"
    shutil.copytree(adapter, folder)
    (folder / "tunedeck.json").write_text(json.dumps({"step": step, "bytes": 10}))


async def test_base_tuned_and_another_run_in_columns_then_inspected_and_a_newer_checkpoint(
    trained: Path, tmp_path: Path, make_app
) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    app = make_app(start="chat")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.is_mounted)
        panel = app.panel
        panel.post_message(OpenRun(tmp_path / "runs" / "two"))
        await until(pilot, lambda: panel.voices and panel.voices.subject.run == tmp_path / "runs" / "two")
        await until(pilot, lambda: panel.voices.loaded, seconds=90)
        assert "this is checkpoint-40" in app.query_one("#status", Bar).text()
        panel.sampling = type(panel.sampling)(temperature=0.0, max_tokens=8)
        await pilot.press(*"cat", "enter")
        await until(pilot, lambda: len(panel.talk.branch[0].answers) == 2, seconds=60)
        # Another run joins the same process and answers the conversation so far.
        await pilot.press("escape", "a")
        await until(pilot, lambda: app.screen.query("ColumnsScreen Input") and app.focused)
        await pilot.press(*"one", "enter")
        await until(pilot, lambda: len(panel.talk.branch[0].answers) == 3, seconds=60)
        assert panel.voices.names == ["base", "tuned", "one"] and len(panel.voices.pids) == 1
        assert app.query_one(Stage).front == "one"
        digests = {who: panel.talk.at(1, who).answer.proof.first_step for who in panel.voices.names}
        assert len(set(digests.values())) == 3
        # A look inside: the ids of the prompt, and as many chances as tokens.
        await until(pilot, lambda: not isinstance(app.screen, InspectScreen))
        await pilot.press("i")
        await until(pilot, lambda: isinstance(app.screen, InspectScreen), seconds=60)
        found, answer = app.screen.found, panel.talk.at(1, "one").answer
        assert tuple(id for id, _ in found.prompt) == answer.prompt_ids
        assert [token.id for token in found.answer] == list(answer.ids)
        assert set(found.special_ids) & set(answer.prompt_ids)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, InspectScreen))
        # The run goes on and saves; u brings that in place of the older checkpoint, in the same process.
        await pilot.press("u")
        await until(pilot, lambda: "newest" in toasts(app)[-1])
        save_checkpoint(tmp_path / "runs" / "two", 80, trained / "adapter1")
        await pilot.press("u")
        await until(pilot, lambda: panel.voices.names == ["base", "one", "checkpoint-80"], seconds=60)
        await until(pilot, lambda: "checkpoint-80" in panel.talk.branch[0].answers, seconds=60)
        assert len(panel.voices.pids) == 1
        # A column that leaves takes its answers out of sight, and brings them back with it.
        panel._column_chosen(("drop", "one"))
        await until(pilot, lambda: "one" not in panel.voices.names)
        assert "one" not in panel.talk.branch[0].answers
        panel._column_chosen(("add", "one"))
        await until(pilot, lambda: "one" in panel.talk.branch[0].answers, seconds=60)
        assert panel.talk.at(1, "one").answer is answer
        await until(pilot, lambda: len(app.query(Transcript)) == 3)
        # Taken away again, one by one; the last one stays.
        for name in ("one", "checkpoint-80"):
            panel._column_chosen(("drop", name))
            await until(pilot, lambda name=name: name not in panel.voices.names)
        panel._column_chosen(("drop", "base"))
        await until(pilot, lambda: "the last column stays" in toasts(app)[-1])


async def test_a_column_that_cannot_be_had_leaves_again_and_says_why(
    trained: Path, tmp_path: Path, make_app
) -> None:
    shutil.copytree(trained / "runs" / "one", tmp_path / "runs" / "one")
    torn = tmp_path / "torn"
    shutil.copytree(trained / "adapter2", torn)
    weights = torn / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    app = make_app(start="chat")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.voices and app.panel.voices.loaded, seconds=90)
        for named, why in (("nothing-here", "nothing-here"), ("torn", "damaged")):
            app.panel._column_chosen(("add", named))
            await until(pilot, lambda why=why: any(why in each for each in toasts(app)), seconds=60)
            await until(pilot, lambda: app.panel.voices.names == ["base", "tuned"])
            await until(pilot, lambda: len(app.query(Transcript)) == 2)


async def test_a_model_that_cannot_be_found_is_said_and_the_prompt_stays(make_app) -> None:
    app = make_app(start="chat")
    app.deck.change({"model.source": "nobody/nothing"})
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.panel and app.panel.problem)
        assert "nobody/nothing" in app.query_one("#status", Bar).text()
        await pilot.press(*"Hello", "enter")
        assert app.query_one("#prompt", Prompt).text == "Hello"
        assert "nobody/nothing" in toasts(app)[-1]


async def test_in_the_field_hints_are_those_that_work_there(make_app) -> None:
    app = make_app(start="chat")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.panel and app.panel.voices)
        await until(pilot, lambda: "ask" in app.query_one(Footer).text())
        assert "again" not in app.query_one(Footer).text()
        await pilot.press("q", "question_mark", "1")
        assert app.query_one("#prompt", Prompt).text == "q?1"


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
