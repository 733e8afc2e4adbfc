"""What the Train panel says of a run in words: its headline, its notes, its sample answers. No widgets here."""

from __future__ import annotations

from typing import Any

from core.recipe import Recipe
from core.runs.checkpoints import newest
from core.runs.folder import Run
from core.runs.record import Record
from core.runs.state import RunState
from tui.widgets.bars import Part
from tui.widgets.marks import mark, style
from tui.widgets.numbers import duration, figure, share
from tui.widgets.text import cut, visible

Line = tuple[str, str]  # text and style class of a TextView
BAR_CELLS = 20
MOST_SAMPLES = 100


def summary(recipe: Recipe) -> str:
    """What is about to be started, in one question."""
    amount = (
        f"{recipe.training.max_steps} steps"
        if recipe.training.max_steps
        else f"{recipe.training.epochs:g} epochs"
    )
    return (
        f"Start a run? {visible(recipe.model.source)} on {visible(recipe.data.source)}\n"
        f"{recipe.tuner.method}, {amount}, batch {recipe.effective_batch}, rate {figure(recipe.learning_rate, 3)}"
    )


def summary_of_resume(run: Run, recipe: Recipe) -> str:
    """Which run is about to go on, and from where, in one question."""
    checkpoint = newest(run)
    where = f"from step {checkpoint.step}" if checkpoint else "from its beginning: it has no checkpoint"
    return f"Go on with {visible(run.id)} {where}?\n{visible(recipe.model.source)} on {visible(recipe.data.source)}"


def headline(state: RunState, record: Record) -> list[Part]:
    """One line: how the run stands, and how far it is."""
    step, steps = record.step or state.step, record.steps or state.steps or 0
    word = mark(state.phase if state.ended and state.phase in ("killed", "prepared") else state.state)
    if state.state == "starting" and record.status not in ("", "starting"):
        word = f"{word}: {record.status}"
    parts = [Part(f" {word} ", style(state.state)), Part(f" {cut(visible(state.id), 32)} ", "name")]
    if steps:
        parts.append(Part(f" step {step}/{steps} {share(step, steps):>4} "))
        if state.state == "running" and record.last.get("eta_seconds") is not None:
            parts.append(Part(f" {duration(record.last['eta_seconds'])} left "))
        parts.append(Part(f" {progress(step / steps)}", "key" if state.state == "running" else "muted"))
    return parts


def progress(part: float, cells: int = BAR_CELLS) -> str:
    """A bar of that many cells; a run past its last step stays full."""
    filled = round(min(max(part, 0.0), 1.0) * cells)
    return "━" * filled + "╌" * (cells - filled)


def newest_note(state: RunState, record: Record) -> Part:
    """The one line that matters now: why it ended, else the newest warning."""
    if state.what:
        fix = f"; {state.fix}" if state.fix else ""
        return Part(f" {visible(state.what)}{visible(fix)}", style(state.state))
    for event in reversed(record.notes):
        text, kind = note(event)
        if text:
            return Part(f" {visible(text)}", {"error": "bad", "warning": "key"}.get(kind, "good"))
    return Part("")


def note(event: dict[str, Any]) -> tuple[str, str]:
    """A warning, an error or an answered request in words, and its kind; empty for others."""
    kind = str(event["kind"])
    if kind == "error":
        return f"✗ {event.get('what', '')}", kind
    if kind == "warning":
        return f"! {event.get('what', '')}", kind
    if kind == "control":
        done = "done" if event.get("done") else "the run ended before it"
        return f"{'✓' if event.get('done') else '–'} {event.get('request', '')}: {done}", kind
    return "", kind


def note_lines(state: RunState, record: Record) -> list[Line]:
    """Why it ended and what to do, then everything the run has told, newest first, with its time in the run."""
    lines: list[Line] = []
    if state.what:
        lines.append((f"{mark(state.state)}: {state.what}", "bad" if style(state.state) == "bad" else ""))
        lines += [(f"  {state.fix}", "")] if state.fix else []
        lines.append(("", ""))
    for event in reversed(record.notes):
        text, kind = note(event)
        if not text:
            continue
        at = duration(event.get("time", 0.0) - record.first_time)
        rule = f"{event['rule']}, " if event.get("rule") else ""
        lines.append((text, {"error": "bad", "warning": "warn"}.get(kind, "good")))
        lines.append((f"  {rule}{at} after the start{_rows(event)}", "muted"))
        lines += [(f"  {event['fix']}", "")] if event.get("fix") else []
    return lines or [("no rule of the watch has spoken, and nothing was asked of the run", "muted")]


def _rows(event: dict[str, Any]) -> str:
    rows = event.get("rows") or []
    named = ", ".join(str(row) for row in rows[:8])
    return f"; rows {named}{' …' if len(rows) > 8 else ''}" if rows else ""


def sample_lines(record: Record, steps_between: int) -> list[Line]:
    """The answers to the recipe's fixed prompts, newest first."""
    if not record.samples:
        if steps_between:
            return [(f"the first answers come at step {steps_between}", "muted")]
        return [
            ("this run writes no sample answers", "muted"),
            ("training.sample_prompts and training.sample_steps of a recipe ask for them", "muted"),
        ]
    lines: list[Line] = []
    before = None
    for event in list(reversed(record.samples))[:MOST_SAMPLES]:
        if event.get("step") != before:
            before = event.get("step")
            lines.append((f"step {before}", "heading"))
        lines.append((f"› {event.get('prompt', '')}", "muted"))
        lines.append((f"  {event.get('answer', '')}", ""))
    return lines
