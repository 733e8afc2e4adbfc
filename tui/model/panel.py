"""The Model panel: which models are at hand or on the Hub, what each is, and getting one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Input

from core.models.hub_search import parse_query
from core.models.listing import LOCAL_SORTS, LocalSort, ModelEntry, search_entries
from core.models.remove import Removal, remove
from core.models.text_files import text_files
from core.recipe import RecipeError
from tui.deck import Deck
from tui.messages import JobFailed, JobResult, RecipeChanged
from tui.model.card_lines import size_text
from tui.model.downloads import Downloads
from tui.model.live_card import LiveCard
from tui.model.lookup import (
    HubPage,
    RemovalPlanned,
    Scanned,
    Search,
    next_page,
    planned_removal,
    scan,
)
from tui.model.model_list import ModelList
from tui.model.rows import hub_rows, local_rows
from tui.panel import Command, Panel
from tui.widgets.bars import Bar, Part

HUB_SECONDS = 0.5  # a person who types on asks the Hub once
PAGE = 20


class ModelPanel(Panel):
    """A list, a line on how downloads stand, and the card of the model under the cursor."""

    HELP = """
    Enter takes a model into the recipe. s sorts the models here. / searches: words narrow this list and ask the Hub; filters are
    author:NAME licence:ID size:max:9B gated:no sort:likes. What a model needs here: ✓ fits, ~ tight, ✗ does not
    fit, ? unknown; with the recipe's lengths and batch. Downloads go on while you work elsewhere in the app;
    leaving it stops them, and d goes on where they stopped.
    """
    SCOPED_CSS = False  # the width class is on the screen above
    DEFAULT_CSS = """
    ModelPanel #search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    ModelPanel #search.open { display: block; }
    ModelPanel #body { height: 1fr; }
    ModelPanel ModelList { height: 8; }
    ModelPanel #state { height: 1; }
    .-wide ModelPanel #body, .-widest ModelPanel #body { layout: horizontal; }
    .-wide ModelPanel ModelList, .-widest ModelPanel ModelList { width: 52; height: 100%; }
    .-widest ModelPanel ModelList { width: 80; height: 100%; }
    .-wide ModelPanel LiveCard, .-widest ModelPanel LiveCard { width: 1fr; height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "use it"),
        Binding("slash", "search", "search", key_display="/"),
        Binding("d", "download", "download"),
        Binding("o", "open", "read its files"),
        Binding("x", "remove", "remove"),
        Binding("s", "sort", "sort"),
        Binding("m", "more", "more from the Hub", show=False),
        Binding("y", "copy", "copy its id", show=False),
        Binding("r", "rescan", "look again", show=False),
    ]

    def __init__(self, deck: Deck) -> None:
        super().__init__(deck)
        self.entries: list[ModelEntry] = []
        self.downloads = Downloads()
        self.search: Search | None = None
        self.order: LocalSort = "found"
        self._reading = (0, "")  # the job that fetches a model's small files, and the model
        self._hub_timer: Timer | None = None
        self._scanned = False

    def compose(self) -> ComposeResult:
        yield Input(placeholder="search here and on the Hub", id="search", disabled=True)
        with Container(id="body"):
            yield ModelList(id="models")
            yield LiveCard(self.deck, id="card")
        yield Bar(id="state")

    def on_mount(self) -> None:
        self._poll_timer = self.set_interval(0.25, self._poll_downloads, pause=True)

    def on_unmount(self) -> None:
        self.downloads.close()

    # The list

    def shown(self) -> None:
        self._scan()

    def focus_main(self) -> None:
        for models in self.query(ModelList):  # none yet while the panel is being made
            models.focus()

    @property
    def entry(self) -> ModelEntry | None:
        """The model under the cursor."""
        return next((models.entry for models in self.query(ModelList)), None)

    @work(thread=True, exclusive=True, exit_on_error=False, group="scan")
    def _scan(self) -> None:
        self.post_message(scan(self.deck.workspace, self.deck.recipe))

    def on_scanned(self, message: Scanned) -> None:
        self.entries, self._scanned = message.entries, True
        self.query_one(LiveCard).room = message.room
        self._read_anew()

    def on_recipe_changed(self, message: RecipeChanged) -> None:
        self._read_anew()

    def _read_anew(self) -> None:
        self.query_one(LiveCard).forget()
        self._draw()
        self._follow_cursor()

    def _draw(self) -> None:
        recipe, text = self.deck.recipe, self.query_one("#search", Input).value
        local = search_entries(self.entries, parse_query(text).text)
        rows = local_rows(local, self.downloads, recipe, self.order)
        if self.search is not None:
            here = {entry.id for entry in self.entries if not entry.missing}
            found = [entry for entry in self.search.found if entry.id not in here]
            rows += hub_rows(found, self.search.state, self.downloads, recipe)
        self.query_one(ModelList).put(rows)
        self._draw_state(len(local))
        self.refresh_bindings()

    def _draw_state(self, count: int) -> None:
        parts = [Part(f" {count} models here" if self._scanned else " looking", "muted")]
        for one in self.downloads.running:
            parts.append(Part(f"   ↓ {one.model} "))
            if one.progress is not None:
                rate = f"{one.progress.bytes_per_second / (1 << 20):.1f} MiB/s"
                left = one.progress.eta_seconds
                ends = f"  {left // 60:.0f}:{left % 60:02.0f} left" if left is not None else ""
                parts.append(Part(f"{100 * one.share:.0f} %  {rate}{ends}", "good"))
        self.query_one("#state", Bar).put(0, parts)

    @on(ModelList.Highlighted)
    def _follow_cursor(self) -> None:
        self.query_one(LiveCard).follow(self.entry, "nothing found" if self._scanned else "")
        self.refresh_bindings()

    def action_sort(self) -> None:
        """The next order of the models here: as found, by name, size, last use, parameters."""
        self.order = LOCAL_SORTS[(LOCAL_SORTS.index(self.order) + 1) % len(LOCAL_SORTS)]
        self._draw()

    # Search

    def action_search(self) -> None:
        search = self.query_one("#search", Input)
        search.disabled = False
        search.add_class("open")
        search.focus()

    @on(Input.Changed, "#search")
    def _search_changed(self) -> None:
        if self._hub_timer is not None:
            self._hub_timer.stop()
        query = parse_query(self.query_one("#search", Input).value)
        self.search = Search.of(query) if len(query.text) > 1 or query.author else None
        if self.search is not None:
            self._hub_timer = self.set_timer(HUB_SECONDS, self._ask_hub)
        self._draw()

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        search = self.query_one("#search", Input)
        if not search.value:
            search.remove_class("open")
            search.disabled = True
        self.focus_main()

    @work(thread=True, exit_on_error=False, group="hub")
    def _ask_hub(self) -> None:
        if self.search is not None:
            self.post_message(next_page(self.search, PAGE))

    def on_hub_page(self, message: HubPage) -> None:
        search = message.search
        if search is not self.search:
            return
        search.found += message.entries
        search.more = len(message.entries) == PAGE
        if message.problem:
            search.state = f"Hub: {message.problem}"
        else:
            search.state = f"on the Hub, {len(search.found)} shown" + (", m for more" if search.more else "")
        self._draw()

    def action_more(self) -> None:
        if not self.refused("more") and self.search is not None:
            self.search.state = "Hub: searching"
            self._ask_hub()

    # What one does with a model

    def why_not(self, action: str) -> str:
        entry = self.entry
        if action == "more":
            return (
                "" if self.search is not None and self.search.more else "the Hub has no more of this search"
            )
        if action in ("search", "rescan", "sort"):
            return ""
        if entry is None:
            return "no model is under the cursor"
        running = entry.id in {one.model for one in self.downloads.running}
        return {
            "choose": self._why_not_choose(entry, running),
            "download": "" if entry.source == "hub" or entry.missing or running else "it is here already",
            "remove": ""
            if entry.source == "cache" and not running
            else "only models in the Hugging Face cache are removed here",
        }.get(action, "")

    def _why_not_choose(self, entry: ModelEntry, running: bool) -> str:
        if running:
            return "it is on its way"
        if entry.source == "hub":
            return "it is not here yet; d downloads it"
        return f"it is not whole: {entry.missing}" if entry.missing else ""

    def action_choose(self) -> None:
        entry = self.entry
        if self.refused("choose") or entry is None:
            return
        named = not entry.references or "main" in entry.references
        revision = "main" if entry.source != "cache" or named else entry.revision
        try:
            self.change_recipe({"model.source": entry.id, "model.revision": revision})
        except RecipeError as error:
            self.refuse(str(error))
        else:
            self.say(f"the recipe trains {entry.id} now")

    def action_download(self) -> None:
        entry = self.entry
        if self.refused("download") or entry is None:
            return
        if any(one.model == entry.id for one in self.downloads.running):
            self._ask(
                f"Stop the download of {entry.id}? What has arrived is kept; d goes on with it.",
                "stop",
                lambda: self._stop_download(entry.id),
            )
            return
        revision = next(iter(entry.references), "") or ("main" if entry.source == "hub" else entry.revision)
        self.downloads.start(entry.id, revision)
        self._poll_timer.resume()
        self._draw()

    def _stop_download(self, model: str) -> None:
        self.downloads.cancel(model)
        self._scan()

    def _poll_downloads(self) -> None:
        for one in self.downloads.poll():
            if one.problem:
                self.app.notify(one.problem, severity="error", timeout=15)
            else:
                self.app.bell()
                self.say(f"{one.model} is here")
            self._scan()
        if not self.downloads.running:
            self._poll_timer.pause()
        self._draw()

    def action_remove(self) -> None:
        entry = self.entry
        if not self.refused("remove") and entry is not None:
            self._plan_removal(entry.id, entry.revision)

    @work(thread=True, exclusive=True, exit_on_error=False, group="remove")
    def _plan_removal(self, model: str, revision: str) -> None:
        self.post_message(planned_removal(model, revision))

    def on_removal_planned(self, message: RemovalPlanned) -> None:
        removal = message.removal
        if removal is None:
            self.refuse(message.problem)
            return
        used = "The recipe names it. " if self.deck.recipe.model.source == removal.id else ""
        question = f"Remove {removal.id} from the cache? {used}That frees {size_text(removal.freed_bytes)}."
        self._ask(question, "remove", lambda: self._remove(removal))

    @work(thread=True, exclusive=True, exit_on_error=False, group="remove")
    def _remove(self, removal: Removal) -> None:
        remove(removal)
        self.post_message(scan(self.deck.workspace, self.deck.recipe))

    def action_open(self) -> None:
        entry = self.entry
        if self.refused("open") or entry is None:
            return
        if entry.folder:
            self._view(entry.id, text_files(Path(entry.folder)))
            return
        self.say(f"fetching the small files of {entry.id}")
        job = self.deck.jobs.submit(self, "core.models.text_files:hub_text_files", model=entry.id)
        self._reading = (job, entry.id)

    def on_job_result(self, message: JobResult) -> None:
        job, model = self._reading
        if message.job == job and self.entry is not None and self.entry.id == model:
            self._view(model, message.value)

    def on_job_failed(self, message: JobFailed) -> None:
        if message.job == self._reading[0]:
            self.refuse("; ".join(message.what.splitlines()))

    def _view(self, model: str, files: list[tuple[str, str]]) -> None:
        from tui.model.viewer import Viewer

        if files:
            self.app.push_screen(Viewer(model, files))
        else:
            self.refuse("there is no text file to read in it")

    def action_copy(self) -> None:
        entry = self.entry
        if entry is not None and not self.refused("copy"):
            self.app.copy_to_clipboard(entry.id)
            self.say(f"copied {entry.id}")

    def action_rescan(self) -> None:
        self._scan()

    def commands(self) -> Iterable[Command]:
        yield ("model: look again", "read folders and cache anew", self.action_rescan)
        yield ("model: sort", "name, size, last used, parameters", self.action_sort)
        yield ("model: search", "here and on the Hub", self.action_search)
        for action, title in (
            ("choose", "use it"),
            ("download", "download or stop"),
            ("open", "read its files"),
            ("remove", "remove"),
        ):
            if not self.why_not(action):
                yield (f"model: {title}", "the model under the cursor", getattr(self, f"action_{action}"))

    def _ask(self, question: str, verb: str, then: object) -> None:
        from tui.widgets.confirm import Confirm

        self.app.push_screen(Confirm(question, verb), lambda yes: then() if yes and callable(then) else None)
