"""The Plan panel: what the run needs in memory, by phase and category, and what would make it fit."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.timer import Timer
from textual.widgets import Input

from core.errors import TunedeckError
from core.memory.cards import card_named, set_price
from core.memory.devices import Device
from core.memory.fit import Case, Lever, case, combined, levers
from core.memory.plan import Placed, Plan, on_each
from core.memory.setting import Lengths
from core.memory.tables import Rent, by_model_and_card
from core.memory.verdict import Room
from core.memory.watch import DeviceWatcher
from core.models.architecture import Architecture
from core.models.architecture_of import read_model
from core.models.sources import locate
from core.recipe import Recipe, RecipeError, differences
from core.runs.evidence import Measured, earlier_speed, pace_of
from core.runs.planned import fullest, models_at_hand, prepared_lengths, rooms_here
from tui.deck import Deck
from tui.messages import JobFailed, JobProgress, JobResult, RecipeChanged
from tui.panel import Command, Panel
from tui.plan import shown
from tui.plan.found import Found, Paced, Rented
from tui.plan.knobs import Knob
from tui.plan.lists import Knobs, View
from tui.plan.views import VIEWS, Seen, lines_of
from tui.widgets.bars import Bar, Part
from tui.widgets.text import fit, visible

LIVE_SECONDS = 1.0


class PlanPanel(Panel):
    """Verdict, device bar, knobs, view, live reading."""

    HELP = """
    The predicted peak is the largest of six phases. Whether it fits is decided on that peak, the context
    beside it and the memory that is free now; the band for nvidia-smi decides nothing.

    t runs one training step dry, without data, and sets its count beside the formulas.
    """
    SCOPED_CSS = False
    DEFAULT_CSS = """
    PlanPanel #plan-body { height: 15; }
    PlanPanel Knobs { width: 26; height: 15; background: $surface; }
    PlanPanel View { width: 1fr; height: 15; background: $surface; }
    PlanPanel #typed { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    PlanPanel #typed.open { display: block; }
    .-wide PlanPanel #plan-body, .-widest PlanPanel #plan-body { height: 1fr; }
    .-wide PlanPanel Knobs, .-widest PlanPanel Knobs { width: 36; height: 100%; }
    .-wide PlanPanel View, .-widest PlanPanel View { height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "view(1)", "next view"),
        Binding("t", "dry_run", "dry run"),
        Binding("A", "apply_all", "make it fit"),
        Binding("u", "undo", "undo"),
        Binding("tab", "other_list", "other list", show=False),
        Binding("V", "view(-1)", "view before", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.view = "phases"
        self.opened = ""  # the category whose sums are shown
        self.plan: Plan | None = None
        self.levers: tuple[Lever, ...] = ()
        self.together: tuple[Lever, ...] = ()
        self.problem = ""
        self._architecture: Architecture | None = None
        self._lengths: Lengths | None = None
        self._folder: Path | None = None
        self._rooms: tuple[Room, ...] = ()
        self._rents: tuple[Rent, ...] | None = None
        self._priced_card = ""  # the card whose price is being typed
        self._undo: list[dict[str, Any]] = []
        self._typing: Knob | None = None
        self._tracing = 0
        self._traced = ""
        self._speed: Measured | None = None
        self._paced: tuple[str, ...] = ()  # what the speed was asked for
        self._watcher = DeviceWatcher()
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Bar(id="headline")
        yield Bar(id="device")
        yield Bar(id="legend")
        yield Bar(id="status")
        with Horizontal(id="plan-body"):
            yield Knobs()
            yield View()
        yield Bar(id="live")
        yield Bar(id="pace")
        yield Input(id="typed", disabled=True)

    # Coming and going

    def shown(self) -> None:
        self._watcher.start()
        if self._timer is None:
            self._timer = self.set_interval(LIVE_SECONDS, self._look)
        self._timer.resume()
        self.query_one(Knobs).tell(self.deck.recipe)
        self._find(self.deck.recipe)

    def hidden(self) -> None:
        self._watcher.stop()
        if self._timer is not None:
            self._timer.pause()

    def on_unmount(self) -> None:
        self._watcher.stop()

    def focus_main(self) -> None:
        self.query_one(Knobs).focus()

    def on_resize(self) -> None:
        self._draw()

    # What is planned

    @work(thread=True, exclusive=True, exit_on_error=False, group="find")
    def _find(self, recipe: Recipe) -> None:
        """Model and prepared rows, read away from the screen."""
        try:
            files = locate(recipe.model.source, recipe.model.revision, self.deck.workspace)
            architecture = read_model(files.folder)
            lengths = (
                None
                if files.kind == "config"
                else prepared_lengths(recipe, files.folder, self.deck.workspace)
            )
        except TunedeckError as error:
            self.post_message(Found(recipe, None, None, None, str(error).splitlines()[0]))
        else:
            self.post_message(Found(recipe, architecture, lengths, files.folder, ""))

    def on_found(self, message: Found) -> None:
        if message.recipe.model != self.deck.recipe.model or message.recipe.data != self.deck.recipe.data:
            return  # an older question
        self._architecture, self._lengths, self._folder = (
            message.architecture,
            message.lengths,
            message.folder,
        )
        self.problem = message.problem
        self._look()
        self._price()

    def on_recipe_changed(self, message: RecipeChanged) -> None:
        self._traced = ""
        self._rents = None
        self.query_one(Knobs).tell(message.after)
        if (
            message.before.model.source != message.after.model.source
            or message.before.data != message.after.data
        ):
            self._find(message.after)
        if message.before.model.source == message.after.model.source:
            self._price()

    def _look(self) -> None:
        """The last reading of the devices; the plan follows when the room has changed."""
        self._draw_live()
        rooms = self._rooms_of(self._watcher.devices)
        if rooms and rooms != self._rooms:
            self._rooms = rooms
            self._price()

    def _draw_live(self) -> None:
        words = shown.live(self._watcher.devices, self._watcher.age_seconds)
        self.query_one("#live", Bar).put(0, [Part(" " + visible(words), "muted")])

    def _rooms_of(self, devices: tuple[Device, ...]) -> tuple[Room, ...]:
        """The rooms the recipe would run in; empty before the first reading."""
        if not devices:
            return ()
        try:
            return rooms_here(self.deck.recipe, devices)
        except TunedeckError:
            return (Room(),)

    def _price(self) -> None:
        if self._architecture is None:
            self._draw()
            return
        self._rooms = (
            self._rooms_of(self._watcher.devices) or self._rooms
        )  # the recipe may name other devices
        if not self._rooms:
            self._draw()  # which device it would be is not known before the first reading
            return
        self._pace()
        subject = self._case()
        try:
            self.plan = subject.plan(self.deck.recipe)
            self.levers = levers(self.deck.recipe, subject)
            fits = self.plan.verdict in ("fits", "unknown")
            self.together = () if fits else combined(self.deck.recipe, subject)[0]
            self.problem = ""
        except TunedeckError as error:
            self.plan, self.levers, self.together = None, (), ()
            self.problem = str(error).replace("\n", "; ")
        self._draw()
        self.refresh_bindings()

    def _pace(self) -> None:
        """Ask for an earlier speed when another one would count: another model, method or device."""
        recipe = self.deck.recipe
        key = (
            recipe.model.source, recipe.tuner.method, recipe.model.quantization, fullest(self._rooms).name,
        )  # fmt: skip
        if key != self._paced:
            self._paced, self._speed = key, None
            self._find_speed(recipe, key)

    @work(thread=True, exclusive=True, exit_on_error=False, group="speed")
    def _find_speed(self, recipe: Recipe, key: tuple[str, ...]) -> None:
        """The runs of the workspace, read away from the screen."""
        self.post_message(Paced(key, earlier_speed(self.deck.workspace, recipe, key[-1])))

    def on_paced(self, message: Paced) -> None:
        if message.key == self._paced:
            self._speed = message.speed
            self._draw()

    # Drawing

    def _draw(self) -> None:
        width = self.size.width
        if not width:
            return
        top = [self.query_one(name, Bar) for name in ("#headline", "#device", "#legend", "#status")]
        if self.plan is None:
            waits = self._architecture is not None and not self._rooms
            top[0].put(0, shown.no_plan(visible(self.problem), "devices" if waits else "model"))
            for bar in top[1:]:
                bar.put(0, [])
            self.query_one(View).tell([])
            return
        top[0].put(0, shown.headline(self.plan))
        top[1].put(0, [Part(" "), *shown.stacked(self.plan, self._placed(), width - 2)])
        top[2].put(0, shown.legend(self.plan, width))
        top[3].put(0, shown.status(self.view, VIEWS, self._traced, self._note()))
        self._draw_view()
        self._draw_live()
        self._draw_pace()

    def _note(self) -> str:
        assert self.plan is not None
        return self.plan.notes[-1] if self._lengths is None else self.plan.notes[0]

    def _draw_view(self) -> None:
        assert self.plan is not None
        view = self.query_one(View)
        seen = Seen(
            self.deck.recipe, self._case(), self.plan, self._placed(), self.levers, self.together, self._rents,
            self.opened, sum(one.kind == "cuda" and one.visible for one in self._watcher.devices),
        )  # fmt: skip
        view.tell(lines_of(self.view, seen, max(view.size.width - 1, 40), view.size.height))
        if self.view == "models" and self._rents is None:
            self._rent(self.deck.recipe)

    def _placed(self) -> tuple[Placed, ...]:
        assert self.plan is not None
        return on_each(self.plan, self._rooms or (Room(),))

    @work(thread=True, exclusive=True, exit_on_error=False, group="rent")
    def _rent(self, recipe: Recipe) -> None:
        """Every model at hand on every card, read and priced away from the screen."""
        models = models_at_hand(recipe, self.deck.workspace)
        self.post_message(Rented(recipe, by_model_and_card(recipe, models, self._lengths)))

    def on_rented(self, message: Rented) -> None:
        if message.recipe == self.deck.recipe:
            self._rents = message.rents
            self._draw()

    def _draw_pace(self) -> None:
        assert self.plan is not None
        assert self._architecture is not None
        found = pace_of(self.deck.recipe, self._architecture, self.plan, self._lengths, self._speed)
        self.query_one("#pace", Bar).put(
            0, [Part(fit(" " + shown.time_and_cost(found), self.size.width), "muted")]
        )

    def _case(self) -> Case:
        assert self._architecture is not None
        return case(self._architecture, self._lengths, fullest(self._rooms))

    # Editing

    def change(self, changes: dict[str, Any]) -> None:
        """Lay changes over the recipe; they can be undone one by one. A rule that forbids them is told."""
        before = self.deck.recipe
        try:
            self.change_recipe(changes)
        except RecipeError as error:
            self.refuse(str(error))
            return
        back = differences(self.deck.recipe, before)
        if back:
            self._undo.append(back)
            self.refresh_bindings()

    @on(Knobs.Stepped)
    def _step(self, message: Knobs.Stepped) -> None:
        value = message.knob.stepped(self.deck.recipe, message.direction)
        if value is None:
            self.refuse(f"{message.knob.name} is typed: press enter")
            return
        self.change({message.knob.key: value})

    @on(Knobs.Asked)
    def _ask(self, message: Knobs.Asked) -> None:
        self._typing = message.knob
        self._open_field(message.knob.name, message.knob.text(self.deck.recipe))

    def _open_field(self, name: str, value: str) -> None:
        field = self.query_one("#typed", Input)
        field.disabled, field.value, field.placeholder = False, value, name
        field.add_class("open")
        field.focus()

    @on(Input.Submitted, "#typed")
    def _typed(self, message: Input.Submitted) -> None:
        knob, card = self._typing, self._priced_card
        self._close_field()
        if knob is not None:
            self.change({knob.key: knob.typed(message.value)})
        elif card:
            self._set_price(card, message.value.strip())

    def _set_price(self, card: str, text: str) -> None:
        """A person's own price per hour; an empty field takes it back."""
        try:
            set_price(card, float(text.removeprefix("$")) if text else None)
        except ValueError:
            self.refuse(f"{text} is not a price: write dollars per hour, for example 2.49")
        except (TunedeckError, OSError) as error:
            self.refuse(str(error))
        self._rents = None
        self._draw()
        self.query_one(View).focus()

    def _close_field(self) -> None:
        self._typing, self._priced_card = None, ""
        field = self.query_one("#typed", Input)
        field.remove_class("open")
        field.disabled = True
        self.focus_main()

    def on_key(self, event: Any) -> None:
        if event.key == "escape" and (self._typing is not None or self._priced_card):
            self._close_field()
            event.stop()

    # Keys

    def action_view(self, by: int) -> None:
        self.view = VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)]
        self.opened = ""
        self._open_view()

    def _open_view(self) -> None:
        if self.plan is not None:
            self.query_one(View).tell([], afresh=True)
            self._draw()

    def action_other_list(self) -> None:
        knobs, view = self.query_one(Knobs), self.query_one(View)
        (view if knobs.has_focus else knobs).focus()

    @on(View.Chosen)
    def _choose(self, message: View.Chosen) -> None:
        what, _, rest = message.does.partition(" ")
        if what == "open":
            self.view, self.opened = "figures", rest
            self._open_view()
        elif what == "lever":
            self.change(self.levers[int(rest)].changes)
        elif what == "price":
            self._priced_card = rest
            self._open_field(f"dollars per hour of {rest}", f"{card_named(rest).price:.2f}")
        elif what == "rent":
            self.opened = rest
            self._open_view()
        else:
            self.action_apply_all()

    def action_apply_all(self) -> None:
        if self.refused("apply_all"):
            return
        self.change({key: value for lever in self.together for key, value in lever.changes.items()})

    def action_undo(self) -> None:
        if self.refused("undo"):
            return
        self.change_recipe(self._undo.pop())
        self.refresh_bindings()

    def action_dry_run(self) -> None:
        if self.refused("dry_run"):
            return
        assert self.plan is not None
        self._traced = "dry run: starting"
        self._tracing = self.submit(
            "core.train.dry_run:dry_run", recipe=self.deck.recipe, model_folder=self._folder,
            lengths=self._lengths, device=self.plan.room.device,
        )  # fmt: skip
        self._draw()

    def on_job_progress(self, message: JobProgress) -> None:
        if message.job == self._tracing:
            self._traced = f"dry run: {message.value}"
            self._draw()

    def on_job_result(self, message: JobResult) -> None:
        if message.job != self._tracing or self.plan is None:
            return
        traced, self._tracing = message.value, 0
        self._traced = shown.dry_run(traced, self.plan)
        self._draw()
        self.refresh_bindings()

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._tracing:
            self._tracing, self._traced = 0, ""
            self.refuse(message.what)
            self._draw()
            self.refresh_bindings()

    def why_not(self, action: str) -> str:
        if action == "dry_run":
            if self.plan is None:
                return "there is no plan to compare a dry run with"
            return "a dry run is under way" if self._tracing else ""
        if action == "apply_all":
            if self.plan is None or self.plan.verdict in ("fits", "unknown"):
                return (
                    "it fits as it is"
                    if self.plan is not None and self.plan.verdict == "fits"
                    else "no verdict to act on"
                )
            fits = bool(self.together) and self.together[-1].verdict == "fits"
            return "" if fits else "no combination of the levers makes it fit here"
        if action == "undo":
            return "" if self._undo else "nothing to undo"
        return ""

    def commands(self) -> Iterable[Command]:
        for name in VIEWS:
            yield (f"plan: show {name}", f"the {name} of this plan", partial(self._show_view, name))
        if not self.why_not("dry_run"):
            yield ("plan: dry run", "count one training step without data", self.action_dry_run)
        if not self.why_not("apply_all"):
            yield ("plan: make it fit", "apply the levers that fit together", self.action_apply_all)

    def _show_view(self, name: str) -> None:
        self.view, self.opened = name, ""
        self._open_view()
