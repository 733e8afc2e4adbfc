"""The shell of the full-screen app: header, panels on digits, footer, palette, help, signals.

It holds nothing that a run needs: closing it in the middle leaves every run going.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.events import AppBlur, AppFocus, Event, InputEvent, Resize
from textual.keys import key_to_character
from textual.message import Message
from textual.notifications import Notify, SeverityLevel
from textual.screen import Screen
from textual.widgets import Static

import themes
from core.errors import TunedeckError
from tui.ahead import keep_tokenizer
from tui.attention import Attention
from tui.deck import Deck
from tui.leaving import TERMINAL_CHECK_SECONDS, leave_if_terminal_gone, leave_on_signals
from tui.messages import GoTo, Pulsed, RecipeChanged, RecipeEdited, RunEnded
from tui.panel import Panel
from tui.themes import DARK, read_themes
from tui.widgets.bars import Footer, Header
from tui.widgets.marks import mark, style
from tui.widgets.text import visible

if TYPE_CHECKING:
    from tui.pulse import Pulse

SMALLEST = (80, 24)
JOB_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """A panel's key and title, and where its class is; imported when it is first shown."""

    key: str
    name: str
    title: str
    where: str


# Only what exists is listed, so only what exists is drawn.
PANELS: tuple[PanelSpec, ...] = (
    PanelSpec("1", "model", "Model", "tui.model.panel:ModelPanel"),
    PanelSpec("2", "data", "Data", "tui.data.panel:DataPanel"),
    PanelSpec("3", "plan", "Plan", "tui.plan.panel:PlanPanel"),
    PanelSpec("4", "train", "Train", "tui.train.panel:TrainPanel"),
    PanelSpec("5", "chat", "Chat", "tui.chat.panel:ChatPanel"),
    PanelSpec("6", "runs", "Runs", "tui.runs.panel:RunsPanel"),
)


class DeckApp(App[None]):
    """tunedeck, full screen."""

    TITLE = "tunedeck"
    CSS_PATH = Path(themes.__file__).parent / "app.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide"), (200, "-widest")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save_recipe", "save recipe", show=False),
        Binding("escape", "focus_panel", "leave field", show=False),
        Binding("question_mark,f1", "help", "help", show=False, key_display="?"),
        Binding("q", "quit", "quit", show=False),
    ]

    def __init__(
        self,
        deck: Deck,
        *,
        start: str = "",
        message: Message | None = None,
        panels: tuple[PanelSpec, ...] = PANELS,
    ) -> None:
        """`start` names the first panel; `message` (OpenRun) is handed to it."""
        super().__init__()
        self.first_message = message
        self.deck = deck
        self.specs = panels
        for spec in panels:
            self.bind(spec.key, f"show('{spec.name}')", description=spec.title, show=False)
        self.current = start
        self.mounted: dict[str, Panel] = {}
        self.pulse: Pulse | None = None
        self.last = Pulsed()
        self.attention = Attention(self._write_to_terminal)

    def compose(self) -> ComposeResult:
        with Vertical(id="deck"):
            yield Header()
            yield Container(id="panels")
            yield Footer()
        yield Static(id="too-small", markup=False)

    def on_load(self) -> None:
        """Take the theme that was asked for; all others are read after the first paint."""
        wanted = os.environ.get("TEXTUAL_THEME") or DARK
        found, _ = read_themes(wanted)
        if wanted not in self.available_themes and wanted not in {theme.name for theme in found}:
            self.call_later(self.notify, f"there is no theme {wanted}; {DARK} is used", severity="warning")
            wanted = DARK
            found, _ = read_themes(wanted)
        for theme in found:
            self.register_theme(theme)
        self.theme = wanted

    def _read_other_themes(self) -> None:
        found, problems = read_themes()
        for theme in found:
            if theme.name != self.theme:
                self.register_theme(theme)
        for problem in problems:
            self.notify(problem, severity="warning")

    async def on_mount(self) -> None:
        self._leave_on_signals()
        self._job_timer = self.set_interval(JOB_POLL_SECONDS, self._deliver_jobs, pause=True)
        self.deck.jobs.wake = self._job_timer.resume
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.call_later(self._show_hints))
        self._show_header()

    async def on_ready(self) -> None:
        """After the first paint, which waits for no recipe, no panel and no device."""
        from tui.pulse import Pulse

        self._read_other_themes()
        self.pulse = Pulse(self.deck.workspace)
        if not self.current:
            self.current = self._first_panel(self.pulse)
        if self.current:
            panel = await self.show_panel(self.current)
            if self.first_message is not None:
                panel.post_message(self.first_message)
        if self.deck.recipe and self.deck.problem:
            self.notify(f"{self.deck.problem}\nShown here: the defaults.", severity="warning", timeout=15)
            self._show_header()
        self.pulse.start(self)
        if not self.is_headless:
            keep_tokenizer(self.deck.recipe, self.deck.workspace)

    def _first_panel(self, pulse: Pulse) -> str:
        """A run that is at work is what one comes back for; else the first panel."""
        names = [spec.name for spec in self.specs]
        if "train" in names and pulse.newest() is not None:
            return "train"
        return names[0] if names else ""

    def on_unmount(self) -> None:
        if self.pulse is not None:
            self.pulse.stop()
        self.attention.restore()
        self.deck.jobs.close()

    # Panels

    @property
    def panel(self) -> Panel | None:
        """The panel in view."""
        return self.mounted.get(self.current)

    async def show_panel(self, name: str) -> Panel:
        """Bring a panel into view, making it if this is the first time."""
        before = self.panel
        if name not in self.mounted:
            spec = next(spec for spec in self.specs if spec.name == name)
            module, _, class_name = spec.where.partition(":")
            panel: Panel = getattr(importlib.import_module(module), class_name)(self.deck)
            self.mounted[name] = panel
            await self.query_one("#panels").mount(panel)
        if before is not None and before is not self.mounted[name]:
            before.hidden()
        self.current = name
        with self.batch_update():
            for other_name, other in self.mounted.items():
                other.display = other_name == name
        self._show_header()
        self.mounted[name].shown()
        self.mounted[name].focus_main()
        self.refresh_bindings()
        return self.mounted[name]

    async def action_show(self, name: str) -> None:
        await self.show_panel(name)

    @on(GoTo)
    async def _go_to(self, message: GoTo) -> None:
        if message.panel not in [spec.name for spec in self.specs]:
            self.notify(f"there is no {message.panel} panel here", severity="warning")
            return
        panel = await self.show_panel(message.panel)
        if message.message is not None:
            panel.post_message(message.message)

    @on(RecipeEdited)
    def _tell_of_recipe(self, message: RecipeEdited) -> None:
        for panel in self.mounted.values():
            panel.post_message(RecipeChanged(message.before, message.after))
        self._show_header()
        if message.before.model.source != message.after.model.source and not self.is_headless:
            keep_tokenizer(message.after, self.deck.workspace)

    def _deliver_jobs(self) -> None:
        self.deck.jobs.deliver()
        if not self.deck.jobs.busy:
            self._job_timer.pause()

    # Keys

    def action_focus_panel(self) -> None:
        if self.panel is not None:
            self.panel.focus_main()

    def action_press(self, key: str) -> None:
        self.simulate_key(key)

    def action_save_recipe(self) -> None:
        try:
            self.deck.save()
        except (TunedeckError, OSError) as error:
            self.notify(str(error), severity="error")
        else:
            self.notify(f"saved {self.deck.recipe_file}")
            self._show_header()

    async def action_quit(self) -> None:
        if not self.deck.unsaved:
            self.exit()
            return
        from tui.widgets.confirm import Confirm

        question = (
            f"{self.deck.recipe_file.name} has changes that are not saved. Leave without them? (ctrl+s saves)"
        )
        self.push_screen(Confirm(question, "leave"), lambda yes: self.exit() if yes else None)

    def action_help(self) -> None:
        from tui.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.about(self))

    def action_doctor(self) -> None:
        from tui.doctor import DoctorScreen

        if not isinstance(self.screen, DoctorScreen):
            self.push_screen(DoctorScreen(self.deck))

    def get_system_commands(self, screen: Screen) -> Iterable[SystemCommand]:
        for spec in self.specs:
            yield SystemCommand(
                f"go: {spec.title}", f"the panel on key {spec.key}", partial(self.action_show, spec.name)
            )
        if self.panel is not None:
            for title, about, call in self.panel.commands():
                yield SystemCommand(title, about, call)
        yield SystemCommand("recipe: save", f"write {self.deck.recipe_file.name}", self.action_save_recipe)
        yield SystemCommand("view: theme", "choose the colours", self.action_change_theme)
        yield SystemCommand("view: help", "what the focused part does, and its keys", self.action_help)
        yield SystemCommand("view: screenshot", "save this screen as SVG", self.deliver_screenshot)
        yield SystemCommand("app: doctor", "check this machine, and try the work itself", self.action_doctor)
        yield SystemCommand("app: quit", "runs go on without the app", self.action_quit)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """A toast. Its text may come from outside, so it is never markup."""
        super().notify(
            visible(message, lines=True), title=title, severity=severity, timeout=timeout, markup=False
        )

    def on_notify(self, event: Notify) -> None:
        """A warning that is still on screen is not shown a second time."""
        new = event.notification
        if new.severity == "warning" and any(
            (shown.message, shown.severity) == (new.message, new.severity) for shown in self._notifications
        ):
            event.prevent_default()

    # What is always on screen

    @on(Pulsed)
    def _show_pulse(self, pulsed: Pulsed) -> None:
        self.last = pulsed
        self._show_header()

    @on(RunEnded)
    def _announce(self, message: RunEnded) -> None:
        """Say that a run has ended; to somebody who does not look, by the bell and the title."""
        said = f"{mark(message.state.state)}: {visible(message.state.id)}"
        self.notify(said, severity="information" if style(message.state.state) != "bad" else "error")
        if self.attention.away:
            self.attention.call(said)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, InputEvent | AppFocus):
            self.attention.seen()
        elif isinstance(event, AppBlur):
            self.attention.left()
        await super().on_event(event)

    def _write_to_terminal(self, text: str) -> None:
        if self._driver is not None:
            self._driver.write(text)

    def on_resize(self, event: Resize) -> None:
        width, height = event.size
        too_small = width < SMALLEST[0] or height < SMALLEST[1]
        ground = self.screen_stack[0]
        ground.set_class(too_small, "-too-small")
        if too_small:
            text = f"tunedeck needs {SMALLEST[0]}x{SMALLEST[1]}; this terminal is {width}x{height}"
            ground.query_one("#too-small", Static).update(text)
        self.call_after_refresh(self._show_header)

    def _show_header(self) -> None:
        for header in self.query(Header):
            recipe = self.deck.recipe_file.name + (" *" if self.deck.unsaved else "")
            place = str(self.deck.workspace.root).replace(str(Path.home()), "~", 1)
            header.tell(visible(place), visible(recipe), self.last.device, self.last.run)
            header.panels([(spec.key, spec.name, spec.title) for spec in self.specs], self.current)

    def _show_hints(self) -> None:
        for footer in self.query(Footer):
            footer.hints(self._hints())

    def _hints(self) -> list[tuple[str, str, str]]:
        """Four keys that work now, the focused widget's first, then help and quit."""
        screen = self.screen_stack[0]
        focused = screen.focused
        found: dict[str, tuple[str, str, str]] = {}
        for node, binding, enabled, _tooltip in screen.active_bindings.values():
            typed = focused is not None and focused.check_consume_key(
                binding.key, key_to_character(binding.key)
            )
            works = enabled and not (isinstance(node, Panel) and node.why_not(binding.action))
            if binding.show and works and not typed and binding.action not in found:
                shown = self.get_key_display(binding)
                found[binding.action] = (shown, binding.description, binding.key)
        typing = focused is not None and focused.check_consume_key("q", "q")
        own = list(found.values())[:4]
        if typing:
            return [*own, ("esc", "leave field", "escape"), ("^q", "quit", "ctrl+q")]
        return [*own, ("?", "help", "question_mark"), ("q", "quit", "q")]

    # Leaving

    def _leave_on_signals(self) -> None:
        if not (self.is_headless or self.is_web):
            leave_on_signals(self)
            self.set_interval(TERMINAL_CHECK_SECONDS, partial(leave_if_terminal_gone, self))
