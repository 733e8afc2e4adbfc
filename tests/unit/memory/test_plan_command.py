"""`tunedeck plan` and `tunedeck gpus` as a person calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.memory.shapes import LLAMA_3_8B


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_3_8B))
    return path


def tunedeck(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "tui.cli", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_plans_from_a_bare_config_and_says_with_its_exit_code_whether_it_fits(config: Path) -> None:
    found = tunedeck("plan", "--model", str(config), "--memory", "24GiB", "--json", cwd=config.parent)
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    assert document["verdict"] == "fits"
    assert document["available_bytes"] == 24 << 30
    assert document["phases"]["step"]["weights"] == 2 * 8_030_261_248
    too_small = tunedeck("plan", "--model", str(config), "--memory", "16GB", cwd=config.parent)
    assert too_small.returncode == 3
    assert too_small.stdout.startswith("does not fit: peak ")
    assert max(map(len, too_small.stdout.splitlines()[4:14])) <= 80
    bar = next(line for line in too_small.stdout.splitlines() if line.startswith(" ▕"))
    assert (
        bar.endswith("▶") and bar.count("W") > bar.count("C") > 0
    )  # over the end, weights before checkpoints
    (device,) = document["devices"]
    assert (device["verdict"], device["available_bytes"]) == ("fits", 24 << 30)


def test_a_plan_without_the_data_file_says_so(tmp_path: Path) -> None:
    said = "planned without data: nowhere.jsonl: no such data source"
    asked = ("plan", "--model", "demo", "--data", "nowhere.jsonl", "--memory", "24GiB")
    found = tunedeck(*asked, cwd=tmp_path)
    assert (found.returncode, found.stderr) == (0, f"note: {said}\n")
    as_json = tunedeck(*asked, "--json", cwd=tmp_path)
    assert as_json.stderr == f"note: {said}\n"
    assert json.loads(as_json.stdout)["notes"][-1] == said


def test_options_that_contradict_and_cards_that_are_not_known_are_usage_errors(config: Path) -> None:
    both = tunedeck("plan", "--model", str(config), "--gpu", "H100", "--memory", "24GiB", cwd=config.parent)
    assert (both.returncode, both.stdout) == (2, "")
    vague = tunedeck("plan", "--model", str(config), "--gpu", "A100", cwd=config.parent)
    assert vague.returncode == 2
    assert "A100 40GB, A100 80GB" in vague.stderr


def test_a_config_without_heads_is_an_error_and_never_a_number(tmp_path: Path) -> None:
    broken = {key: value for key, value in LLAMA_3_8B.items() if key != "hidden_size"}
    (tmp_path / "config.json").write_text(json.dumps({**broken, "num_attention_heads": 0}))
    found = tunedeck("plan", "--model", str(tmp_path / "config.json"), "--memory", "24GiB", cwd=tmp_path)
    assert found.returncode != 0
    assert found.stdout == ""
    assert "Traceback" not in found.stderr


def test_solving_answers_in_words_and_json_and_exits_3_where_nothing_fits(config: Path) -> None:
    called = ("plan", "--model", str(config), "--solve")
    words = tunedeck(*called, "gpu", cwd=config.parent)
    assert words.stdout.startswith("RTX 4090 24GB, about ")
    found = tunedeck(*called, "max_length", "--memory", "24GiB", "--json", cwd=config.parent)
    assert json.loads(found.stdout)["value"] > 2048
    nothing = tunedeck(*called, "rank", "--memory", "4GiB", cwd=config.parent)
    assert (nothing.returncode, nothing.stdout) == (3, "")
    unknown = tunedeck(*called, "colour", "--memory", "24GiB", cwd=config.parent)
    assert unknown.returncode == 2


def test_what_to_rent_stands_on_a_persons_own_prices(config: Path) -> None:
    kept = tunedeck("gpus", "--price", "RTX A6000=0.05", cwd=config.parent)
    assert kept.returncode == 0 and "0.05 $/h  (your price)" in kept.stdout
    found = tunedeck("plan", "--model", str(config), "--rent", "--json", cwd=config.parent)
    document = json.loads(found.stdout)
    model = next(one for one in document["models"] if one["model"] == str(config))
    assert (model["cheapest"], model["price_per_hour"]) == ("RTX A6000 48GB", 0.05)
    assert model["verdicts"]["T4 16GB"] is None  # no bfloat16 there
    assert document["methods"]["full"]["RTX A6000 48GB"] == "does not fit"
    text = tunedeck("plan", "--model", str(config), "--rent", cwd=config.parent).stdout
    assert max(map(len, text.splitlines())) <= 120 and "0.05*" in text
    for wrong in ("RTX A6000=cheap", "RTX A6000", "RTX A6000=-1", "no card=1"):
        assert tunedeck("gpus", "--price", wrong, cwd=config.parent).returncode == 2
    assert "your price" not in tunedeck("gpus", "--price", "RTX A6000=", cwd=config.parent).stdout


def test_what_does_not_fit_is_told_with_the_changes_that_make_it_fit(config: Path) -> None:
    found = tunedeck("plan", "--model", str(config), "--memory", "12GiB", cwd=config.parent)
    assert found.returncode == 3
    options = next(line.split() for line in found.stdout.splitlines() if line.startswith("  --set "))
    again = tunedeck(
        "plan",
        "--model",
        str(config),
        "--memory",
        "12GiB",
        *(one.replace('"', "") for one in options),
        cwd=config.parent,
    )
    assert again.returncode == 0
    assert again.stdout.startswith("fits: ")


def test_the_dry_run_stands_in_the_json_answer_and_has_as_many_rows_as_were_asked_for(tmp_path: Path) -> None:
    small = {
        "model_type": "llama", "vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "tie_word_embeddings": True,
    }  # fmt: skip
    config = tmp_path / "config.json"
    config.write_text(json.dumps(small))
    found = tunedeck(
        "plan", "--model", str(config), "--memory", "24GiB", "--set", "data.max_length=64",
        "--trace", "--vocabulary", "5000", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    document = json.loads(found.stdout)
    traced = document["trace"]
    # Two layers of q, k, v, o, the MLP and two norms; the last norm; the tied embedding. bfloat16.
    layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * 64
    weights = 2 * (2 * layer + 64 + 5000 * 64)
    assert traced["phases"]["step"]["weights"] == document["phases"]["step"]["weights"] == weights
    assert traced["peak_phase"] in document["phases"]
    compared = document["comparison"]
    assert compared["traced_bytes"] == traced["peak_allocated_bytes"]
    assert compared["difference"] == round(
        traced["peak_allocated_bytes"] / document["peak_allocated_bytes"] - 1, 4
    )
    assert traced["peak_allocated_bytes"] == max(sum(phase.values()) for phase in traced["phases"].values())
    nothing = tunedeck("plan", "--model", str(config), "--trace", "--vocabulary", "0", cwd=tmp_path)
    assert (nothing.returncode, nothing.stdout) == (2, "")


def test_history_lists_and_forgets(config: Path) -> None:
    found = tunedeck("plan", "--history", cwd=config.parent)
    assert found.stdout == "no finished run here has both a plan and a measured peak\n"
    assert "nothing was learnt yet" in tunedeck("plan", "--forget", cwd=config.parent).stderr


def test_planning_imports_no_torch(config: Path) -> None:
    code = (
        "import sys; from tui.commands.all import app; import contextlib\n"
        f"with contextlib.suppress(SystemExit): app(['plan', '--model', {str(config)!r}, '--memory', '80GB'])\n"
        "print(sorted({'torch', 'transformers', 'trl', 'textual'} & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=config.parent, capture_output=True, text=True, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_gpus_lists_the_host_last(tmp_path: Path) -> None:
    found = tunedeck("gpus", "--json", cwd=tmp_path)
    devices = json.loads(found.stdout)
    assert devices[-1]["kind"] == "host"
    assert devices[-1]["total_bytes"] > devices[-1]["free_bytes"] > 0


def test_a_plan_uses_the_lengths_that_a_check_of_the_same_rows_found(tmp_path: Path) -> None:
    assert tunedeck("init", "my.toml", cwd=tmp_path).returncode == 0
    before = tunedeck("plan", "my.toml", "--json", cwd=tmp_path)
    assert any("max_length 2,048 is above" in note for note in json.loads(before.stdout)["notes"])
    checked = json.loads(tunedeck("check", "my.toml", "--json", cwd=tmp_path).stdout)
    after = json.loads(tunedeck("plan", "my.toml", "--json", cwd=tmp_path).stdout)
    assert after["length"] == checked["lengths"]["longest"] < 512
    assert not any("context" in note for note in after["notes"])
    assert after["tokens_per_step"] < json.loads(before.stdout)["tokens_per_step"]
