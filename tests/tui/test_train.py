"""The Train panel on real run folders: what it says, what it asks for, and how it looks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.demo.paths import MODEL
from core.memory.figure import GIB
from core.memory.fit import Lever
from core.recipe import Recipe, differences, with_changes
from core.runs.control import kill, read_requests
from core.runs.folder import Run
from core.runs.identity import process_with
from core.runs.preflight import Preflight
from core.runs.surroundings import Check
from tests.tui.runs import append, make_run, step_event
from tests.tui.test_shell import settled, toasts, until
from tui.app import DeckApp
from tui.messages import OpenRun, StartRun
from tui.train.checklist import Checklist
from tui.train.levers import Levers
from tui.train.lower import Lower
from tui.train.panel import NO_RUN
from tui.widgets.bars import Bar, Footer, Header
from tui.widgets.curve import CurveView, Plotted, round_range
from tui.widgets.figures import Figures
from tui.widgets.log_view import LogView, Page
from tui.widgets.text_view import TextView


def headline(app) -> str:
    return "".join(bar.text() for bar in app.query("#headline").results(Bar))


def in_header(app, text: str) -> bool:
    return text in app.query_one(Header).text()


def note(app) -> str:
    return "".join(bar.text() for bar in app.query("#note").results(Bar))


def value(app, name: str) -> str:
    return next(value for known, value, _ in app.query_one(Figures).values if known == name)


async def drawn(pilot) -> None:
    """Until the run has been read and drawn."""
    app = pilot.app
    await until(
        pilot, lambda: app.panel and app.panel.state and app.panel.record.step and "step" in headline(app)
    )
    await until(pilot, lambda: app.query_one(LogView).page.count and in_header(app, "GPU 0"))
    await pilot.pause()


async def test_it_finds_the_newest_living_run_and_follows_it(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, "20260101-110000-old", state="done")
    folder = make_run(tmp_path)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert headline(app).startswith(" ● running  20260101-120000-yoda  step 132/400  33% ")
        assert value(app, "peak") == "12.4 GiB  95%" and value(app, "saved") == "step 100"
        append(folder, [step_event(133)], first_second=500)
        await until(pilot, lambda: "step 133/400" in headline(app))
        assert app.query_one(LogView).page.lines[-1] == "step 132: loss 0.6125"


async def test_a_torn_line_waits_for_its_end(tmp_path: Path, make_app) -> None:
    folder = make_run(tmp_path)
    app = make_app(start="train")
    line = json.dumps({"time": 0, **step_event(133)})
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        with (folder / "events.jsonl").open("a") as file:
            file.write(line[:40])
            file.flush()
            await pilot.pause(0.6)
            assert "step 132/400" in headline(app)
            file.write(line[40:] + "\n")
        await until(pilot, lambda: "step 133/400" in headline(app))


async def test_keys_ask_the_trainer(tmp_path: Path, make_app) -> None:
    run = Run(make_run(tmp_path))
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        assert app.query_one(Footer).text() == (
            " c checkpoint  s save and stop  t chat with it  v next view  ? help  q quit "
        )
        await pilot.press("c", "s", "n", "x", "y", "K", "n")
        assert [asked.request for asked in read_requests(run)] == ["checkpoint", "stop"]


async def test_an_ended_run_says_why_keys_do_not_work(tmp_path: Path, make_app) -> None:
    make_run(
        tmp_path, state="failed", extra=[{"kind": "error", "what": "loss is NaN", "fix": "lower the rate"}]
    )
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        assert note(app) == " loss is NaN; lower the rate"
        await pilot.press("c")
        assert toasts(app) == ["the run has ended: failed"]


async def test_a_lost_run_is_told_from_a_running_one(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, state="lost")
    app = make_app(start="train")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        assert headline(app).startswith(" ? lost ")
        assert "tunedeck resume 20260101-120000-yoda" in note(app)


async def test_the_end_is_announced(tmp_path: Path, make_app) -> None:
    folder = make_run(tmp_path)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        await until(pilot, lambda: in_header(app, "● running"))
        append(folder, [{"kind": "end", "state": "done", "step": 400, "steps": 400}], first_second=2000)
        await until(pilot, lambda: toasts(app) == ["✓ done: 20260101-120000-yoda"], seconds=60)
        assert headline(app).startswith(" ✓ done ")


HOSTILE = [
    {"kind": "step", "step": 5, "steps": 0, "loss": None, "allocated_bytes": -1},
    {
        "kind": "step",
        "step": 900,
        "steps": 400,
        "loss": 1e30,
        "eta_seconds": -4,
        "peak_allocated_bytes": 2**60,
    },
    {"kind": "warning", "rule": "x", "what": "[bold]\x1b[31m" + "w" * 500},
]


async def test_hostile_events_do_not_break_it(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, "n" * 200, extra=HOSTILE, log="\x1b[2J\x1b[31mred[/]\u202e\n")
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: note(app))
        await drawn(pilot)
        assert note(app).startswith(" ! [bold]␛[31mww")
        assert app.query_one(LogView).page.lines == ("␛[2J␛[31mred[/]‹202E›",)
        assert "> plan" in value(app, "peak")


async def test_a_run_without_events_waits(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, done=0, log="")
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "step 0/400" in headline(app))


async def test_another_run_can_be_opened(tmp_path: Path, make_app) -> None:
    make_run(tmp_path)
    other = make_run(tmp_path, "20260101-130000-other", state="done", done=400)
    app = make_app(start="train", message=OpenRun(other))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "✓ done  20260101-130000-other" in headline(app))


async def test_cursor_metric_zoom_and_log_scale(tmp_path: Path, make_app) -> None:
    make_run(tmp_path)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        curve = app.query_one(CurveView)
        await pilot.press("left")
        assert curve.plotted.title == (
            "step 132: loss 0.6125, smoothed 0.7013, eval 1.023, rate 1.3e-4, grad 0.805"
        )
        await pilot.press("left", "left")
        assert curve.plotted.title.startswith("step 130: loss ")
        await pilot.press("0", "m", "plus", "l")
        assert curve.plotted.title == "learning rate  (log)"
        assert curve.plotted.first == 66


async def test_searching_the_log(tmp_path: Path, make_app) -> None:
    make_run(tmp_path)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        log = app.query_one(LogView)
        await pilot.press("slash", *"step 4", "enter")
        await until(pilot, lambda: log.found is not None)
        assert log.found == 48
        await pilot.press("N")
        await until(pilot, lambda: log.found == 47)
        await pilot.press("g")
        await until(pilot, lambda: log.page.first == 0)
        with (tmp_path / "runs" / "20260101-120000-yoda" / "log.txt").open("a") as file:
            file.write("a new line\n")
        await until(pilot, lambda: log.page.count == 133)
        assert log.page.first == 0
        await pilot.press("G")
        await until(pilot, lambda: log.page.lines[-1] == "a new line")


async def test_the_checklist_comes_before_a_run_and_blocks_what_cannot_work(tmp_path: Path, make_app) -> None:
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: headline(app))
        app.panel.change_recipe({"data.source": "nowhere.jsonl"})
        await pilot.press("r")
        screen = app.screen
        assert "demo on nowhere.jsonl" in screen.summary
        await until(pilot, lambda: screen.listed is not None, seconds=90)
        assert [check.check for check in screen.listed.blocking] == ["data"]
        await pilot.press("y")
        assert toasts(app) == ["data blocks it"] and app.screen is screen
        await pilot.press("escape")
        assert app.screen is not screen
        await until(pilot, lambda: not list((tmp_path / "runs").glob("*")))


async def test_going_on_with_a_run_goes_through_the_checklist(
    tmp_path: Path, make_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(make_run(tmp_path, state="stopped"))
    gone_on: list[Run] = []
    monkeypatch.setattr("tui.train.starter.resume", lambda run: gone_on.append(run) or 100)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Checklist))
        screen = app.screen
        assert screen.summary.startswith(f"Go on with {run.id} from its beginning: it has no checkpoint?")
        await until(pilot, lambda: screen.listed is not None, seconds=90)
        assert [check.check for check in screen.checks][:2] == ["model", "memory"]
        assert not screen.listed.blocking and not gone_on
        await pilot.press("w")
        assert toasts(app) == ["a run that goes on does not wait in the queue"] and app.screen is screen
        await pilot.press("y")
        await until(pilot, lambda: gone_on == [run])
        assert "goes on from step 100" in toasts(app)


async def test_a_run_whose_model_is_gone_cannot_go_on(tmp_path: Path, make_app) -> None:
    run = Run(make_run(tmp_path, state="stopped", changes={"model.source": str(tmp_path / "gone")}))
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Checklist))
        screen = app.screen
        await until(pilot, lambda: screen.listed is not None, seconds=90)
        await pilot.press("y")
        assert toasts(app) == ["model blocks it"] and app.screen is screen
        await pilot.press("escape")
        assert run.read_json(run.folder / "run.json")["process"] is None


async def test_a_start_that_fails_says_why(tmp_path: Path, make_app) -> None:
    app = make_app(start="train", message=StartRun(with_changes(Recipe(), {"data.source": "nowhere.jsonl"})))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "nowhere.jsonl" in note(app), seconds=90)
        assert headline(app) == NO_RUN


CHECKS = (
    Check("recipe", "ok", "lora, effective batch 16, learning rate 0.0002, bfloat16"),
    Check("data", "warn", "3 of 700 rows are not trained: too-long", "tunedeck check lists them"),
    Check("memory", "fail", "needs 19.2 GiB, 15.7 GiB are free", "micro_batch 2 fits"),
    Check("disk", "skip", "nothing was measured"),
)


async def test_the_chat_that_holds_a_model_can_be_closed_from_the_checklist(make_app) -> None:
    closed = []
    chat = Check("chat", "warn", "a chat of tunedeck holds a model too (process 7)", "close the chat")
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        screen = Checklist("Start a run?", lambda: closed.append(True))
        await app.push_screen(screen)
        screen.finish(Preflight(CHECKS[:2]))
        await pilot.press("k")
        assert not closed and toasts(app) == ["no chat holds a model beside this run"]
        screen.finish(Preflight((*CHECKS[:2], chat)))
        await pilot.press("k")
        assert closed and screen.listed is None and screen.doing == "closing the chat"


@pytest.mark.parametrize("state", ["checking", "warned", "blocked"])
def test_pictures_of_the_checklist(snap_compare, make_app, size, state: str) -> None:
    app = make_app(start="train")

    async def before(pilot) -> None:
        await until(pilot, lambda: headline(app) and in_header(app, "GPU 0"))
        screen = Checklist(
            "Start a run? demo on yoda.jsonl\nlora, 3 epochs, batch 16, rate 2.00e-4", lambda: None
        )
        await app.push_screen(screen)
        if state == "checking":
            screen.add(CHECKS[0])
            screen.busy_with("preparing the rows: 512 of 700")
        else:
            screen.finish(Preflight(CHECKS if state == "blocked" else CHECKS[:2]))
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.41, 2.97, (0, 3)), (5.0, 5.0, (4.8, 5.2)), (0.0, 0.0, (-0.5, 0.5)), (-3.0, 7.0, (-5, 10))],
)
def test_axis_ends_are_round(low: float, high: float, expected: tuple[float, float]) -> None:
    bottom, top = round_range(low, high)
    assert bottom <= low and high <= top and bottom < top
    assert (bottom, top) == pytest.approx(expected)


async def test_one_more_point_repaints_only_a_few_cells(make_app) -> None:
    app = make_app(panels=())
    curve = CurveView()
    async with app.run_test(size=(120, 40)) as pilot:
        await app.query_one("#panels").mount(curve)
        await pilot.pause()
        points = [(float(step), 3 - step / 200) for step in range(100)]
        curve.plot(Plotted("loss", points, points, (), 400))
        await pilot.pause()
        regions = []
        curve.refresh = lambda *given, **_: regions.extend(given)  # type: ignore[method-assign]
        more = [*points, (100.0, 2.5), (102.0, 2.49)]
        curve.plot(Plotted("loss", more, more, (), 400))
        assert 0 < sum(region.area for region in regions) <= 3


async def test_the_first_lines_of_a_log_repaint_what_said_it_was_empty(make_app) -> None:
    app = make_app(panels=())
    log = LogView()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.query_one("#panels").mount(log)
        await pilot.pause()
        log._show(Page(0, 1, ()))  # counted before it was read
        regions = []
        log.refresh = lambda *given, **_: regions.extend(given)  # type: ignore[method-assign]
        log._show(Page(0, 1, ("short",)))
        assert [region.width for region in regions] == [log.size.width] * log.size.height


SAMPLES = [
    {"kind": "sample", "step": step, "prompt": "Say: I see the moon", "answer": answer}
    for step, answer in ((50, "I see the moon."), (100, "The moon, I see."))
]
WARNINGS = [
    {"kind": "warning", "rule": "spike", "what": "the loss jumped from about 0.610 to 2.400 at step 120: look at "
     "the rows around it", "rows": [17, 204]},
    {"kind": "warning", "rule": "throughput", "what": "6,100 tokens/s now, 12,300 at the start: other work on this "
     "machine, heat, or a slow disk", "rows": []},
    {"kind": "control", "request": "checkpoint", "id": "1", "done": True},
]  # fmt: skip
OUT_OF_MEMORY = {
    "kind": "error",
    "what": "CUDA out of memory: 2.1 GiB more were needed",
    "fix": "a lever below",
}
LEVERS = (
    Lever("micro-batch 4 -> 2, accumulation 4 -> 8", {"training.micro_batch": 2, "training.accumulation": 8},
          0, 1, "smaller steps use the GPU less well", 5 * GIB, 12 * GIB, "fits"),
    Lever("gradient checkpointing", {"training.gradient_checkpointing": True},
          0, 2, "about a third more compute", 1 * GIB, 16 * GIB, "does not fit"),
)  # fmt: skip
PRICED = {"plan.price_per_hour": 2.5}


async def viewed(pilot, name: str) -> None:
    """Until that view is in front."""
    lower = pilot.app.query_one(Lower)
    while lower.front != name:
        await pilot.press("v")
    assert name in pilot.app.query_one("#tabs", Bar).text()


async def test_everything_the_watch_rules_said_can_be_read(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, extra=WARNINGS)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        assert app.query_one("#tabs", Bar).text() == " log  notes 3  samples 0 "
        await viewed(pilot, "notes")
        assert app.query_one("#notes", TextView).text.splitlines() == [
            "✓ checkpoint: done",
            "  7m 00s after the start",
            "! 6,100 tokens/s now, 12,300 at the start: other work on this machine, heat, or a slow disk",
            "  throughput, 6m 57s after the start",
            "! the loss jumped from about 0.610 to 2.400 at step 120: look at the rows around it",
            "  spike, 6m 54s after the start; rows 17, 204",
        ]


async def test_sample_answers_stand_newest_first(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, extra=SAMPLES)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        await viewed(pilot, "samples")
        assert app.query_one("#samples", TextView).text.splitlines() == [
            "step 100", "› Say: I see the moon", "  The moon, I see.",
            "step 50", "› Say: I see the moon", "  I see the moon.",
        ]  # fmt: skip


async def test_cost_so_far_and_at_the_end(tmp_path: Path, make_app) -> None:
    make_run(tmp_path, changes=PRICED)
    app = make_app(start="train")
    async with app.run_test(size=(80, 24)) as pilot:
        await drawn(pilot)
        # 138 events three seconds apart, and 268 steps of three seconds to go
        await until(pilot, lambda: value(app, "cost") == "$0.29 of $0.84")
        assert value(app, "busy") == "97% 412W 61°C" and value(app, "memory") == "11.2 GiB  86%"


async def test_out_of_memory_offers_levers_and_one_key_starts_it_again(
    tmp_path: Path, make_app, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.train.panel.levers_of", lambda run: LEVERS)
    small = {"model.dtype": "float32", "data.source": "demo/yoda.jsonl", "data.max_length": 128}
    old = Run(make_run(tmp_path, state="out_of_memory", extra=[OUT_OF_MEMORY], changes=small))
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        await until(pilot, lambda: app.query_one(Levers).has_focus)
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.panel.run != old, seconds=120)
        new = app.panel.run
        try:
            before, after = old.read_recipe(), new.read_recipe()
            assert differences(before, after) == LEVERS[0].changes
            assert after.effective_batch == before.effective_batch
            assert toasts(app) == ["a run is being started"]
        finally:
            kill(new)


async def test_levers_of_a_real_run_are_priced(tmp_path: Path, make_app) -> None:
    folder = make_run(tmp_path, state="out_of_memory", extra=[OUT_OF_MEMORY])
    identity = json.loads((folder / "run.json").read_text())
    identity["model"] = {"folder": str(MODEL)}
    identity["data"] = {"examples": 700, "longest": 60, "tokens": 20_000, "trained_tokens": 8_000}
    (folder / "run.json").write_text(json.dumps(identity))
    app = make_app(start="train")
    async with app.run_test(size=(120, 40)) as pilot:
        await drawn(pilot)
        await until(pilot, lambda: app.query_one(Levers).has_focus)
        changes = [lever.changes for lever in app.query_one(Levers).levers]
        assert {"training.micro_batch": 2, "training.accumulation": 8} in changes


async def test_killing_asks_first_and_says_what_became_of_it(tmp_path: Path, make_app) -> None:
    folder = make_run(tmp_path)
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    identity = json.loads((folder / "run.json").read_text())
    identity["process"] = process_with(sleeper.pid).to_json()
    (folder / "run.json").write_text(json.dumps(identity))
    app = make_app(start="train")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await drawn(pilot)
        await pilot.press("K", "n")
        assert sleeper.poll() is None
        await pilot.press("K", "y")
        await until(pilot, lambda: sleeper.poll() is not None and "killed" in toasts(app))
        await until(pilot, lambda: app.panel.state.ended)


@pytest.mark.parametrize(
    "state",
    ["none", "running", "notes", "samples", "done", "failed", "out_of_memory", "killed", "lost", "hostile"],
)
def test_pictures(snap_compare, tmp_path: Path, make_app, monkeypatch, size, state: str) -> None:
    monkeypatch.setattr("tui.train.panel.levers_of", lambda run: LEVERS)
    app = in_state(tmp_path, make_app, state)

    async def before(pilot) -> None:
        await ready(pilot, state)

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_picture_of_a_large_screen(snap_compare, tmp_path: Path, make_app) -> None:
    app = in_state(tmp_path, make_app, "running")

    async def before(pilot) -> None:
        await ready(pilot, "running")

    assert snap_compare(app, terminal_size=(200, 50), run_before=before)


def in_state(tmp_path: Path, make_app, state: str) -> DeckApp:
    """The app on a run in that state; on none for "none"."""
    if state in ("running", "notes", "samples"):
        make_run(tmp_path, extra=[*SAMPLES, *WARNINGS], changes=PRICED)
    elif state == "done":
        make_run(tmp_path, state="done", done=400, changes=PRICED)
    elif state == "failed":
        error = {
            "kind": "error",
            "what": "the loss is not a number at step 60",
            "fix": "lower the learning rate",
        }
        make_run(tmp_path, state="failed", done=60, extra=[error])
    elif state == "out_of_memory":
        make_run(tmp_path, state="out_of_memory", done=1, extra=[OUT_OF_MEMORY])
    elif state == "killed":
        killed = {"kind": "status", "state": "killed", "note": "killed by ann@pod"}
        make_run(tmp_path, state="stopped", note="killed by ann@pod", extra=[killed])
    elif state == "lost":
        make_run(tmp_path, state="lost")
    elif state == "hostile":
        make_run(tmp_path, "n" * 200, extra=HOSTILE, log="\x1b[2J\x1b[31mred[/]\u202e\n")
    return make_app(start="train")


async def ready(pilot, state: str) -> None:
    """Until the panel shows that state."""
    app = pilot.app
    if state == "none":
        await until(pilot, lambda: headline(app) and in_header(app, "GPU 0"))
    else:
        await drawn(pilot)
    if state in ("notes", "samples"):
        await viewed(pilot, state)
    elif state in ("failed", "lost"):
        await until(pilot, lambda: app.query_one(Lower).front == "notes")
    elif state == "out_of_memory":
        await until(pilot, lambda: app.query_one(Levers).has_focus)
    await settled(pilot)
