"""Several columns: adapters of one base in one process, other models in their own, each answering as it would alone."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from core.chat.chorus import Chorus
from core.chat.messages import Done
from core.chat.sampling import Sampling
from core.chat.subject import Subject, shares_worker
from core.errors import TunedeckError, UsageError
from tests.integration.tiny import make_adapter

QUESTION = [{"role": "user", "content": "the cat sees the dog"}]
SHORT = Sampling(temperature=0.0, max_tokens=6)


def subject_of(model: Path, adapter: Path) -> Subject:
    return Subject(adapter.name, model, adapter=adapter, template_folder=adapter, dtype="float32")


@pytest.fixture(scope="module")
def second(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "second", seed=2)


def said(chorus: Chorus, who: str) -> tuple[int, ...]:
    number = chorus.ask(who, QUESTION, SHORT)
    return next(m.answer.ids for m in chorus.replies(number) if isinstance(m, Done))


def test_three_voices_on_one_set_of_weights_and_a_fourth_beside(
    tiny_model: Path, tiny_adapter: Path, second: Path, tmp_path: Path
) -> None:
    first = subject_of(tiny_model, tiny_adapter)
    with Chorus(first) as chorus:
        assert chorus.add(subject_of(tiny_model, second)) == "second"
        plain = replace(first, label="plain", adapter=None)
        assert chorus.add(plain, "elsewhere") == "elsewhere"
        assert chorus.names == ["base", "tuned", "second", "elsewhere"]
        answers = {who: said(chorus, who) for who in chorus.names}
        assert len(chorus.pids) == 2
        assert answers["elsewhere"] == answers["base"]
        assert len({answers["base"], answers["tuned"], answers["second"]}) == 3
        with Chorus(subject_of(tiny_model, second), with_base=False) as alone:
            assert said(alone, "tuned") == answers["second"]

        with pytest.raises(UsageError, match="base is here already"):
            chorus.add(plain, "base")
        chorus.drop("elsewhere")
        assert len(chorus.pids) == 1
        chorus.drop("second")
        assert chorus.add(subject_of(tiny_model, second), "back") == "back"
        assert said(chorus, "back") == answers["second"]

        # An adapter that cannot be loaded: its column is not there, the others answer on.
        broken = tmp_path / "broken"
        shutil.copytree(second, broken)
        weights = broken / "adapter_model.safetensors"
        weights.write_bytes(weights.read_bytes()[:200])
        chorus.add(subject_of(tiny_model, broken))
        with pytest.raises(TunedeckError, match="weights are damaged"):
            list(chorus.loading("broken"))
        assert chorus.loaded_for("broken") is None and chorus.loaded is None
        chorus.drop("broken")
        assert chorus.loaded is not None and said(chorus, "tuned") == answers["tuned"]


def test_who_can_share_a_process(tiny_model: Path, tiny_adapter: Path, second: Path, tmp_path: Path) -> None:
    one, other = subject_of(tiny_model, tiny_adapter), subject_of(tiny_model, second)
    assert shares_worker(one, other)
    assert shares_worker(replace(one, adapter=None), other)
    assert not shares_worker(one, replace(other, adapter=None))
    assert not shares_worker(one, replace(other, quantization="nf4"))
    template = tmp_path / "template"
    shutil.copytree(second, template)
    (template / "chat_template.jinja").write_text("{{ messages }}")
    assert not shares_worker(one, subject_of(tiny_model, template))
