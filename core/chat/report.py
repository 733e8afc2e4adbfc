"""An evaluation as files a person keeps: `report.json`, `report.md` and SVG pictures."""

from __future__ import annotations

from html import escape

from core.chat.general import general_prompts
from core.chat.judged import Evaluation, Judged
from core.workspace import write_atomically, write_json_atomically

WORST = 10
# Name of the figure, its title, whether it is a share shown in percent.
FIGURES = (
    ("loss", "loss per labelled token", False),
    ("perplexity", "perplexity", False),
    ("token_accuracy", "next token right", True),
    ("exact_match", "answer exactly right", True),
    ("normalised_match", "right but for case, punctuation, blanks", True),
    ("chrf", "likeness in characters (chrF)", True),
    ("stop_rate", "stops by itself", True),
    ("valid_rate", "has the form asked for", True),
    ("repetition", "repeated 4-grams", True),
    ("answer_tokens", "tokens per answer", False),
    ("general_right", "general prompts right", True),
)
SHADES = ("#1f6f8b", "#c98b2b", "#7a5c99", "#5b8c5a")


def write_report(evaluation: Evaluation) -> None:
    """Write the report into the evaluation's folder. Raises OSError."""
    folder = evaluation.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomically(folder / "report.json", evaluation.to_json(WORST))
    write_atomically(folder / "scores.svg", picture(evaluation))
    if evaluation.differences:
        write_atomically(folder / "differences.svg", picture_of_differences(evaluation))
    write_atomically(folder / "report.md", markdown(evaluation))


def figure_of(judged: Judged, name: str) -> float | None:
    """One figure of one model; None if it was not taken."""
    if name == "general_right":
        general = judged.general_scores
        return general.right if general else None
    value: float | None = getattr(judged.scores, name)
    return value


def table(evaluation: Evaluation) -> list[list[str]]:
    """The figures as rows of text: a header, then one row per figure that at least one model has."""
    header = ["", *(judged.name for judged in evaluation.models)]
    several = len(evaluation.differences) > 1
    header += [f"less {name} (95 %)" if several else "difference (95 %)" for name in evaluation.differences]
    lines = [header]
    for name, title, share in FIGURES:
        values = [figure_of(judged, name) for judged in evaluation.models]
        if all(value is None for value in values):
            continue
        line = [title, *(_shown(value, share) for value in values)]
        for found in evaluation.differences.values():
            difference = found.get(name)
            line.append(
                ""
                if difference is None
                else f"{_signed(difference.mean, share)} [{_signed(difference.low, share)}, {_signed(difference.high, share)}]"
            )
        lines.append(line)
    return lines


def markdown(evaluation: Evaluation) -> str:
    """The whole report as Markdown."""
    first = evaluation.models[0].scores
    parts = [
        f"# Evaluation on {_inline(evaluation.data)}",
        "",
        f"{first.examples} rows, {first.labelled_tokens} labelled tokens, {first.answers} answers. "
        "Answers are greedy. Loss and accuracy count labelled tokens only.",
        "",
        *(f"- {judged.name}: {_inline(judged.label)}" for judged in evaluation.models),
        "",
        *_table(table(evaluation)),
        "",
        "![scores](scores.svg)",
        "",
    ]
    if evaluation.differences:
        parts += ["![differences with their 95 % intervals](differences.svg)", ""]
    worst = evaluation.to_json(WORST)["worst"]
    if worst:
        parts += ["## Answers furthest from the expected", ""]
    for entry in worst:
        parts += [f"Row {entry['row']}", "", "| | |", "|---|---|"]
        parts += [f"| prompt | {_inline(entry['prompt'])} |", f"| expected | {_inline(entry['expected'])} |"]
        parts += [f"| {name} | {_inline(text)} |" for name, text in entry["answers"].items()]
        parts += [""]
    return "\n".join([*parts, *_general(evaluation)])


def _general(evaluation: Evaluation) -> list[str]:
    """What the general prompts show: right answers by kind, what was lost, and the answers no rule scores."""
    asked = [judged for judged in evaluation.models if judged.general]
    if not asked:
        return []
    found = [scores for judged in asked if (scores := judged.general_scores)]
    lines = [["kind", *(judged.name for judged in asked)]]
    for kind in found[0].by_kind:
        lines.append([kind, *(_shown(scores.by_kind[kind], True) for scores in found)])
    parts = ["## General prompts", "", f"The same {found[0].asked} short prompts for every model.", ""]
    parts += [*_table(lines), ""]
    lost = evaluation.forgotten()
    if lost:
        parts += [f"### Right before, wrong now ({len(lost)})", ""]
        columns = ["prompt", "right", *lost[0]["answers"]]
        rows = [
            [_inline(entry["prompt"]), _inline(" or ".join(entry["accept"]))]
            + [_inline(text) for text in entry["answers"].values()]
            for entry in lost
        ]
        parts += [*_table([columns, *rows]), ""]
    shown = [
        (prompt, [judged.general[number] for judged in asked])
        for number, prompt in enumerate(general_prompts())
        if prompt.how == "shown"
    ]
    parts += ["### Without a right answer, to be read", ""]
    rows = [[_inline(prompt.prompt), *(_inline(answer.text) for answer in said)] for prompt, said in shown]
    return [*parts, *_table([["prompt", *(judged.name for judged in asked)], *rows]), ""]


def _table(lines: list[list[str]]) -> list[str]:
    header, *rest = lines
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(line) + " |" for line in rest),
    ]


def picture(evaluation: Evaluation) -> str:
    """Bars of the shares, one group per figure, as SVG. Numbers stand beside the bars: colour carries no meaning."""
    rows: list[str] = []
    y = 24
    for name, title, share in FIGURES:
        values = [figure_of(judged, name) for judged in evaluation.models]
        if not share or all(value is None for value in values):
            continue
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}</text>')
        for index, (judged, value) in enumerate(zip(evaluation.models, values, strict=True)):
            y += 20
            width = 300 * (value or 0)
            rows.append(f'<text x="10" y="{y}">{escape(judged.name[:14])}</text>')
            rows.append(
                f'<rect x="120" y="{y - 11}" width="{width:.1f}" height="13" fill="{SHADES[index % len(SHADES)]}"/>'
            )
            rows.append(f'<text x="{126 + width:.1f}" y="{y}">{escape(_shown(value, True))}</text>')
        y += 28
    return _svg(500, y, rows)


def picture_of_differences(evaluation: Evaluation) -> str:
    """Every difference as a point on its 95 % interval, as SVG; zero is the line in the middle."""
    titles = {name: (title, share) for name, title, share in FIGURES}
    middle, reach = 300, 180
    rows: list[str] = []
    y = 24
    for other, found in evaluation.differences.items():
        first = evaluation.models[0].name
        rows.append(f'<text x="10" y="{y}" font-weight="bold">{escape(f"{first} less {other}")}</text>')
        for name, difference in found.items():
            y += 22
            title, share = titles[name]
            scale = reach / max(abs(difference.low), abs(difference.high), 1e-9)
            low, mean, high = (middle + scale * v for v in (difference.low, difference.mean, difference.high))
            rows += [
                f'<text x="10" y="{y}">{escape(title[:18])}</text>',
                f'<line x1="{middle}" x2="{middle}" y1="{y - 14}" y2="{y + 4}" stroke="#999999"/>',
                f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y - 4}" y2="{y - 4}" stroke="{SHADES[0]}" stroke-width="3"/>',
                f'<circle cx="{mean:.1f}" cy="{y - 4}" r="4" fill="{SHADES[0]}"/>',
                f'<text x="{middle + reach + 12}" y="{y}">{escape(_signed(difference.mean, share))}'
                f"{'' if difference.is_clear else ' (not clear)'}</text>",
            ]
        y += 30
    return _svg(640, y, rows)


def _svg(width: int, height: int, parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="12"><rect width="{width}" height="{height}" fill="white"/>'
        + "".join(parts)
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
