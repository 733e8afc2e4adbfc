"""Levers, solving for a field, tables, time and cost."""

from __future__ import annotations

import dataclasses

import pytest

from core.errors import UsageError
from core.memory.cards import card_named, cards, prices_file
from core.memory.figure import GIB
from core.memory.fit import (
    Case,
    case,
    combined,
    largest,
    levers,
    smallest_card,
)
from core.memory.pace import flops_per_token, pace
from core.memory.setting import Lengths
from core.memory.stack import Stack
from core.memory.tables import by_method_and_card, by_method_and_length
from core.memory.verdict import Room
from core.recipe import Recipe, parse_recipe, with_changes
from tests.unit.memory.shapes import LLAMA_3_8B, architecture


def recipe(*changes: str) -> Recipe:
    return parse_recipe("", list(changes))


def on(gib: float, lengths: Lengths | None = None) -> Case:
    room = Room("cuda", f"{gib} GiB", total=round(gib * GIB), available=round(gib * GIB))
    return case(architecture(LLAMA_3_8B), lengths, room, Stack())


def test_a_lever_saves_exactly_what_the_plan_of_its_recipe_says() -> None:
    one, subject = recipe("tuner.method=full", "data.max_length=4096"), on(80)
    now = subject.plan(one)
    found = levers(one, subject)
    assert len(found) >= 5
    for lever in found:
        then = subject.plan(with_changes(one, lever.changes))
        assert lever.saving_bytes == now.peak_allocated_bytes - then.peak_allocated_bytes > 0
        assert lever.verdict == then.verdict
    assert [(lever.quality, lever.speed) for lever in found] == sorted(
        (lever.quality, lever.speed) for lever in found
    )


def test_smaller_micro_batches_keep_the_effective_batch() -> None:
    one = recipe("training.micro_batch=6", "training.accumulation=3")
    found = [lever for lever in levers(one, on(80)) if "training.micro_batch" in lever.changes]
    assert found
    assert {with_changes(one, lever.changes).effective_batch for lever in found} == {18}


def test_levers_combine_until_it_fits_and_none_is_taken_in_vain() -> None:
    one, subject = recipe("tuner.method=full", "data.max_length=4096"), on(24)
    taken, changed = combined(one, subject)
    assert subject.plan(changed).verdict == "fits"
    assert changed.effective_batch == one.effective_batch
    for lever in taken:
        rest = one
        for other in taken:
            if other is not lever:
                rest = with_changes(rest, other.changes)
        assert subject.plan(rest).verdict != "fits", f"{lever.name} was not needed"


def test_where_nothing_helps_the_last_verdict_stands() -> None:
    _taken, changed = combined(recipe(), on(2))
    assert on(2).plan(changed).verdict == "does not fit"


@pytest.mark.parametrize(
    ("field", "key"),
    [("max_length", "data.max_length"), ("micro_batch", "training.micro_batch"), ("rank", "tuner.rank")],
)
def test_the_largest_value_fits_and_one_more_does_not(field: str, key: str) -> None:
    one, subject = recipe('model.quantization="nf4"'), on(24)
    value = largest(one, subject, field)
    assert value is not None
    assert subject.plan(with_changes(one, {key: value})).verdict == "fits"
    assert subject.plan(with_changes(one, {key: value + 1})).verdict != "fits"


def test_solving_says_so_where_there_is_no_answer() -> None:
    assert largest(recipe(), on(4), "micro_batch") is None
    with pytest.raises(UsageError, match="cannot solve for epochs"):
        largest(recipe(), on(4), "epochs")
    with pytest.raises(UsageError, match="no memory to solve for"):
        largest(recipe(), dataclasses.replace(on(4), room=Room()), "rank")


def test_smallest_card_computes_in_the_recipe_dtype() -> None:
    small = recipe("data.max_length=512", "training.micro_batch=1", 'model.quantization="nf4"')
    found = smallest_card(small, on(80))
    assert found is not None
    assert found.name == "L4 24GB"  # the T4 has the room but no bfloat16
    assert smallest_card(recipe("tuner.method=full", "model.dtype=float32"), on(80)) is not None


def test_tables_by_length_and_by_card() -> None:
    one, subject = recipe(), on(24)
    table = by_method_and_length(one, subject)
    assert list(table["lora"]) == [512, 1024, 2048, 4096, 8192]  # up to the model's context
    row = [plan.peak_allocated_bytes for plan in table["lora"].values() if plan is not None]
    assert row == sorted(row)
    rent = by_method_and_card(one, subject)
    assert set(rent["qlora nf4"]) == {card.name for card in cards()}


def test_own_prices_are_laid_over_the_table() -> None:
    prices_file().parent.mkdir(parents=True)
    prices_file().write_text('"H100 80GB" = 1.99\n')
    assert card_named("h100").price == 1.99
    prices_file().write_text("not toml")
    with pytest.raises(UsageError, match="not TOML"):
        cards()


def test_flops_are_six_per_parameter_and_token_for_full_training() -> None:
    shape = architecture(LLAMA_3_8B, num_hidden_layers=1)
    full = recipe("tuner.method=full", "training.gradient_checkpointing=false")
    weights = shape.parameters.total - shape.parameters.embedding
    attention = 3 * 4 * 32 * 128 * 1000 / 2
    assert flops_per_token(full, shape, 1000) == 6 * weights + attention
    assert flops_per_token(recipe(), shape, 1000) == 6 * weights + attention  # LoRA: 2 + 2, and the recompute


def test_pace_says_what_it_rests_on() -> None:
    shape, lengths = architecture(LLAMA_3_8B), Lengths(rows=1000, longest=900, mean=500.0)
    subject, one = on(80, lengths), recipe("training.epochs=2")
    made = subject.plan(one)
    measured = pace(one, shape, made, lengths, tokens_per_second=4000.0, measured_in="run 3")
    assert (measured.tokens, measured.seconds) == (1_000_000, (250.0, 250.0))
    assert measured.steps == one.steps(1000)
    assert "4,000 tokens/s measured in run 3" in measured.rests_on
    guessed = pace(one, shape, made, lengths, card=card_named("h100"))
    assert guessed.seconds is not None
    assert guessed.cost is not None
    assert guessed.seconds[0] * 3 == pytest.approx(guessed.seconds[1])
    assert pace(one, shape, made, lengths).seconds is None
    assert pace(one, shape, made, None).tokens is None
