"""The Plan panel: priced as it is edited, levers applied, a dry run of the real step, and how it looks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.memory.cards import prices_file
from core.memory.devices import Device
from core.runs.evidence import Measured
from tests.tui.test_shell import settled, toasts, until
from tests.unit.memory.shapes import LLAMA_3_8B
from tui.plan.lists import Knobs, View
from tui.plan.views import VIEWS
from tui.widgets.bars import Bar

GIB = 1 << 30
SMALL = LLAMA_3_8B | {
    "vocab_size": 1024, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip


class Readings:
    """Readings that do not change, in place of the thread that asks the driver."""

    devices: tuple[Device, ...] = ()
    age_seconds = 0.0

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> type[Readings]:
    class OneCard(Readings):
        devices = (
            Device(
                "cuda",
                "A100 80GB",
                0,
                "GPU-0",
                total_bytes=80 * GIB,
                used_bytes=20 * GIB,
                free_bytes=60 * GIB,
            ),
        )

    monkeypatch.setattr("tui.plan.panel.DeviceWatcher", OneCard)
    return OneCard


def write_recipe(folder: Path, *lines: str, config: dict = LLAMA_3_8B) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "recipe.toml").write_text('[model]\nsource = "config.json"\n' + "\n".join(lines) + "\n")


def line(app, name: str) -> str:
    return app.query_one(f"#{name}", Bar).text()


def view(app) -> list[str]:
    return ["".join(part.text for part in one.parts) for one in app.query_one(View).lines]


async def priced(pilot) -> None:
    """Wait for a plan on the devices' first reading, the line that tells of them, and the focus."""
    app = pilot.app

    def is_there() -> bool:
        panel = app.panel
        if not (panel and panel.plan and panel.plan.verdict != "unknown" and view(app)):
            return False
        has_focus = any(part.style == "current" for part in app.query_one(Knobs)._lines[0])
        return has_focus and "now " in line(app, "live")

    await until(pilot, is_there)


async def test_every_step_of_a_knob_is_priced_at_once(tmp_path: Path, make_app, card) -> None:
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        before = app.panel.plan.peak_allocated_bytes
        assert line(app, "headline").startswith(
            " ✓ fits  peak 20.7 GiB in block  60.0 GiB free  34.2 GiB spare"
        )
        assert "others 20.0 GiB" in line(app, "legend")
        await pilot.press("down", "right")  # quantization: none -> int8
        await until(pilot, lambda: app.deck.recipe.model.quantization == "int8")
        await until(pilot, lambda: app.panel.plan.peak_allocated_bytes < before)
        await pilot.press("u")
        await until(pilot, lambda: app.deck.recipe.model.quantization == "none")
        await until(pilot, lambda: app.panel.plan.peak_allocated_bytes == before)


async def test_what_a_rule_forbids_is_told_and_nothing_changes(tmp_path: Path, make_app, card) -> None:
    write_recipe(tmp_path, "quantization = 'nf4'")
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        await pilot.press("left")  # method: lora -> full, which cannot train nf4 weights
        await until(pilot, lambda: any("nf4" in text for text in toasts(app)))
        assert app.deck.recipe.tuner.method == "lora"
        assert not app.panel._undo


async def test_a_value_is_typed_and_ten_million_tokens_are_refused_in_words(
    tmp_path: Path, make_app, card
) -> None:
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        app.query_one(Knobs).at = 5
        await pilot.press("enter")
        field = app.query_one("#typed")
        field.value = "4,096"
        await pilot.press("enter")
        await until(pilot, lambda: app.deck.recipe.data.max_length == 4096)
        await pilot.press("enter")
        field.value = "10000000"
        await pilot.press("enter")
        await until(pilot, lambda: "beyond the model's context of 8,192" in line(app, "headline"))
        assert view(app) == []


async def test_levers_that_make_it_fit_are_applied_together_and_keep_the_batch(
    tmp_path: Path, make_app, card
) -> None:
    write_recipe(tmp_path, "[tuner]", 'method = "full"', "[data]", "max_length = 8192")
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        assert app.panel.plan.verdict == "does not fit"
        batch = app.deck.recipe.effective_batch
        await pilot.press("v")
        await until(pilot, lambda: any("together it fits" in text for text in view(app)))
        await pilot.press("A")
        await until(pilot, lambda: app.panel.plan.verdict == "fits")
        assert app.deck.recipe.effective_batch == batch
        await pilot.press("A")
        await until(pilot, lambda: any("it fits as it is" in text for text in toasts(app)))


async def test_a_category_opens_its_sums(tmp_path: Path, make_app, card) -> None:
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: app.panel.view == "figures")
        text = "\n".join(view(app))
        assert "8,030,261,248 parameters x 2 B" in text
        assert "parameters from config.json" in text


async def test_all_views_have_lines_and_nothing_is_wider_than_the_screen(
    tmp_path: Path, make_app, card
) -> None:
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        for name in VIEWS:
            assert app.panel.view == name
            await until(pilot, lambda: len(view(app)) >= 3)
            assert [text for text in view(app) if len(text) > 53] == [], name
            await pilot.press("v")
        assert app.panel.view == "phases"


async def test_a_model_that_is_not_here_is_said_and_leaves_no_number(tmp_path: Path, make_app, card) -> None:
    (tmp_path / "recipe.toml").write_text('[model]\nsource = "nowhere/at-all"\n')
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(
            pilot,
            lambda: "no plan: nowhere/at-all: this model is not on this machine" in line(app, "headline"),
        )
        assert view(app) == []
        await pilot.press("t")
        await until(pilot, lambda: any("no plan to compare" in text for text in toasts(app)))


@pytest.mark.slow
async def test_a_dry_run_stands_beside_the_plan(tmp_path: Path, make_app, card) -> None:
    write_recipe(tmp_path, "[data]", "max_length = 64", config=SMALL)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        await pilot.press("t")
        await until(pilot, lambda: ", plan " in line(app, "status"), seconds=90)
        assert "dry run " in line(app, "status")


@pytest.fixture
def eight_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    class EightCards(Readings):
        devices = tuple(
            Device(
                "cuda", "H100 80GB", number, f"GPU-{number}", total_bytes=80 * GIB, used_bytes=number * 10 * GIB,
                free_bytes=(8 - number) * 10 * GIB, cuda_index=number,
            )
            for number in range(8)
        )  # fmt: skip

    monkeypatch.setattr("tui.plan.panel.DeviceWatcher", EightCards)


async def test_every_device_of_a_run_on_several_has_its_bar(tmp_path: Path, make_app, eight_cards) -> None:
    write_recipe(tmp_path, "[launch]", 'strategy = "fsdp"', "processes = 6")
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        bars = line(app, "device")
        assert len(bars) <= 80 and bars.count("▕") == 6 and bars.count("✓") == 6 and "▒" in bars
        app.panel._show_view("devices")
        await until(pilot, lambda: "GPU 5: 50.0 GiB others" in "".join(view(app)))
        text = view(app)
        assert sum(one.startswith(" ▕") for one in text) == 6  # with their numbers: two lines each
        assert [one for one in text if len(one) > 53] == []
        assert any("every process holds the same: fsdp, 6 processes" in one for one in text)
        assert any("2 more GPUs are not used by this run" in one for one in text)
        assert "30.0 GiB free" in line(app, "headline")  # the fullest of them decides


async def test_a_price_is_edited_in_the_table_and_kept_for_the_user(tmp_path: Path, make_app, card) -> None:
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        app.panel._show_view("GPUs")
        await until(pilot, lambda: any("H200" in one for one in view(app)))
        assert [one for one in view(app) if len(one) > 53] == []
        await pilot.press("tab", "down")
        assert view(app)[1].startswith(" T4 16GB")
        await pilot.press("enter")
        field = app.query_one("#typed")
        assert field.value == "0.50"
        field.value = "cheap"
        await pilot.press("enter")
        await until(pilot, lambda: any("cheap is not a price" in text for text in toasts(app)))
        await pilot.press("enter")
        field.value = "0.19"
        await pilot.press("enter")
        await until(pilot, lambda: "0.19*" in view(app)[1])
        assert prices_file().read_text() == '"T4 16GB" = 0.19\n'
        await pilot.press("enter")
        field.value = ""
        await pilot.press("enter")
        await until(pilot, lambda: "0.50 " in view(app)[1])


async def test_models_at_hand_stand_beside_every_gpu_type(tmp_path: Path, make_app, card) -> None:
    for name, config in (("small", SMALL), ("large", LLAMA_3_8B | {"num_hidden_layers": 640})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    (tmp_path / "recipe.toml").write_text('[model]\nsource = "small"\n')
    app = make_app(start="plan")
    async with app.run_test(size=(200, 50)) as pilot:
        await priced(pilot)
        app.panel._show_view("models")
        await until(pilot, lambda: any("none of these" in one for one in view(app)))
        small, large = (next(one for one in view(app) if name in one) for name in (" small", "large"))
        assert "RTX 3090 24GB" in small and "0.30" in small and small.count("✓") == 12
        assert large.count("✗") == 12 and large.count("-") >= 1  # a T4 has no bfloat16
        await pilot.press("tab", "down", "enter")
        await until(pilot, lambda: any("no bfloat16 there" in one for one in view(app)))
        assert sum("✓" in one for one in view(app)) == 12


@pytest.mark.parametrize("name", VIEWS)
def test_pictures(name: str, tmp_path: Path, make_app, card, size, snap_compare) -> None:
    write_recipe(tmp_path, "[tuner]", 'method = "full"', "[data]", "max_length = 4096")
    app = make_app(start="plan")

    async def ready(pilot) -> None:
        await priced(pilot)
        pilot.app.panel._show_view(name)
        await until(pilot, lambda: len(view(pilot.app)) >= 3)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=ready)


@pytest.mark.parametrize("name", ["phases", "devices"])
def test_pictures_of_eight_devices(
    name: str, tmp_path: Path, make_app, eight_cards, size, snap_compare
) -> None:
    write_recipe(tmp_path, "[launch]", 'strategy = "fsdp"', "processes = 8")
    app = make_app(start="plan")

    async def ready(pilot) -> None:
        await priced(pilot)
        pilot.app.panel._show_view(name)
        await settled(pilot)

    assert snap_compare(app, terminal_size=size, run_before=ready)


async def test_before_the_first_reading_no_device_is_made_up(tmp_path: Path, make_app, monkeypatch) -> None:
    monkeypatch.setattr("tui.plan.panel.DeviceWatcher", Readings)
    monkeypatch.setattr(Readings, "devices", ())
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "reading the devices" in line(app, "headline"))
        assert app.panel.plan is None


async def test_the_speed_of_an_earlier_run_is_looked_up_on_the_device_that_was_read(
    tmp_path: Path, make_app, card, monkeypatch
) -> None:
    asked: list[str] = []

    def speed(_workspace, _recipe, device: str) -> Measured:
        asked.append(device)
        return Measured(1234.0, "an-earlier-run")

    monkeypatch.setattr("tui.plan.panel.earlier_speed", speed)
    write_recipe(tmp_path)
    app = make_app(start="plan")
    async with app.run_test(size=(80, 24)) as pilot:
        await priced(pilot)
        await until(pilot, lambda: app.panel._speed is not None)
        assert asked == [app.panel.plan.room.name] and asked != [""]
