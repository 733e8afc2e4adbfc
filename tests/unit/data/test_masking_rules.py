"""The checks on labels that other trainers made: each rule fires for the entries known to be wrong, and no other."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.checks.facts import ModelFacts, RowFacts
from core.data.checks.labels import label_notes
from core.data.checks.model import model_facts
from core.data.checks.template import template_notes
from core.data.drafting import Drafter
from core.data.encoders import exact_encoder
from core.data.parts import rendering_of
from core.data.rowpass import label_conversations
from core.data.templates import choose_template
from core.data.tokenizer import load_tokenizer
from core.data.types import IGNORED
from core.recipe import Recipe, with_changes
from tests.unit.data.test_labels_matrix import conversation_of, freeze_to_november

ALL = ("plain", "think", "bracket", "system", "newline", "tool")
PER_TURN = ("TRL assistant_only", "Unsloth auto", "Axolotl chat_template", "prefix render")
STOCK = (
    "TRL prompt/completion",
    "Unsloth auto",
    "Axolotl chat_template",
    "mlx-lm mask_prompt",
    "prefix render",
)
CODES = {
    "D3": {"stop-outside-loss", "no-stop"},
    "D9": {"prompt-mismatch", "boundary-merge"},
    "D10": {"markers-miss-answer"},
    "D11": {"markers-take-prompt"},
    "D12": {"system-dropped", "tool-call-dropped", "tool-result-dropped", "thinking-dropped", "thinking-stripped", "text-dropped"},
    "D14": {"supplied-in-loss", "header-in-loss"},
    "D20": {"tool-result-in-loss"},
    "D41": {"next-turn-in-loss"},
}  # fmt: skip
# Method, then tokenizers, then conversations: every pair of the two is an entry.
Known = list[tuple[str, str, tuple[str, ...]]]
AX, UN, PRE, AO, PC, MLX = "Axolotl chat_template", "Unsloth auto", "prefix render", "TRL assistant_only", "TRL prompt/completion", "mlx-lm mask_prompt"  # fmt: skip
NINE = "qwen2_5 qwen3 phi3_mini phi4 smollm2 mistral_v3 olmo2 granite3 gpt_oss"
EXPECTED: dict[str, Known] = {
    "D3": [
        (AX, "qwen3", ("plain",)), (AX, "phi3_mini", ALL), (AX, "gpt_oss", ALL[:5]),
        (UN, "qwen2_5 smollm2 olmo2", ("newline",)), (UN, "olmo2 gpt_oss", ("plain", "think")),
        (PRE, "mistral_v3", ("system",)),
    ],
    "D6": [(UN, "qwen2_5 smollm2 olmo2", ("newline",)), (PRE, "mistral_v3", ("system",)), (MLX, "mistral_v3", ("system",))],
    "D10": [
        (AX, NINE, ("bracket",)), (AX, "qwen3", ("plain", "think")),
        (UN, "qwen2_5 smollm2 olmo2", ("newline",)), (PRE, "mistral_v3", ("system",)),
    ],
    "D11": [(PRE, "qwen3", ("plain", "think")), (AX, "qwen3", ("think",))],
    "D14": [
        (AO, "qwen2_5", ("plain", "think", "bracket", "system", "tool")), (AO, "phi3_mini", ("newline", "tool")),
        (UN, "phi3_mini phi4 smollm2 mistral_v3 olmo2 granite3", ("tool",)),
        (AX, "qwen3", ("plain", "think")), (AX, "olmo2", ("newline",)),
        (PRE, "qwen3", ("think",)), (PRE, "phi3_mini phi4 olmo2", ("tool",)), (PC, "olmo2", ("newline",)),
    ],
    "D20": [(UN, "smollm2 mistral_v3 granite3", ("tool",))],
    "D41": [
        (AX, "qwen3", ("plain", "think", "tool")), (UN, "smollm2 mistral_v3 granite3", ("tool",)),
        (PRE, "qwen3", ("plain", "think", "tool")), (PRE, "phi3_mini", ("plain", "think")), (PRE, "smollm2 granite3", ("tool",)),
    ],
    "D9": [
        *((method, "qwen2_5 smollm2 olmo2", ("newline",)) for method in STOCK),
        *((method, "mistral_v3", ("system",)) for method in STOCK), (AO, "qwen2_5", ("newline",)),
    ],
    "D12": [
        *((method, "qwen3", ("think",)) for method in STOCK), *((method, "mistral_v3", ("system",)) for method in STOCK),
        *((method, "phi3_mini phi4 smollm2 olmo2 granite3", ("tool",)) for method in STOCK), (AO, "phi3_mini", ("tool",)),
    ],
}  # fmt: skip

Entry = tuple[str, str, str]


@pytest.fixture(scope="module")
def fired(shared_data: Path) -> dict[str, set[Entry]]:
    """Every rule with the entries of the matrix it fires for, and under "ids" every entry that has ids."""
    with pytest.MonkeyPatch.context() as patch:
        freeze_to_november(patch)
        found: dict[str, set[Entry]] = defaultdict(set)
        for entry in json.loads((shared_data / "masking_matrix.json").read_text()):
            if entry["input_ids"] is None:
                continue
            key = (entry["method"], entry["tokenizer"], entry["conversation"])
            found["ids"].add(key)
            for rule in _rules(shared_data / "tokenizers" / entry["tokenizer"], entry):
                found[rule].add(key)
        return found


@cache
def _model(folder: Path, template: str) -> ModelFacts:
    recipe = with_changes(Recipe(), {"data.loss_on": "assistant", "data.template": template})
    tokenizer = load_tokenizer(folder)
    return model_facts(recipe, folder, Drafter(recipe.data, tokenizer, choose_template(template, tokenizer)))


def _rules(folder: Path, entry: dict[str, Any]) -> set[str]:
    model = _model(folder, "trl-training" if entry["template"] == "training" else "model")
    drafter, tokenizer = model.drafter, model.tokenizer
    conversation = conversation_of(entry["messages"])
    batch = label_conversations([conversation], drafter, exact_encoder(tokenizer), align=True)
    draft, ids = batch.drafts[0], batch.encoded.ids
    assert ids.tolist() == entry["input_ids"]
    # One entry has more mask values than ids, all of them 0.
    trained = np.array(entry["train_mask"][: len(ids)], dtype=bool)
    draft.source = "markers"  # like markers, such labels are somebody's word that the checks must not trust
    rendering = rendering_of(draft, drafter.stops, str(tokenizer.special_texts.get("bos_token", "")))
    starts, ends = batch.characters(0) or (ids, ids)
    labels = np.where(trained, ids, IGNORED)
    facts = RowFacts(conversation, draft, rendering, ids, labels, trained, starts, ends)
    codes = {note.code for note in (*label_notes(facts, model), *template_notes(facts, model))}
    return {rule for rule, known in CODES.items() if codes & known} | (set() if trained.any() else {"D6"})


@pytest.mark.parametrize("rule", EXPECTED)
def test_a_rule_fires_for_exactly_the_known_entries(fired: dict[str, set[Entry]], rule: str) -> None:
    expected = {
        (method, name, conversation)
        for method, names, conversations in EXPECTED[rule]
        for name in names.split()
        for conversation in conversations
    } & fired["ids"]
    found = fired[rule]
    if rule in ("D3", "D10"):  # the other two methods mask earlier turns by design
        found = {entry for entry in found if entry[0] in PER_TURN}
    assert found == expected
    assert expected
