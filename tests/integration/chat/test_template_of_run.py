"""The template that `data.template` names is saved with the result, and the chat uses that one."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from core.chat.load import load_tokenizer
from core.chat.subject import Subject
from core.recipe import parse_recipe
from core.train.loading import give_template

OTHER = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"


def test_the_runs_own_template_answers(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jinja").write_text(OTHER)
    recipe = parse_recipe('[data]\ntemplate = "other.jinja"\n')
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    give_template(tokenizer, tiny_model, recipe, tmp_path)
    tokenizer.save_pretrained(tmp_path / "adapter")
    (tmp_path / "other.jinja").write_text("changed later")
    found = load_tokenizer(Subject("run", tiny_model, template_folder=tmp_path / "adapter"))
    assert found.chat_template == OTHER

    own = AutoTokenizer.from_pretrained(tiny_model)
    give_template(own, tiny_model, parse_recipe(""), tmp_path)
    assert own.chat_template == AutoTokenizer.from_pretrained(tiny_model).chat_template
