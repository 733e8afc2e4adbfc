"""A run written down: read, validate, derive and write a recipe.

A recipe is one TOML file. It is read with `tomllib`, checked by the pydantic models below, and written
with `tomlkit`, so that a person's comments and order survive. Every default stands here once, with its
reason. Combinations that cannot work are in `core.recipe_rules`.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomlkit
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import EXIT_USAGE, MissingError, TunedeckError
from core.recipe_errors import place_of, problems_in_words
from core.workspace import write_atomically

Dtype = Literal["bfloat16", "float16", "float32"]
Attention = Literal["auto", "sdpa", "flash_attention_2", "eager"]
Quantization = Literal["none", "int8", "nf4", "fp4"]
Method = Literal["lora", "rslora", "dora", "ia3", "prompt", "prefix", "freeze", "full"]
Format = Literal["auto", "messages", "prompt-completion", "pair", "text", "tokens", "preference"]
LossOn = Literal["auto", "assistant", "last", "completion", "all", "roles", "flags", "response-template"]
Packing = Literal["none", "bfd", "bfd_split", "wrapped"]
Strategy = Literal["single", "ddp", "fsdp", "zero1", "zero2", "zero3"]

ADAPTER_METHODS = frozenset({"lora", "rslora", "dora", "ia3", "prompt", "prefix"})
LORA_METHODS = frozenset({"lora", "rslora", "dora"})

# LoRA undertrains at the library's 2e-5 (facts on defaults: docs/recipe.md); full weights break above 2e-5.
LEARNING_RATE_ADAPTER = 2e-4
LEARNING_RATE_FULL = 1e-5


class RecipeError(TunedeckError):
    """A recipe that cannot be used. One line per problem, each with key, line and fix; exit code 2."""

    def __init__(self, problems: list[str], *, where: str = "") -> None:
        prefix = f"{where}: " if where else ""
        super().__init__("\n".join(prefix + problem for problem in problems), exit_code=EXIT_USAGE)
        self.problems = problems


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, values are never guessed from another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ModelSection(Section):
    """Which base model, and how its weights are held."""

    source: str = Field(
        "demo", description='"demo", a folder, a Hub id, or a bare config.json (planning only)'
    )
    revision: str = Field("main", description="branch, tag or commit on the Hub")
    dtype: Dtype = Field(
        "bfloat16", description="weights in memory; TRL alone would load fp32 and double them without a word"
    )
    attention: Attention = Field("auto", description="auto takes flash_attention_2 where it works, else sdpa")
    quantization: Quantization = Field("none", description="of the frozen base weights")
    double_quantization: bool = Field(True, description="nf4 and fp4 only: saves 0.37 bit per parameter")
    use_kernels: bool = Field(False, description="layers from the Hub's kernels; needs the package kernels")
    trust_remote_code: bool = Field(False, description="run the repository's own Python code; read it first")
    allow_pickle: str = Field(
        "", description="name of the one pickle weight file you accept; empty refuses all"
    )


class TunerSection(Section):
    """What is trained: an adapter, some layers, or everything."""

    method: Method = Field("lora", description="LoRA fits most cases and most cards")
    rank: Annotated[int, Field(ge=1, le=4096)] = Field(16, description="8 to 32 serve most tasks")
    alpha: Annotated[int, Field(ge=1)] | None = Field(
        None, description="scale numerator; 2 x rank unless given"
    )
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="on the adapter's input, share 0..1"
    )
    targets: str | list[str] = Field(
        "all-linear", description='"all-linear", a list of layer names, or "re:REGEX"; MLP layers matter most'
    )
    modules_to_save: list[str] = Field(default_factory=list, description="modules trained and saved whole")
    adapter_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: what PEFT and TRL do for this model (fp32, or bf16 on a quantised base)"
    )
    train_last_layers: Annotated[int, Field(ge=1)] = Field(
        4, description='method "freeze": how many layers train'
    )
    virtual_tokens: Annotated[int, Field(ge=1)] = Field(20, description='methods "prompt" and "prefix"')


class DataSection(Section):
    """Which rows, how they become text, and which tokens carry loss."""

    source: str = Field("demo/yoda.jsonl", description="file, folder, saved dataset, Hub id or demo/NAME")
    config: str = Field("", description="configuration of a Hub data set")
    split: str = Field("train", description="split of a Hub data set")
    revision: str = Field("main", description="branch, tag or commit of a Hub data set")
    format: Format = Field("auto", description="auto, or how every row is to be read (docs/data.md)")
    columns: dict[str, str] = Field(default_factory=dict, description="map from a known field to your column")
    eval_source: str = Field("", description="file, folder or Hub id with held-out rows")
    eval_fraction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="share of rows held out, by group of equal prompts; unused with eval_source"
    )
    template: str = Field("model", description="model | trl-training | FILE.jinja | another model")
    loss_on: LossOn = Field(
        "auto",
        description="auto: assistant for conversations, completion for prompt+completion, all for text",
    )
    roles: list[str] = Field(default_factory=list, description='roles that carry loss when loss_on = "roles"')
    response_template: str = Field("", description='text before an answer when loss_on = "response-template"')
    instruction_template: str = Field("", description="text before a question, for more than one turn")
    max_length: Annotated[int, Field(ge=1)] = Field(2048, description="tokens per row; longer rows are cut")
    packing: Packing = Field("none", description="none | bfd | bfd_split | wrapped")


class TrainingSection(Section):
    """How long and how fast."""

    epochs: Annotated[float, Field(gt=0)] = Field(
        3.0, description="passes over the rows; max_steps wins if given"
    )
    max_steps: Annotated[int, Field(ge=1)] | None = Field(
        None, description="optimizer steps instead of epochs"
    )
    learning_rate: Annotated[float, Field(gt=0)] | None = Field(
        None, description="2e-4 for adapters, 1e-5 for freeze and full unless given"
    )
    micro_batch: Annotated[int, Field(ge=1)] = Field(4, description="sequences per device and step")
    accumulation: Annotated[int, Field(ge=1)] = Field(
        4, description="micro-batches per optimizer step; 4 x 4 gives the effective batch 16 most recipes use"
    )
    optimizer: str = Field("adamw_torch_fused", description="a name from transformers' OptimizerNames")
    scheduler: str = Field("cosine", description="a name from transformers' SchedulerType")
    warmup: Annotated[float, Field(ge=0)] = Field(
        0.03, description="below 1 a share of the steps, else steps"
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW weight decay")
    max_grad_norm: Annotated[float, Field(ge=0)] = Field(
        1.0,
        description="clip at this norm; 1.0 seldom binds on a healthy run, 0.3 calms a noisy one; 0 is off",
    )
    gradient_checkpointing: bool = Field(True, description="recompute activations: far less memory, slower")
    prompt_loss_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="loss weight of prompt tokens, 0 (none) to 1 (as much as the answer)"
    )
    neftune_noise_alpha: Annotated[float, Field(ge=0)] = Field(0.0, description="embedding noise; 0 is off")
    seed: Annotated[int, Field(ge=0)] = Field(42, description="data order, dropout and initial adapter")
    logging_steps: Annotated[int, Field(ge=1)] = Field(1, description="steps between two step events")
    eval_steps: Annotated[int, Field(ge=0)] = Field(0, description="0: at the end of each epoch")
    save_steps: Annotated[int, Field(ge=0)] = Field(0, description="0: at the end of each epoch")
    keep_checkpoints: Annotated[int, Field(ge=1)] = Field(
        2, description="newest ones kept; the best is kept too"
    )
    sample_prompts: list[str] = Field(default_factory=list, description="answered every sample_steps steps")
    sample_steps: Annotated[int, Field(ge=0)] = Field(0, description="0: never")
    stop_on: list[str] = Field(
        default_factory=list, description="watch rules that end the run, not only warn"
    )
    report_to: list[str] = Field(
        default_factory=list, description="trackers: tensorboard, wandb, mlflow, trackio"
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="any further SFTConfig field")


class LaunchSection(Section):
    """On which devices, and how they share the work."""

    strategy: Strategy = Field("single", description="single | ddp | fsdp | zero1 | zero2 | zero3")
    processes: Annotated[int, Field(ge=1)] = Field(1, description="one per device")
    devices: str | list[int | str] = Field(
        "auto", description='"auto", "cpu", or a list of GPU numbers or UUIDs'
    )


class PlanSection(Section):
    """What the memory plan assumes."""

    loss: Literal["auto", "fused", "liger", "logits-8", "logits-10", "logits-12", "logits-14"] = Field(
        "auto",
        description="auto: the installed TRL's path; others for other stacks; logits-N: N bytes per logit at the peak",
    )
    reserve: str = Field(
        "auto", description='"auto", or an amount such as "1.5 GiB" kept free beside the peak'
    )
    price_per_hour: Annotated[float, Field(ge=0)] = Field(
        0.0, description="of the whole machine; 0: no cost shown"
    )


class ChatSection(Section):
    """Defaults of the chat panel."""

    system: str = Field("", description="system prompt; empty sends none")


class EvaluateSection(Section):
    """What `tunedeck evaluate` checks beside likeness."""

    form: str = Field(
        "",
        description='what every answer should be: "json", or "re:PATTERN" for the whole answer; empty: anything',
    )


class Recipe(Section):
    """Everything a run needs. Use `read_recipe`, `parse_recipe` or `Recipe()` for the defaults."""

    model: ModelSection = Field(default_factory=ModelSection)
    tuner: TunerSection = Field(default_factory=TunerSection)
    data: DataSection = Field(default_factory=DataSection)
    training: TrainingSection = Field(default_factory=TrainingSection)
    launch: LaunchSection = Field(default_factory=LaunchSection)
    plan: PlanSection = Field(default_factory=PlanSection)
    chat: ChatSection = Field(default_factory=ChatSection)
    evaluate: EvaluateSection = Field(default_factory=EvaluateSection)

    @property
    def alpha(self) -> int:
        """LoRA's scale numerator: as given, else twice the rank."""
        return self.tuner.alpha if self.tuner.alpha is not None else 2 * self.tuner.rank

    @property
    def learning_rate(self) -> float:
        """As given, else the default of the method."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        return LEARNING_RATE_ADAPTER if self.tuner.method in ADAPTER_METHODS else LEARNING_RATE_FULL

    @property
    def ranks(self) -> int:
        """Training processes that each take their own micro-batches."""
        return 1 if self.launch.strategy == "single" else self.launch.processes

    @property
    def effective_batch(self) -> int:
        """Sequences per optimizer step over all devices."""
        return self.training.micro_batch * self.training.accumulation * self.ranks

    def steps_per_epoch(self, sequences: int) -> int:
        """Optimizer steps of one pass over `sequences` sequences (rows, or packs when packing).

        The same arithmetic as transformers' Trainer: each rank takes ceil(sequences / ranks) sequences,
        a last short accumulation still makes a step.
        """
        micro_batches = math.ceil(math.ceil(sequences / self.ranks) / self.training.micro_batch)
        return max(math.ceil(micro_batches / self.training.accumulation), 1)

    def steps(self, sequences: int) -> int:
        """Optimizer steps of the run over `sequences` sequences."""
        if self.training.max_steps is not None:
            return self.training.max_steps
        return math.ceil(self.training.epochs * self.steps_per_epoch(sequences))


def read_recipe(path: str | Path, changes: Iterable[str] = ()) -> Recipe:
    """Read and check a recipe file; `changes` are `section.key=value` texts laid over it.

    Raises RecipeError for a file that is missing, is not TOML, or does not describe a run that can work.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError([f"no such recipe; tunedeck init {path} writes one"], where=str(path)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"cannot be read: {error}"], where=str(path)) from None
    return parse_recipe(text, changes, where=str(path))


def parse_recipe(text: str, changes: Iterable[str] = (), *, where: str = "recipe") -> Recipe:
    """As `read_recipe`, from text."""
    from core.recipe_rules import broken_rules

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([f"not TOML: {error}"], where=where) from None
    changes = list(changes)
    for change in changes:
        _lay_over(values, change)
    place = _place_in(text, changes)
    try:
        recipe = Recipe.model_validate(_floats_where_due(values))
    except ValidationError as error:
        raise RecipeError(problems_in_words(error, place, _keys_by_section()), where=where) from None
    broken = broken_rules(recipe)
    if broken:
        raise RecipeError([f"{place(rule.key)}{rule.what}; {rule.fix}" for rule in broken], where=where)
    return recipe


def require_here(recipe: Recipe, text: str = "", *, where: str = "recipe") -> None:
    """Raise MissingError naming every package the recipe needs and this machine lacks, with line and fix.

    For work that starts now (training, chat); a plan may be for another machine. `text` is the recipe
    file, for the line numbers.
    """
    from core.recipe_needs import missing_here

    missing = missing_here(recipe)
    if missing:
        raise MissingError(
            "\n".join(f"{where}: {place_of(text, rule.key)}{rule.what}; {rule.fix}" for rule in missing)
        )


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with `{"section.key": value}` laid over it, checked again. Raises RecipeError."""
    return parse_recipe(changed_text(recipe_text(recipe), changes))


def recipe_text(recipe: Recipe) -> str:
    """The recipe as TOML: every key that differs from its default, in the order of the sections."""
    document = tomlkit.document()
    for name, section in recipe:
        values = section.model_dump(exclude_defaults=True, exclude_none=True)
        if values:
            document[name] = values
    return tomlkit.dumps(document)


def changed_text(text: str, changes: Mapping[str, Any]) -> str:
    """TOML text with `{"section.key": value}` set; comments, order and everything else stay as they are."""
    document = tomlkit.parse(text)
    for key, value in changes.items():
        *sections, last = key.split(".")
        table: Any = document
        for section in sections:
            if section not in table:
                table[section] = tomlkit.table()
            table = table[section]
        table[last] = value
    return tomlkit.dumps(document)


def write_recipe(path: Path, recipe: Recipe) -> None:
    """Write a recipe file. An existing file keeps its comments and order; only changed keys are touched."""
    if not path.exists():
        write_atomically(path, recipe_text(recipe))
        return
    text = path.read_text(encoding="utf-8")
    old = parse_recipe(text, where=str(path))
    write_atomically(path, changed_text(text, differences(old, recipe)))


def differences(old: Recipe, new: Recipe) -> dict[str, Any]:
    """`{"section.key": new value}` for every key in which two recipes differ."""
    before, after = old.model_dump(), new.model_dump()
    return {
        f"{section}.{key}": value
        for section, values in after.items()
        for key, value in values.items()
        if value != before[section][key] and value is not None
    }


def _place_in(text: str, changes: list[str]) -> Callable[[str], str]:
    """Where a key was set: by a change on the command line, else in a line of the file."""
    by_change = {change.partition("=")[0].strip(): f"--set {change}: " for change in changes}
    return lambda key: by_change.get(key) or place_of(text, key)


def _keys_by_section() -> dict[str, list[str]]:
    return {
        name: list(field.annotation.model_fields)  # type: ignore[union-attr]
        for name, field in Recipe.model_fields.items()
    }


def known_keys() -> list[str]:
    """Every `section.key` a recipe may hold."""
    return [f"{section}.{key}" for section, keys in _keys_by_section().items() for key in keys]


def _lay_over(values: dict[str, Any], change: str) -> None:
    key, equals, value = change.partition("=")
    if not equals or "." not in key:
        raise RecipeError([f"--set {change}: write section.key=value, for example tuner.rank=8"])
    try:
        parsed = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        parsed = value.strip()
    *sections, last = key.strip().split(".")
    table = values
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise RecipeError([f"--set {change}: {section} is not a section"])
    table[last] = parsed


def _floats_where_due(values: dict[str, Any]) -> dict[str, Any]:
    """Integers written where a float is meant (`epochs = 3`) become floats; nothing else is converted."""
    for name, field in Recipe.model_fields.items():
        section = values.get(name)
        if not isinstance(section, dict):
            continue
        for key, inner in field.annotation.model_fields.items():  # type: ignore[union-attr]
            if "float" in str(inner.annotation) and type(section.get(key)) is int:
                section[key] = float(section[key])
    return values
