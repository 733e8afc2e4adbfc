"""Cards of whole and of broken folders: every fact, and every problem in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import TunedeckError
from core.models.card import ModelCard, card_json, read_card
from core.models.sources import locate
from core.models.weight_files import refuse_pickles
from tests.unit.models.model_folders import safetensors_bytes, write_model
from tui.model.card_lines import card_lines


def card_of(folder: Path) -> ModelCard:
    return read_card(locate(str(folder)))


def test_the_demo_has_no_problem() -> None:
    card = read_card(locate("demo"))
    assert card.problems == ()
    assert card.architecture is not None and card.weights is not None
    assert card.weights.parameters == card.architecture.parameters.total
    assert card.tokenizer is not None and card.tokenizer.instruct


def test_the_json_has_the_documented_keys(tmp_path: Path) -> None:
    shape = card_json(card_of(write_model(tmp_path / "m")))
    documented = (
        "id family parameters layers hidden_size heads kv_heads head_dim context_length vocab_size dtype attention "
        "experts licence gated template download_bytes"
    )
    assert set(documented.split()) <= set(shape)
    json.dumps(shape)
    assert shape["parameters"]["total"] == 4_944
    assert shape["dtype"] == "bfloat16"
    assert shape["licence"]["words"].startswith("free to use")


def broken(folder: Path, what: str) -> Path:
    write_model(folder)
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "config not JSON":
        (folder / "config.json").write_text("{")
    elif what == "unknown architecture":
        (folder / "config.json").write_text('{"model_type": "frobnicator"}')
    elif what == "encoder":
        (folder / "config.json").write_text('{"model_type": "bert"}')
    elif what == "cut weights":
        data = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(data[:-10])
    elif what == "missing shard":
        index = {
            "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        (folder / "model-00001-of-00002.safetensors").write_bytes(safetensors_bytes({"a": ("F32", [1], 4)}))
    elif what == "index leaves the folder":
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../../etc/passwd"}}')
    elif what == "index not JSON":
        (folder / "model.safetensors.index.json").write_text("[1]")
    elif what == "pickled":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif what == "template with an error":
        (folder / "chat_template.jinja").write_text("{% if %}")
    return folder


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no config", "no config.json"),
        ("config not JSON", "cannot be read"),
        ("unknown architecture", "frobnicator is not known to transformers"),
        ("encoder", "an encoder"),
        ("cut weights", "it is cut"),
        ("missing shard", "1 of 2 weight files are missing, first model-00002-of-00002.safetensors"),
        ("index leaves the folder", "outside the folder"),
        ("index not JSON", "index of the weights cannot be read"),
        ("pickled", "name the file in model.allow_pickle"),
        ("no weights", "no weights"),
        ("no tokenizer", "there is no tokenizer"),
    ],
)
def test_a_broken_folder_still_has_a_card_that_says_what_is_wrong(
    tmp_path: Path, what: str, words: str
) -> None:
    card = card_of(broken(tmp_path / "m", what))
    assert any(words in problem for problem in card.problems), card.problems
    assert not card.usable
    assert ("problem", card.problems[0]) in card_lines(card)


def test_a_broken_template_is_a_note(tmp_path: Path) -> None:
    card = card_of(broken(tmp_path / "m", "template with an error"))
    assert any("chat template cannot be used: line 1" in note for note in card.notes)


def test_weights_that_are_not_the_configs_are_told(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    assert any("the files hold 4,944 numbers" in note for note in card_of(folder).notes)


def test_code_that_wants_to_run_is_listed(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}})
    (folder / "modeling_x.py").write_text("print('ran')")
    card = card_of(folder)
    assert card.code_files == ("modeling_x.py",)
    assert any(label == "own code" and "modeling_x.py" in text for label, text in card_lines(card))


def test_a_bare_config_can_be_planned_with(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m")
    card = read_card(locate(str(folder / "config.json")))
    assert card.architecture is not None
    assert card.problems == ("a bare config: it can be planned with, not trained",)


@pytest.mark.parametrize(
    ("licence", "words"),
    [
        ("license: mit", "free to use"),
        ("license: cc-by-nc-4.0", "not for commercial use"),
        ("license: llama3.1", "700 million"),
        ("license: other\nlicense_name: acme-1", "acme-1: the maker's own terms"),
        ("tags: [x]", "not named: no licence is named"),
        ("license: [", "no licence is named"),
    ],
)
def test_licences_in_words(tmp_path: Path, licence: str, words: str) -> None:
    folder = write_model(tmp_path / "m")
    (folder / "README.md").write_text(f"---\n{licence}\n---\n")
    lines: dict[str, Any] = dict(card_lines(card_of(folder)))
    assert words in lines["licence"]


def test_pickles_are_refused_unless_the_recipe_names_the_file(tmp_path: Path) -> None:
    folder = broken(tmp_path / "m", "pickled")
    with pytest.raises(TunedeckError, match="loading them runs code") as told:
        refuse_pickles(folder, "")
    assert 'model.allow_pickle = "pytorch_model.bin"' in told.value.fix
    with pytest.raises(TunedeckError):
        refuse_pickles(folder, "another.bin")
    refuse_pickles(folder, "pytorch_model.bin")
    (folder / "extra.pt").write_bytes(b"x")
    with pytest.raises(TunedeckError, match=r"extra\.pt"):
        refuse_pickles(folder, "pytorch_model.bin")
    refuse_pickles(write_model(tmp_path / "safe"), "")
    write_model(tmp_path / "both").joinpath("pytorch_model.bin").write_bytes(b"x")
    refuse_pickles(tmp_path / "both", "")


def test_free_rows_are_counted(tmp_path: Path) -> None:
    card = card_of(write_model(tmp_path / "m"))
    assert card_json(card)["tokenizer"]["free_rows"] == 64 - 10
    assert "10 ids, 54 rows free" in dict(card_lines(card))["tokens"]
