"""How to write a panel.

A panel is one subclass of `Panel` in `tui/<name>/panel.py`, named in the tuple `PANELS` of `tui/app.py`; it is
imported and mounted when it is first shown. It imports widgets and core, never another panel.

What it has
    self.deck.workspace      core.workspace.Workspace
    self.deck.recipe         core.recipe.Recipe, frozen; read it whenever it is needed
    self.change_recipe(...)  {"tuner.rank": 8}; raises RecipeError (show it, nothing has changed)
    self.submit(...)         heavy work in the workshop process, by name:
                             job = self.submit("core.data.view:show_row", recipe=self.deck.recipe, number=3)
    self.cancel_jobs()       ends the work; what was submitted by this panel is forgotten
    self.refuse("...")       says in a toast why a key cannot work now
    self.say("...")          a toast
    self.post_message(GoTo("train", OpenRun(folder)))   asks the app for another panel

What it is told, as messages (all in tui/messages.py)
    on_job_progress(message: JobProgress)   message.job, message.value
    on_job_result(message: JobResult)
    on_job_failed(message: JobFailed)       message.what is two lines for a person
    on_recipe_changed(message: RecipeChanged)
    on_open_run(message: OpenRun)
  Remember the number that `submit` returned and drop a message whose job is an older one.

What it may override
    HELP                    shown by `?` when none of its widgets has a HELP of its own
    shown()                 it has come into view; read files anew, start timers
    hidden()                it has gone out of view; pause timers (`self.is_shown` tells)
    focus_main()            focus what a person most likely wants; the first focusable widget unless overridden
    why_not(action)         why a key cannot work now, "" when it can; the footer leaves such keys out
    commands()              palette entries that apply now, with a prefixed verb: ("data: next finding", help, call)

Keys
    BINDINGS with show=True are hints, the most useful first: the footer shows four, then `?` and `q`.
    An action that cannot work starts with: if self.refused("stop"): return
    Call self.refresh_bindings() when the state that why_not() looks at has changed.

Rules
    Nothing blocks: disk and NVML in a thread (`@work(thread=True, exclusive=True, exit_on_error=False)` that only posts
    messages), heavy work by submit(). Text from outside goes through tui.widgets.text.visible, never as markup.
    Live widgets have a fixed size and update with `update(..., layout=False)` or `refresh(region)`, at most 4 times a
    second. Complete at 80x24: the panel gets 80 x 21 cells. The screen has the classes -wide from 120 columns on and
    -widest from 200 on: `.-wide MyPanel #list { width: 40; }` in DEFAULT_CSS works in a class that sets
    SCOPED_CSS = False itself (Textual does not inherit it) and names the panel in every selector.
    Meaning is carried by a mark or a word as well as by hue. Colours are theme variables ($success, $warning, $error,
    $primary, $accent, $text-muted); styles stand in DEFAULT_CSS of the widget they belong to.

Tests use the real app: `DeckApp(open_deck(Workspace(tmp_path)), start="data")` with `run_test(size=(80, 24))`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from textual.containers import Vertical

from tui.deck import Deck
from tui.messages import RecipeEdited

Command = tuple[str, str, Callable[[], Any]]


class Panel(Vertical):
    """One of the app's views. See the module's text."""

    HELP: ClassVar[str | None] = None

    def __init__(self, deck: Deck) -> None:
        super().__init__()
        self.deck = deck

    # For the panel to call

    def change_recipe(self, changes: Mapping[str, Any]) -> None:
        """Lay `{"section.key": value}` over the recipe and tell every panel. Raises RecipeError."""
        before = self.deck.recipe
        self.deck.change(changes)
        self.post_message(RecipeEdited(before, self.deck.recipe))

    def submit(self, function: str, **arguments: Any) -> int:
        """Queue heavy work; the answer comes as JobResult or JobFailed with the number returned here."""
        return self.deck.jobs.submit(self, function, **arguments)

    def cancel_jobs(self) -> None:
        self.deck.jobs.cancel(self)

    def say(self, what: str) -> None:
        self.notify(what, markup=False)

    def refuse(self, why: str) -> None:
        self.notify(why, severity="warning", markup=False)

    def refused(self, action: str) -> bool:
        """True, with a toast that says why, when the action cannot work now."""
        why = self.why_not(action)
        if why:
            self.refuse(why)
        return bool(why)

    @property
    def is_shown(self) -> bool:
        return self.display

    # For the panel to override

    def shown(self) -> None:
        """It has come into view."""

    def hidden(self) -> None:
        """It has gone out of view."""

    def focus_main(self) -> None:
        """Focus what a person most likely wants here."""
        for widget in self.query("*"):
            if widget.focusable:
                widget.focus()
                return

    def why_not(self, action: str) -> str:
        """Why `action` cannot work now, in a few words; empty when it can."""
        return ""

    def commands(self) -> Iterable[Command]:
        """Palette entries that apply now: ("verb: what", one line of help, what to call)."""
        return ()
