"""An evaluation as files a person keeps: `report.json`, `report.md` and one SVG picture."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from core.workspace import write_atomically, write_json_atomically

if TYPE_CHECKING:
    from core.chat.evaluate import Evaluation

WORST = 10
# Name of the figure, its title, whether it is a share shown in percent.
FIGURES = (
    ("loss", "loss per labelled token", False),
    ("perplexity", "perplexity", False),
    ("token_accuracy", "next token right", True),
    ("exact_match", "answer exactly right", True),
    ("normalised_match", "right but for case, punctuation, blanks", True),
    ("stop_rate", "stops by itself", True),
    ("valid_rate", "has the form asked for", True),
    ("repetition", "repeated 4-grams", True),
    ("answer_tokens", "tokens per answer", False),
)


def write_report(evaluation: Evaluation) -> None:
    """Write the report into the evaluation's folder. Raises OSError."""
    folder = evaluation.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomically(folder / "report.json", evaluation.to_json(WORST))
    write_atomically(folder / "scores.svg", picture(evaluation))
    write_atomically(folder / "report.md", markdown(evaluation))


def table(evaluation: Evaluation) -> list[list[str]]:
    """The figures as rows of text: a header, then one row per figure that at least one model has."""
    header = ["", *(judged.name for judged in evaluation.models)]
    if evaluation.differences:
        header.append("difference (95 %)")
    lines = [header]
    for name, title, share in FIGURES:
        values = [getattr(judged.scores, name) for judged in evaluation.models]
        if all(value is None for value in values):
            continue
        line = [title, *(_shown(value, share) for value in values)]
        if evaluation.differences:
            difference = evaluation.differences.get(name)
            line.append(
                ""
                if difference is None
                else f"{_signed(difference.mean, share)} [{_signed(difference.low, share)}, {_signed(difference.high, share)}]"
            )
        lines.append(line)
    return lines


def markdown(evaluation: Evaluation) -> str:
    """The whole report as Markdown."""
    header, *lines = table(evaluation)
    first = evaluation.models[0].scores
    parts = [
        f"# Evaluation on {_inline(evaluation.data)}",
        "",
        f"{first.examples} rows, {first.labelled_tokens} labelled tokens, {first.answers} answers. "
        "Answers are greedy. Loss and accuracy count labelled tokens only.",
        "",
        *(f"- {judged.name}: {_inline(judged.label)}" for judged in evaluation.models),
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(line) + " |" for line in lines),
        "",
        "![scores](scores.svg)",
        "",
    ]
    worst = evaluation.to_json(WORST)["worst"]
    if worst:
        parts += ["## Answers furthest from the expected", ""]
    for entry in worst:
        parts += [f"Row {entry['row']}", "", "| | |", "|---|---|"]
        parts += [f"| prompt | {_inline(entry['prompt'])} |", f"| expected | {_inline(entry['expected'])} |"]
        parts += [f"| {name} | {_inline(text)} |" for name, text in entry["answers"].items()]
        parts += [""]
    return "\n".join(parts)


def picture(evaluation: Evaluation) -> str:
    """Bars of the shares, one group per figure, as SVG. Numbers stand beside the bars: colour carries no meaning."""
    shades = ("#1f6f8b", "#c98b2b", "#7a5c99", "#5b8c5a")
    rows: list[str] = []
    y = 24
    for name, title, share in FIGURES:
        values = [getattr(judged.scores, name) for judged in evaluation.models]
        if not share or all(value is None for value in values):
            continue
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        for index, (judged, value) in enumerate(zip(evaluation.models, values, strict=True)):
            y += 20
            width = 300 * (value or 0)
            rows.append(f'<text x="10" y="{y}">{escape(judged.name[:14])}</text>')
            rows.append(
                f'<rect x="120" y="{y - 11}" width="{width:.1f}" height="13" fill="{shades[index % len(shades)]}"/>'
            )
            rows.append(f'<text x="{126 + width:.1f}" y="{y}">{escape(_shown(value, True))}</text>')
        y += 28
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="500" height="{y}" viewBox="0 0 500 {y}" '
        f'font-family="sans-serif" font-size="12"><rect width="500" height="{y}" fill="white"/>'
        + "".join(rows)
        + "</svg>\n"
    )


def _shown(value: float | None, share: bool) -> str:
    if value is None:
        return "-"
    return f"{value:.1%}" if share else f"{value:.4g}"


def _signed(value: float, share: bool) -> str:
    return f"{value:+.1%}" if share else f"{value:+.4g}"


def _inline(text: str) -> str:
    """Text of data and models inside a table cell: shown, never read as markup."""
    shown = "".join(c if c.isprintable() else "\\n" if c == "\n" else f"\\x{ord(c):02x}" for c in text)
    for mark in "\\`*_{}[]<>#|~!":
        shown = shown.replace(mark, f"\\{mark}")
    return shown
