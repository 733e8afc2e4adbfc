"""The checklist before a run, the queue, and what follows a lack of memory."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import pytest

from core.data.check import check
from core.demo import paths
from core.errors import UsageError
from core.recipe import Recipe, parse_recipe, read_recipe
from core.runs.events import read_events
from core.runs.find import find_runs, living_runs
from core.runs.folder import Run
from core.runs.launch import launch
from core.runs.out_of_memory import levers_of, relaunch
from core.runs.preflight import Preflight, preflight
from core.runs.queue import enqueue, take_out, waiting
from core.runs.shelf import annotate, bring_back, put_away
from core.runs.state import read_state
from core.runs.surroundings import Check, checkpoint_bytes
from core.workspace import Workspace
from tests.integration.runs.conftest import TINY, MakeRun, wait_for


@pytest.fixture
def chats(workspace: Workspace) -> Workspace:
    workspace.root.mkdir()
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Say {n}."},
                {"role": "assistant", "content": f"I say {n}."},
            ]
        }
        for n in range(30)
    ]
    (workspace.root / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return workspace


def recipe_of(tiny_model: Path, *changes: str) -> Recipe:
    return parse_recipe(TINY, [f'model.source="{tiny_model}"', "data.source=chat.jsonl", *changes])


def states(listed: Preflight) -> dict[str, str]:
    return {check.check: check.state for check in listed.checks}


def test_a_good_recipe_passes_with_evidence(chats: Workspace, tiny_model: Path, tmp_path: Path) -> None:
    listed = preflight(chats, recipe_of(tiny_model), tmp_path / "rows")
    assert states(listed) == dict.fromkeys(
        (
            "recipe",
            "model",
            "data",
            "pad token",
            "stop token",
            "trained weights",
            "memory",
            "output",
            "disk",
            "device",
        ),
        "ok",
    )
    evidence = {check.check: check.evidence for check in listed.checks}
    assert evidence["recipe"] == "lora, effective batch 4, learning rate 0.001, float32"
    assert "of 30 rows" in evidence["data"] and (tmp_path / "rows" / "report.json").exists()


def test_what_blocks_and_what_warns(
    chats: Workspace, tiny_model: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    wrong = preflight(chats, recipe_of(tiny_model, 'tuner.targets=["nothing"]'), tmp_path / "a")
    assert states(wrong)["trained weights"] == "fail" and wrong.exit_code == 2
    huge = preflight(chats, recipe_of(tiny_model, "training.micro_batch=100000000"), tmp_path / "b")
    assert [check.check for check in huge.blocking] == ["memory"] and huge.exit_code == 3
    gone = preflight(chats, recipe_of(tiny_model, "data.source=gone.jsonl"), tmp_path / "c")
    assert states(gone)["data"] == "fail"
    flat = recipe_of(tiny_model, "training.stop_on=['loss flatt']")
    (check,) = preflight(chats, flat, tmp_path / "x").blocking
    assert check.check == "recipe" and "no watch rule" in check.evidence
    nowhere = preflight(chats, recipe_of(tiny_model, "model.source=./nowhere"), tmp_path / "d")
    assert list(states(nowhere)) == ["recipe", "model"]
    # A run folder whose process is this very test: another run at work.
    make_run()
    busy = preflight(chats, recipe_of(tiny_model), tmp_path / "e")
    assert [check.check for check in busy.warnings] == ["device"]


def test_rows_without_an_end_token_are_warned_about(
    chats: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    short = preflight(chats, recipe_of(tiny_model, "data.max_length=12"), tmp_path / "rows")
    stop = next(check for check in short.checks if check.check == "stop token")
    assert stop.state == "warn" and "without a trained end token" in stop.evidence


def _turns(question: str, answer: str, **of_answer: object) -> dict[str, object]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer, **of_answer},
        ]
    }


def _data_check(workspace: Workspace, model: Path, rows: list[object], *changes: str) -> Check:
    (workspace.root / "chat.jsonl").write_text("\n".join(map(json.dumps, rows)))
    listed = preflight(workspace, recipe_of(model, *changes), workspace.root / "rows")
    return next(check for check in listed.checks if check.check == "data")


def test_the_data_line_says_what_a_whole_check_finds(chats: Workspace, tiny_model: Path) -> None:
    masked: list[object] = [_turns(f"Say {n}.", f"I say {n}.", weight=0) for n in range(20)]
    found = _data_check(chats, tiny_model, masked, "data.eval_fraction=0")
    assert found.state == "warn" and found.fix == "tunedeck check lists them"
    assert "1 error: flags-unused (20 rows)" in found.evidence
    (chats.root / "eval.jsonl").write_text(json.dumps(_turns("Say 3.", "No.")))
    good: list[object] = [_turns(f"Say {n}.", f"I say {n}.") for n in range(20)]
    leaked = _data_check(chats, tiny_model, good, "data.eval_source=eval.jsonl")
    assert leaked.state == "warn" and "1 error: eval-leak (1 row)" in leaked.evidence
    assert "not trained" not in leaked.evidence


def test_the_data_line_counts_every_row_that_is_not_trained(chats: Workspace, tiny_model: Path) -> None:
    bad: list[object] = [
        {},
        {"a": 1},
        "text",
        {"messages": 3},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ]
    good: list[object] = [_turns(f"Say {n}.", f"I say {n}.") for n in range(9)]
    found = _data_check(chats, tiny_model, [*good, *bad], "data.eval_fraction=0")
    assert (
        found.evidence.startswith("9 of 14 rows, ")
        and ", 5 not trained; 4 errors: unknown-columns (2 rows), " in found.evidence
    )


def test_a_large_set_is_not_checked_on_the_spot(
    chats: Workspace, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.runs.data_line.MOST_ROWS", 29)
    recipe = recipe_of(tiny_model, "training.seed=7311")
    first = preflight(chats, recipe, tmp_path / "a").checks[2]
    assert first.state == "warn" and first.evidence.endswith("; not checked: 30 rows")
    assert first.fix == "run tunedeck check"
    check(recipe, tiny_model, workspace=chats.root)
    second = preflight(chats, recipe, tmp_path / "b").checks[2]
    assert (second.check, second.state) == ("data", "ok")


def test_the_demo_asks_nothing_about_its_rows(workspace: Workspace, tmp_path: Path) -> None:
    recipe = read_recipe(paths.RECIPE)
    listed = preflight(workspace, recipe, tmp_path / "rows")
    assert states(listed)["data"] == "ok"


@pytest.mark.slow
def test_the_size_of_a_checkpoint_is_foreseen(make_run: MakeRun, tiny_model: Path) -> None:
    from core.models.architecture_of import read_model
    from core.runs.checkpoints import newest
    from tests.integration.runs.conftest import train

    run = make_run("training.max_steps=2", "tuner.rank=64")
    assert train(run).state == "done"
    foreseen = checkpoint_bytes(run.read_recipe(), read_model(tiny_model))
    whole = newest(run)
    assert whole is not None
    tokenizer = sum(file.stat().st_size for file in whole.path.glob("tokenizer*"))
    assert whole.bytes - tokenizer == pytest.approx(foreseen, rel=0.1)
    annotate(run, note="first try", tags=["b", "a", "b"])
    state = read_state(run.folder)
    assert (state.note, state.tags) == ("first try", ("a", "b"))
    workspace = Workspace(run.folder.parent.parent)
    put_away(workspace, run)
    assert find_runs(workspace) == [] and not run.folder.exists()
    assert bring_back(workspace, run.id) == run and find_runs(workspace)[0].note == "first try"


def test_a_living_run_is_not_put_away(make_run: MakeRun, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="starting"):
        put_away(workspace, make_run())


@pytest.mark.slow
def test_the_queue_starts_runs_one_after_another(chats: Workspace, tiny_model: Path) -> None:
    recipe = recipe_of(tiny_model, "training.max_steps=2")
    first = enqueue(chats, recipe, name="first")
    second = enqueue(chats, recipe, name="second")
    third = enqueue(chats, recipe, name="third")
    assert [run.id for run in waiting(chats)][-2:] == [second.id, third.id]
    assert read_state(third.folder).phase == "queued"
    assert take_out(chats, third) and read_state(third.folder).state == "stopped"
    until = time.monotonic() + 90
    at_once = 0
    while not (read_state(first.folder).ended and read_state(second.folder).ended):
        at_once = max(at_once, sum(state.phase != "queued" for state in living_runs(chats)))
        assert time.monotonic() < until
        time.sleep(0.2)
    assert at_once == 1
    assert read_state(first.folder).state == read_state(second.folder).state == "done"
    assert waiting(chats) == []
    ended, began = (read_events(run.folder)[0] for run in (first, second))
    assert began[1]["time"] > ended[-1]["time"]  # after its own "queued" event


@pytest.mark.slow
def test_a_lack_of_memory_ends_with_priced_levers(make_run: MakeRun) -> None:
    run = make_run("training.micro_batch=20000", "training.accumulation=1", rows=20000)
    old = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30, old[1]))
    try:
        launch(run)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, old)
    state = wait_for(run, lambda state: state.ended)
    assert state.state == "out_of_memory", run.log.read_text()[-2000:]
    assert "memory" in state.what and f"tunedeck again {run.id} --set" in state.fix
    error = next(event for event in read_events(run.folder)[0] if event["kind"] == "error")
    assert error["levers"][0]["saving_bytes"] > 0
    assert not any(event["kind"] == "step" for event in read_events(run.folder)[0])  # in the probe, not later


def test_a_lever_never_changes_the_effective_batch(
    make_run: MakeRun, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(
        "training.micro_batch=6", "training.accumulation=3", "launch.processes=2", "launch.strategy=ddp"
    )
    started: list[Recipe] = []

    def start(_: Workspace, recipe: Recipe, **__: object) -> Run:
        started.append(recipe)
        return run

    monkeypatch.setattr("core.runs.out_of_memory.start", start)
    found = levers_of(run)
    assert any("training.micro_batch" in lever.changes for lever in found)
    for lever in found:
        if any(key.startswith("training.") for key in lever.changes):
            relaunch(workspace, run, lever.changes)
    assert {recipe.effective_batch for recipe in started} == {36}
    with pytest.raises(UsageError, match="the effective batch would be 6, not 36"):
        relaunch(workspace, run, {"training.micro_batch": 1})
