"""A folder that `ollama create` takes: a GGUF file and a Modelfile with template, stops and parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from core.chat.load import load_tokenizer
from core.chat.stops import turn_end_id
from core.chat.subject import Subject
from core.errors import TunedeckError, UsageError
from core.export.adapter import export_adapter
from core.export.aside import made_aside
from core.export.gguf import ExportedGguf, export_gguf
from core.export.serving import lora_obstacle
from core.export.turns import Turns, turns_of
from core.models.architecture_of import read_config

WEIGHTS = "model.gguf"
ADAPTER = "adapter"
# Families whose safetensors adapters `ollama create` converts.
ADAPTER_FAMILIES = frozenset({"llama", "mistral", "gemma2"})


@dataclass(frozen=True, slots=True)
class ExportedOllama:
    """The folder, the name to create, the stops, and the file inside with its checks."""

    folder: Path
    name: str
    stops: tuple[str, ...]
    gguf: ExportedGguf

    @property
    def commands(self) -> tuple[str, ...]:
        return (f"cd {self.folder}", f"ollama create {self.name} -f Modelfile", f"ollama run {self.name}")

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "folder": str(self.folder),
            "gguf": self.gguf.to_json(),
            "commands": list(self.commands),
        }


def export_ollama(
    subject: Subject,
    out: Path,
    *,
    out_type: str = "f16",
    beside: bool = False,
    progress: Callable[[Any], None] = lambda value: None,
) -> ExportedOllama:
    """Write the folder. The template's parts are proved to make the same prompts as the model's own template.

    An adapter is merged into the file, or with `beside` stands beside its base, for which Ollama applies it. Raises
    UsageError for an adapter or a family that Ollama does not take so.
    """
    if beside:
        _require_adapter_for_ollama(subject)
    tokenizer = load_tokenizer(subject)
    turns = turns_of(tokenizer)
    if subject.system and turns.system is None:
        raise TunedeckError(
            "the template takes no system message, and the recipe's chat.system has one",
            where="template",
            fix='set chat.system = ""',
        )
    stops = stop_texts(subject, tokenizer)
    with made_aside(out) as aside:
        aside.mkdir()
        whole = replace(subject, adapter=None) if beside else subject
        made = export_gguf(whole, aside / WEIGHTS, out_type=out_type, progress=progress)
        if beside:
            export_adapter(subject, aside / ADAPTER)
        text = modelfile(turns, stops, parameters(subject), subject.system, adapter=beside)
        (aside / "Modelfile").write_text(text, encoding="utf-8")
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in subject.label.lower()).strip("-.")
    return ExportedOllama(out, name, stops, made)


def modelfile(
    turns: Turns, stops: tuple[str, ...], values: dict[str, Any], system: str, *, adapter: bool = False
) -> str:
    """The Modelfile. Texts are quoted three times over, as Ollama reads them."""
    lines = [f"FROM ./{WEIGHTS}"]
    lines += [f"ADAPTER ./{ADAPTER}"] if adapter else []
    lines += [f'TEMPLATE """{go_template(turns)}"""']
    lines += [f'PARAMETER stop "{stop}"' for stop in stops]
    lines += [f"PARAMETER {name} {value}" for name, value in values.items()]
    lines += [f'SYSTEM """{system}"""'] if system else []
    return "\n".join(lines) + "\n"


def _require_adapter_for_ollama(subject: Subject) -> None:
    """Raise UsageError unless Ollama can apply the adapter by itself: plain LoRA of a family it converts."""
    if subject.adapter is None:
        raise UsageError("there is no adapter here", where=subject.label, fix="leave --adapter out")
    family = read_config(subject.model_folder).get("model_type", "")
    obstacle = lora_obstacle(subject.adapter)
    if not obstacle and family not in ADAPTER_FAMILIES:
        obstacle = (
            f"Ollama takes adapters of {', '.join(sorted(ADAPTER_FAMILIES))} models, and this is {family}"
        )
    if obstacle:
        raise UsageError(obstacle, where=subject.label, fix="leave --adapter out: the adapter is merged then")


def go_template(turns: Turns) -> str:
    """The turns as a Go template over .Messages."""
    branches: list[str] = []
    for role in ("system", "user", "assistant"):
        around = getattr(turns, role)
        if around is None:
            continue
        start = "if" if not branches else "else if"
        branches.append(
            f'{{{{ {start} eq .Role "{role}" }}}}{_literal(around[0])}{{{{ .Content }}}}{_literal(around[1])}'
        )
    head = (
        f"{{{{ if not .System }}}}{_literal(turns.without_system)}{{{{ end }}}}"
        if turns.without_system
        else ""
    )
    return head + "{{ range .Messages }}" + "".join(branches) + "{{ end }}{{ end }}" + _literal(turns.opening)


def stop_texts(subject: Subject, tokenizer: Any) -> tuple[str, ...]:
    """Texts of every token an answer ends with: generation config, tokenizer, template."""
    from transformers import GenerationConfig

    try:
        named = GenerationConfig.from_pretrained(str(subject.model_folder)).eos_token_id
    except OSError:
        named = None
    ids = list(named) if isinstance(named, (list, tuple)) else [named]
    ids += [tokenizer.eos_token_id, turn_end_id(tokenizer)]
    known = dict.fromkeys(id for id in ids if id is not None)
    return tuple(str(tokenizer.convert_ids_to_tokens(id)) for id in known)


def parameters(subject: Subject) -> dict[str, Any]:
    """The model's own sampling, in Ollama's words."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(str(subject.model_folder))
    except OSError:
        return {}
    if not config.do_sample:
        return {"temperature": 0}
    pairs = {
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "min_p": config.min_p,
        "repeat_penalty": config.repetition_penalty,
    }
    return {name: value for name, value in pairs.items() if value is not None}


def _literal(text: str) -> str:
    """Text that a Go template prints as it stands."""
    return text.replace("{{", '{{ "{{" }}')
