"""The two orders of words that `tunedeck export` understands."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from typer.core import TyperGroup

from core.errors import UsageError


class ExportGroup(TyperGroup):
    """`export KIND RUN`, and `export RUN --to KIND` for the same."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, kind_first(args, self.commands))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The kind's command. Raises UsageError, with the kinds there are, for one that does not exist."""
        if args and self.get_command(ctx, args[0]) is None:
            kinds = ", ".join(self.list_commands(ctx))
            raise UsageError(f"there is no export {args[0]}", where="export", fix=f"there is: {kinds}")
        return super().resolve_command(ctx, args)


def kind_first(words: list[str], kinds: Container[str]) -> list[str]:
    """The words with the kind in front; words that begin with a kind already stay as they are.

    `--to` after a kind belongs to that kind: `export hub last --to me/yoda`.
    """
    if not words or words[0] in kinds:
        return words
    for index, word in enumerate(words):
        if word == "--to" and index + 1 < len(words):
            return [words[index + 1], *words[:index], *words[index + 2 :]]
        if word.startswith("--to="):
            return [word.removeprefix("--to="), *words[:index], *words[index + 1 :]]
    return words
