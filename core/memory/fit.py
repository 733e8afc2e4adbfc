"""What would make a run fit: levers with exact savings, and a field solved for.

Every figure here is a plan of a changed recipe, so a lever's saving is exact by the same formulas.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import TunedeckError, UsageError
from core.memory.cards import Card, cards
from core.memory.plan import Plan, plan
from core.memory.setting import Lengths
from core.memory.stack import Stack, installed_stack
from core.memory.verdict import Room, Verdict
from core.models.architecture import Architecture
from core.recipe import ADAPTER_METHODS, Recipe, with_changes


@dataclass(frozen=True, slots=True)
class Case:
    """What is being planned: everything `plan` needs but the recipe."""

    architecture: Architecture
    lengths: Lengths | None
    room: Room
    stack: Stack

    def plan(self, recipe: Recipe) -> Plan:
        return plan(recipe, self.architecture, self.lengths, stack=self.stack, room=self.room)


@dataclass(frozen=True, slots=True)
class Lever:
    """One change. `quality` and `speed` grade its price from 0 (none) to 3; `price` says it in words."""

    name: str
    changes: dict[str, Any]
    quality: int
    speed: int
    price: str
    saving_bytes: int
    peak_allocated_bytes: int
    verdict: Verdict

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    changes: dict[str, Any]
    quality: int
    speed: int
    price: str


def case(architecture: Architecture, lengths: Lengths | None, room: Room, stack: Stack | None = None) -> Case:
    return Case(architecture, lengths, room, stack or installed_stack())


def levers(recipe: Recipe, subject: Case) -> tuple[Lever, ...]:
    """Every change that lowers the peak, cheapest first, each with its exact saving and the new verdict."""
    now = subject.plan(recipe)
    found = []
    for offer in _offers(recipe, subject, now):
        priced = _priced(recipe, subject, offer, now)
        if priced is not None and priced.saving_bytes > 0:
            found.append(priced)
    return tuple(sorted(found, key=lambda one: (one.quality, one.speed, -one.saving_bytes)))


def combined(recipe: Recipe, subject: Case) -> tuple[tuple[Lever, ...], Recipe]:
    """The levers that make the run fit together, cheapest first, and the recipe they make.

    Levers are taken one after another until it fits, then those that are not needed after all are put back.
    Each saving is on top of those before it. If nothing makes it fit, the last verdict says so.
    """
    chosen: list[dict[str, Any]] = []
    now = recipe
    while subject.plan(now).verdict not in ("fits", "unknown"):
        used = {key for changes in chosen for key in changes}
        fresh = [lever for lever in levers(now, subject) if not used & set(lever.changes)]
        if not fresh:
            break
        enough = [lever for lever in fresh if lever.verdict == "fits"]
        same_price = [
            lever for lever in enough if (lever.quality, lever.speed) == (fresh[0].quality, fresh[0].speed)
        ]
        # Of equal price the one that changes least is enough; otherwise the cheapest is taken and the search goes on.
        chosen.append(
            min(same_price, key=lambda one: one.saving_bytes).changes if same_price else fresh[0].changes
        )
        now = with_changes(now, chosen[-1])
    if subject.plan(now).verdict == "fits":
        chosen = _needed(recipe, subject, chosen)
    return _one_after_another(recipe, subject, chosen)


def _needed(recipe: Recipe, subject: Case, chosen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The changes without those whose absence still fits."""
    kept = list(chosen)
    for changes in chosen:
        fewer = [one for one in kept if one is not changes]
        if _verdict_with(recipe, subject, fewer) == "fits":
            kept = fewer
    return kept


def _verdict_with(recipe: Recipe, subject: Case, chosen: list[dict[str, Any]]) -> Verdict:
    for changes in chosen:
        recipe = with_changes(recipe, changes)
    return subject.plan(recipe).verdict


def _one_after_another(
    recipe: Recipe, subject: Case, chosen: list[dict[str, Any]]
) -> tuple[tuple[Lever, ...], Recipe]:
    found = []
    for changes in chosen:
        now = subject.plan(recipe)
        offer = next(one for one in _offers(recipe, subject, now) if one.changes == changes)
        lever = _priced(recipe, subject, offer, now)
        assert lever is not None
        found.append(lever)
        recipe = with_changes(recipe, changes)
    return tuple(found), recipe


def largest(recipe: Recipe, subject: Case, field: str) -> int | None:
    """The largest value of `max_length`, `micro_batch` or `rank` that fits; None if not even the smallest does.

    Rows are taken to be as long as max_length allows when that is what is solved for. Raises UsageError for
    another field, or where no memory is known.
    """
    if subject.room.available is None:
        raise UsageError("no memory to solve for", fix="name a size: --memory 24GiB, or --gpu")
    limits = {
        "max_length": ("data.max_length", subject.architecture.context_length or 1 << 20),
        "micro_batch": ("training.micro_batch", 1 << 12),
        "rank": ("tuner.rank", 4096),
    }
    if field not in limits:
        raise UsageError(f"cannot solve for {field}", fix="use max_length, micro_batch, rank or gpu")
    key, limit = limits[field]
    if field == "max_length":
        subject = Case(subject.architecture, None, subject.room, subject.stack)

    def fits(value: int) -> bool:
        return subject.plan(with_changes(recipe, {key: value})).verdict == "fits"

    return _bisect(fits, limit)


def smallest_card(recipe: Recipe, subject: Case) -> Card | None:
    """The card with the least memory that the run fits on, empty; None if none of the table does."""
    for card in sorted(cards(), key=lambda one: (one.gib, one.price)):
        if recipe.model.dtype == "bfloat16" and not card.bf16:
            continue
        if on_card(recipe, subject, card).verdict == "fits":
            return card
    return None


def on_card(recipe: Recipe, subject: Case, card: Card) -> Plan:
    """The plan on an empty card of that type."""
    room = Room("cuda", card.name, card.bytes, card.bytes)
    return Case(subject.architecture, subject.lengths, room, subject.stack).plan(recipe)


def plan_or_none(recipe: Recipe, subject: Case, changes: dict[str, Any]) -> Plan | None:
    """The plan of the changed recipe; None where it cannot be."""
    try:
        return subject.plan(with_changes(recipe, changes))
    except TunedeckError:
        return None


def _priced(recipe: Recipe, subject: Case, offer: _Offer, now: Plan) -> Lever | None:
    then = plan_or_none(recipe, subject, offer.changes)
    if then is None:
        return None
    return Lever(
        offer.name, offer.changes, offer.quality, offer.speed, offer.price,
        now.peak_allocated_bytes - then.peak_allocated_bytes, then.peak_allocated_bytes, then.verdict,
    )  # fmt: skip


def _offers(recipe: Recipe, subject: Case, now: Plan) -> list[_Offer]:
    """Changes worth trying on this recipe. Which of them save anything is for the plan to say."""
    return [*_free(recipe, now), *_slower(recipe, subject), *_other_training(recipe, now)]


def _free(recipe: Recipe, now: Plan) -> list[_Offer]:
    """Changes that cost neither quality nor speed."""
    model, training, found = recipe.model, recipe.training, []
    if model.attention == "eager":
        found.append(_Offer("attention sdpa", {"model.attention": "sdpa"}, 0, 0, "nothing"))
    if training.optimizer in ("adamw_torch", "adamw_torch_for_loop"):
        found.append(_Offer("fused AdamW", {"training.optimizer": "adamw_torch_fused"}, 0, 0, "nothing"))
    if model.dtype == "float32" and now.setting.device == "cuda":
        found.append(
            _Offer(
                "weights in bfloat16",
                {"model.dtype": "bfloat16"},
                1,
                0,
                "sums of small updates round in bf16",
            )
            if recipe.tuner.method in ("full", "freeze")
            else _Offer(
                "base weights in bfloat16",
                {"model.dtype": "bfloat16"},
                0,
                0,
                "nothing; the adapter stays fp32",
            )
        )
    return found


def _slower(recipe: Recipe, subject: Case) -> list[_Offer]:
    """Changes that cost speed only. The effective batch stays as it is."""
    training, found = recipe.training, []
    if not training.gradient_checkpointing and recipe.tuner.method != "prefix":
        found.append(
            _Offer(
                "gradient checkpointing",
                {"training.gradient_checkpointing": True},
                0,
                2,
                "about a third more compute",
            )
        )
    each = training.micro_batch * training.accumulation
    for smaller in sorted({training.micro_batch // 2, 1}, reverse=True):
        if 0 < smaller < training.micro_batch and each % smaller == 0:
            found.append(
                _Offer(
                    f"micro-batch {training.micro_batch} -> {smaller}, accumulation {training.accumulation} -> {each // smaller}",
                    {"training.micro_batch": smaller, "training.accumulation": each // smaller},
                    0, 1, "smaller steps use the GPU less well",
                )
            )  # fmt: skip
    eval_batch = training.extra.get("per_device_eval_batch_size", training.micro_batch)
    if eval_batch > 1:
        found.append(
            _Offer(
                "evaluation batch 1",
                {"training.extra.per_device_eval_batch_size": 1},
                0,
                1,
                "slower evaluation",
            )
        )
    del subject
    return found


def _other_training(recipe: Recipe, now: Plan) -> list[_Offer]:
    """Changes of what is trained or with what: they may cost quality."""
    model, tuner, training, found = recipe.model, recipe.tuner, recipe.training, []
    if training.optimizer.startswith("adamw_torch") and now.setting.device == "cuda":
        found.append(
            _Offer(
                "8-bit AdamW",
                {"training.optimizer": "adamw_bnb_8bit"},
                1,
                0,
                "optimizer states in 8 bit; embeddings stay 32",
            )
        )
    if tuner.method == "full":
        found.append(
            _Offer(
                "LoRA in place of full",
                {"tuner.method": "lora"},
                2,
                0,
                "an adapter learns less than all weights",
            )
        )
    if model.quantization == "none" and tuner.method in ADAPTER_METHODS and now.setting.device == "cuda":
        found.append(
            _Offer(
                "base in nf4 (QLoRA)",
                {"model.quantization": "nf4"},
                1,
                2,
                "a little quality, about 1.5 x slower",
            )
        )
    if tuner.method in ("lora", "rslora", "dora") and tuner.rank > 8:
        found.append(
            _Offer(f"rank {tuner.rank} -> 8", {"tuner.rank": 8}, 2, 0, "a smaller adapter holds less")
        )
    if tuner.method == "dora":
        found.append(
            _Offer("LoRA in place of DoRA", {"tuner.method": "lora"}, 1, 0, "DoRA's small gain at low rank")
        )
    half = now.setting.length // 2
    if half >= 256:
        found.append(
            _Offer(
                f"max_length {now.setting.length:,} -> {half:,}",
                {"data.max_length": half},
                3,
                0,
                "longer rows are cut",
            )
        )
    return found


def _bisect(fits: Callable[[int], bool], limit: int) -> int | None:
    """The largest value in 1..limit that fits, memory growing with the value."""
    if not fits(1):
        return None
    low, high = 1, 2
    while high < limit and fits(high):
        low, high = high, high * 2
    high = min(high, limit)
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
