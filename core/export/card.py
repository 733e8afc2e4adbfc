"""A model card that tells what was done, filled from the run's own files; nothing in it is guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.chat.subject import Subject
from core.recipe import read_recipe
from core.runs.folder import Run


def model_card(subject: Subject, *, base: str, kind: str) -> str:
    """README.md for an export. `base` is the base model's name, `kind` "adapter" or "merged"."""
    run = Run(subject.run) if subject.run is not None else None
    lines = ["---", f"base_model: {json.dumps(base)}"]
    lines += ["library_name: peft" if kind == "adapter" else "library_name: transformers"]
    lines += ["pipeline_tag: text-generation", "tags:", "- tunedeck", "- sft"]
    lines += ["- lora"] if kind == "adapter" else []
    lines += ["---", "", f"# {subject.label}", ""]
    what = "An adapter for" if kind == "adapter" else "A fine-tuned model, merged into"
    lines += [f"{what} `{base}`, fine-tuned with [tunedeck](https://pypi.org/project/tunedeck/).", ""]
    if run is not None:
        lines += _of_run(run)
    return "\n".join(lines) + "\n"


def base_name(subject: Subject) -> str:
    """How others find the base: the Hub id or the source of the recipe, else the folder's name."""
    if subject.run is not None:
        return read_recipe(subject.run / "recipe.toml").model.source
    folder = subject.base_folder or subject.model_folder
    for part in folder.parts:  # a snapshot of the Hugging Face cache: models--owner--name/snapshots/commit
        if part.startswith("models--"):
            return part.removeprefix("models--").replace("--", "/")
    return folder.name


def _of_run(run: Run) -> list[str]:
    identity, summary = run.read_json(run.identity), run.read_json(run.summary)
    data = identity.get("data", {})
    lines = ["## Training", "", "| | |", "|---|---|"]
    facts = {
        "data": identity.get("recipe", {}).get("data"),
        "data digest": data.get("digest"),
        "rows": data.get("rows"),
        "trained tokens": data.get("trained_tokens"),
        "base revision": identity.get("model", {}).get("revision"),
        "state": summary.get("state"),
        "steps": summary.get("step"),
        "first loss": summary.get("first_loss"),
        "last loss": summary.get("loss"),
        "evaluation loss": summary.get("eval_loss"),
        "seconds": summary.get("seconds"),
        "seed": identity.get("seed"),
        "tunedeck": identity.get("tunedeck"),
    }
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items() if value not in (None, "")]
    versions = identity.get("versions", {})
    if versions:
        lines += [
            f"| versions | {_cell(', '.join(f'{name} {version}' for name, version in versions.items()))} |"
        ]
    lines += ["", "## Recipe", "", "```toml", run.recipe.read_text(encoding="utf-8").strip(), "```", ""]
    for report in sorted((run.folder / "evaluations").glob("*/report.json")):
        lines += _of_evaluation(json.loads(report.read_text(encoding="utf-8")))
    return lines


def _of_evaluation(report: dict[str, Any]) -> list[str]:
    models = report["models"]
    figures = (
        "loss",
        "perplexity",
        "token_accuracy",
        "exact_match",
        "normalised_match",
        "chrf",
        "stop_rate",
        "valid_rate",
    )
    lines = [f"## Evaluation on {_cell(report['data'])}", ""]
    lines += ["| | " + " | ".join(models) + " |", "|---|" + "---|" * len(models)]
    for figure in figures:
        values = [model.get(figure) for model in models.values()]
        if any(value is not None for value in values):
            lines.append(
                f"| {figure} | " + " | ".join("" if v is None else f"{v:.4g}" for v in values) + " |"
            )
    general = [model.get("general", {}).get("right") for model in models.values()]
    if any(value is not None for value in general):
        lines.append(
            "| general prompts right | " + " | ".join("" if v is None else f"{v:.4g}" for v in general) + " |"
        )
    for other, found in report.get("differences", {}).items():
        loss = found.get("loss")
        if loss:
            lines += [
                "",
                f"Loss less {_cell(other)}: {loss['mean']:+.4g} (95 % interval {loss['low']:+.4g} to {loss['high']:+.4g}).",
            ]
    return [*lines, ""]


def _cell(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def write_card(folder: Path, subject: Subject, kind: str) -> None:
    """Write README.md into an export that is being made."""
    card = model_card(subject, base=base_name(subject), kind=kind)
    (folder / "README.md").write_text(card, encoding="utf-8")
