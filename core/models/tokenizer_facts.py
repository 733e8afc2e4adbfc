"""What training has to know of a tokenizer: its special tokens, its traps, and its chat template."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.models.template_facts import TemplateFacts, template_facts
from core.models.tokenizer_files import TokenizerFiles, read_tokenizer_files

_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """One special token; id -1 where the files do not tell."""

    text: str
    id: int


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """`template` is None for a model without one (a base model)."""

    vocabulary: str  # the file tokens come from; empty: no tokenizer
    tokens: int  # ids in use; 0 if the files do not tell
    special: dict[str, SpecialToken]  # "bos", "eos", "pad", "unk", as far as there are
    stops: tuple[int, ...]  # ids that end generation, from generation_config.json
    adds_bos: bool  # a plain call puts BOS in front
    template_file: str
    template: TemplateFacts | None
    notes: tuple[str, ...]  # what to know before training, in words

    @property
    def instruct(self) -> bool:
        """Whether the model was made for conversations, as far as a template tells."""
        return self.template is not None


def tokenizer_facts(folder: Path, vocabulary: str = "") -> TokenizerFacts:
    """Read and probe the tokenizer of a model folder. Raises TunedeckError for a file that is not JSON.

    `vocabulary` names the file tokens come from where it is known to exist but was not fetched.
    """
    files = read_tokenizer_files(folder)
    special = {name.removesuffix("_token"): _special(files, name) for name in _NAMES if files.special(name)}
    words = {name: files.special(name) for name in _NAMES if files.special(name)}
    template = template_facts(files.template, words) if files.template else None
    stops = files.generation.get("eos_token_id")
    facts = TokenizerFacts(
        files.vocabulary or vocabulary,
        files.size,
        special,
        tuple(stops) if isinstance(stops, list) else (stops,) if isinstance(stops, int) else (),
        _adds_bos(files),
        files.template_file,
        template,
        (),
    )
    return TokenizerFacts(**{**_as_dict(facts), "notes": tuple(_notes(folder, files, facts))})


def _notes(folder: Path, files: TokenizerFiles, facts: TokenizerFacts) -> list[str]:
    found = []
    if not facts.vocabulary:
        return ["there is no tokenizer in this folder; training and chat need one"]
    if facts.vocabulary != "tokenizer.json":
        found.append(
            f"tokens come from {facts.vocabulary}; transformers converts it when it loads (slow, once)"
        )
    if not (folder / "config.json").is_file():
        found.append(
            "config.json is missing beside the tokenizer: transformers then guesses its class, and the ids "
            "may be others than the model's"
        )
    found += _pad_notes(facts)
    if files.shadowed_template:
        found.append(f"two chat templates: {files.template_file} wins over the one in tokenizer_config.json")
    if facts.template is None:
        found.append("no chat template: a base model; conversations need one (data.template)")
        return found
    return found + _template_notes(facts, facts.template)


def _pad_notes(facts: TokenizerFacts) -> list[str]:
    pad = facts.special.get("pad")
    if pad is None:
        return ["no pad token: TRL pads with EOS; labels are masked by length, so EOS still trains"]
    same = [name for name in ("eos", "unk", "bos") if facts.special.get(name) == pad]
    if "eos" in same:
        return ["pad is the EOS token: a collator that masks by pad id would also mask every EOS"]
    return [f"pad is the {same[0].upper()} token"] if same else []


def _template_notes(facts: TokenizerFacts, template: TemplateFacts) -> list[str]:
    if template.problem:
        return [f"the chat template cannot be used: {template.problem}"]
    found = []
    if facts.adds_bos and template.starts_with_bos:
        found.append("template and tokenizer both put BOS in front: encode rendered text without specials")
    if template.system == "refused":
        found.append("the template refuses a system message")
    elif template.system == "dropped":
        found.append("the template drops a system message without a word")
    elif template.system == "dropped in training":
        found.append("the template prints a system message when asked, and drops it in training rows")
    if template.thinking == "cut from earlier turns":
        found.append("thoughts are cut from every turn but the last")
    elif template.thinking == "cut":
        found.append("thoughts are cut from every turn")
    if template.default_system:
        found.append("the template puts a system text of its own before the first question")
    if template.uses_clock:
        found.append("the template prints today's date: the same row is other tokens tomorrow")
    if template.wants_parts:
        found.append("content must be a list of typed parts")
    eos = facts.special.get("eos")
    if not template.after_answer.strip():
        found.append("nothing follows an answer: the model never learns where to stop")
    elif eos and eos.text and eos.text not in template.after_answer:
        found.append(
            f"a turn ends with {template.after_answer.strip()!r}, not with EOS {eos.text!r}: chat must stop on both"
        )
    return found


def _special(files: TokenizerFiles, name: str) -> SpecialToken:
    text = files.special(name)
    vocabulary = files.tokenizer.get("model", {}).get("vocab") or {}
    number = files.ids.get(text)
    if number is None and isinstance(vocabulary, dict):
        number = vocabulary.get(text)
    return SpecialToken(text, -1 if number is None else int(number))


def _adds_bos(files: TokenizerFiles) -> bool:
    """Whether encoding plain text puts BOS first: by the post-processor, else by the config's switch."""
    bos = files.special("bos_token")
    if not bos:
        return False
    if files.tokenizer:
        return any(_starts_with(one, bos) for one in _processors(files.tokenizer.get("post_processor")))
    return bool(files.config.get("add_bos_token"))


def _processors(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, dict):
        return []
    if value.get("type") == "Sequence":
        return [one for inner in value.get("processors", ()) for one in _processors(inner)]
    return [value]


def _starts_with(processor: dict[str, Any], bos: str) -> bool:
    single = processor.get("single")
    if processor.get("type") != "TemplateProcessing" or not isinstance(single, list) or not single:
        return False
    first = single[0].get("SpecialToken") if isinstance(single[0], dict) else None
    return isinstance(first, dict) and first.get("id") == bos


def _as_dict(facts: TokenizerFacts) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in facts.__slots__}
