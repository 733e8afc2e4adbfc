"""What a template prints around the fields of one shape of conversation, and where its turns begin and end.

Second half of sentinel alignment. A skeleton is found once per shape, by rendering the sentinel copy; a row
of that shape is aligned by filling its fields in and comparing with the row's real rendering.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from core.data.fields import SENTINEL, Field, sentinel, with_sentinels
from core.data.render import Renderer, RenderError
from core.data.stops import Stops

Place = tuple[int, int]  # piece of the skeleton, characters into it


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the text: what the model would produce (assistant), or the field with its turn end.

    `start` is where the generation prompt ends; `end` follows the stop token, or the last field where
    there is none. `prompt_is_prefix` is False where the prompt of this turn, rendered alone, is not how
    the whole conversation begins.
    """

    message: int
    role: str
    start: Place
    end: Place
    has_stop: bool
    prompt_is_prefix: bool = True


@dataclass(frozen=True)
class Skeleton:
    """`pieces`: literal text, or the number of a field. A field may appear twice or not at all."""

    pieces: tuple[str | int, ...]
    fields: tuple[Field, ...]
    turns: tuple[Turn, ...]
    missing: tuple[int, ...]  # fields the template drops

    def fill(self, texts: list[str]) -> list[str]:
        return [piece if type(piece) is str else texts[piece] for piece in self.pieces]  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A rendering matched with its skeleton: the characters of every piece."""

    skeleton: Skeleton
    starts: list[int]  # first character of every piece, and the length of the text at the end

    def at(self, place: Place) -> int:
        return self.starts[place[0]] + place[1]


class Aligner:
    """Finds the skeleton of every shape a template meets, and aligns rows with it."""

    def __init__(self, renderer: Renderer, stops: Stops) -> None:
        self._renderer = renderer
        self._stops = stops
        self._known: dict[tuple[Any, ...], Skeleton | None] = {}

    def align(
        self,
        text: str,
        texts: list[str],
        shape: tuple[Any, ...],
        messages: list[dict[str, Any]],
        tools: list[Any] | None,
        kwargs: dict[str, Any],
    ) -> Alignment | None:
        """Where the fields sit in `text`, exactly; None where the template rewrites or branches on content."""
        try:
            skeleton = self._known[shape]
        except KeyError:
            skeleton = self._find(messages, tools, kwargs)
            if len(self._known) >= _MOST_SHAPES:
                self._known.clear()
            self._known[shape] = skeleton
        if skeleton is None:
            return None
        parts = skeleton.fill(texts)
        if "".join(parts) != text:
            found = _walk(text, skeleton, texts)
            if found is None:
                return None
            parts = found
        return Alignment(skeleton, [0, *accumulate(map(len, parts))])

    def _find(
        self, messages: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any]
    ) -> Skeleton | None:
        copies, fields = with_sentinels(messages)
        try:
            whole = self._renderer.render(copies, tools, kwargs)
        except RenderError:
            return None
        pieces = _pieces(whole, len(fields))
        turns = _Turns(self._renderer, self._stops, whole, pieces, fields).find(copies, tools, kwargs)
        seen = {piece for piece in pieces if isinstance(piece, int)}
        missing = tuple(number for number in range(len(fields)) if number not in seen)
        return Skeleton(tuple(pieces), tuple(fields), tuple(turns), missing)


_MOST_SHAPES = 20_000
_MOST_PROMPTS = 200  # prompts rendered per shape; the turns after them are found from the text before them


def _pieces(text: str, fields: int) -> list[str | int]:
    """Literals and field numbers in order; empty literals are left out."""
    pieces: list[str | int] = []
    end = 0
    for match in SENTINEL.finditer(text):
        number = int(match[1])
        if number >= fields:
            continue
        if match.start() > end:
            pieces.append(text[end : match.start()])
        pieces.append(number)
        end = match.end()
    if end < len(text):
        pieces.append(text[end:])
    return pieces


class _Turns:
    """Finds start and end of every message's turn in the sentinel rendering."""

    def __init__(
        self, renderer: Renderer, stops: Stops, whole: str, pieces: list[str | int], fields: list[Field]
    ) -> None:
        self._renderer = renderer
        self._stops = stops
        self._whole = whole
        self._pieces = pieces
        self._fields = fields
        self._splits: dict[
            str | int, int | None
        ] = {}  # literal before a turn, and where its prompt ends in it
        self._at: list[int] = []  # characters of `whole` where each piece begins
        position = 0
        for piece in pieces:
            self._at.append(position)
            if isinstance(piece, str):
                position += len(piece)
            else:
                match = SENTINEL.match(whole, position)
                assert match is not None
                position = match.end()
        self._at.append(position)

    def find(
        self, copies: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any]
    ) -> list[Turn]:
        first, last = self._field_pieces()
        turns: list[Turn] = []
        prompts = 0
        for index, message in enumerate(copies):
            role = str(message.get("role", ""))
            if role == "assistant" and prompts < _MOST_PROMPTS:
                prompts += 1
                start, is_prefix = self._prompt_end(copies[:index], tools, kwargs, first.get(index))
            elif role == "assistant":
                start, is_prefix = self._like_earlier(turns, first.get(index)), True
            else:
                start, is_prefix = self._field_start(first.get(index)), True
            if start is None:
                continue
            after = max(last[index] + 1, start[0]) if index in last else start[0]
            end, has_stop = self._turn_end(after, start)
            turns.append(Turn(index, role, start, end, has_stop, is_prefix))
        return turns

    def _field_pieces(self) -> tuple[dict[int, int], dict[int, int]]:
        """First and last piece of every message that has a field in the text."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for number, piece in enumerate(self._pieces):
            if isinstance(piece, int):
                message = self._fields[piece].message
                first.setdefault(message, number)
                last[message] = number
        return first, last

    def _prompt_end(
        self, before: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any], first: int | None
    ) -> tuple[Place | None, bool]:
        """Where the generation prompt of the turn after `before` ends in the whole text."""
        try:
            prompt = self._renderer.render(before, tools, kwargs, prompt=True)
            bare = self._renderer.render(before, tools, kwargs)
        except RenderError:
            return self._field_start(first), not before  # many templates refuse no messages at all
        is_prefix = self._whole.startswith(prompt)
        begin = self._at[first] if first is not None else None
        if is_prefix and (begin is None or len(prompt) <= begin):
            if prompt != bare or begin is None or not self._whole[len(prompt) : begin].strip():
                return self._place(len(prompt)), True
            header = self._header_of_plain(before, tools, kwargs, prompt)
            return self._place(len(prompt) + _shared(self._whole[len(prompt) : begin], header)), True
        if first is None or begin is None:
            return None, is_prefix
        return self._shared_tail(prompt, bare, first, begin), False

    def _header_of_plain(
        self, before: list[dict[str, Any]], tools: list[Any] | None, kwargs: dict[str, Any], prompt: str
    ) -> str:
        """What a template without a generation prompt prints before a plain answer: its header.

        Markup of a tool call or a think block that follows is no header: the model must write it.
        """
        own = sentinel(len(self._fields))
        try:
            text = self._renderer.render([*before, {"role": "assistant", "content": own}], tools, kwargs)
        except RenderError:
            return ""
        header, found, _ = text.removeprefix(prompt).partition(own)
        return header if found and header.strip() else ""

    def _shared_tail(self, prompt: str, bare: str, first: int, begin: int) -> Place:
        """The prompt is not a prefix: compare what it ends with to the literal before the turn's field."""
        if prompt == bare or first == 0 or not isinstance(self._pieces[first - 1], str):
            return self._place(begin)
        matches = list(SENTINEL.finditer(prompt))
        tail = prompt[matches[-1].end() :] if matches else prompt
        shared = _shared(str(self._pieces[first - 1]), tail)
        return (first - 1, shared) if shared else self._place(begin)

    def _like_earlier(self, turns: list[Turn], first: int | None) -> Place | None:
        """Past the limit of rendered prompts: the same literal as before an earlier turn splits the same way."""
        if first is None or first == 0:
            return self._field_start(first)
        literal = self._pieces[first - 1]
        if literal not in self._splits:
            starts = (turn.start for turn in turns if turn.role == "assistant")
            self._splits[literal] = next(
                (into for piece, into in starts if self._pieces[piece] == literal), None
            )
        into = self._splits[literal]
        return self._field_start(first) if into is None else (first - 1, into)

    def _field_start(self, first: int | None) -> Place | None:
        return None if first is None else (first, 0)

    def _place(self, position: int) -> Place:
        """The piece and offset of a character position of the sentinel rendering."""
        for number in range(len(self._pieces)):
            if position < self._at[number + 1]:
                return (number, position - self._at[number])
        return (len(self._pieces), 0)

    def _turn_end(self, piece: int, start: Place) -> tuple[Place, bool]:
        """After the stop token in the literal `piece`, or its beginning where there is none."""
        if piece >= len(self._pieces) or not isinstance(self._pieces[piece], str):
            return (piece, 0), False
        into = start[1] if start[0] == piece else 0
        stop = self._stops.first_in(str(self._pieces[piece]), into)
        if stop is None:
            return (piece, into), False
        return (piece, stop[1]), True


def _shared(one: str, other: str) -> int:
    """How many leading characters two texts share."""
    count = 0
    for ours, theirs in zip(one, other, strict=False):
        if ours != theirs:
            break
        count += 1
    return count


def _walk(text: str, skeleton: Skeleton, texts: list[str]) -> list[str] | None:
    """Match a text against a skeleton whose fields the template may have trimmed or escaped."""
    forms = {number: _forms(texts[number]) for number in range(len(texts))}
    pieces = skeleton.pieces
    # An explicit stack: a conversation may have more pieces than Python has frames.
    choices: list[int] = []
    positions = [0]
    number, choice = 0, 0
    while number < len(pieces):
        piece = pieces[number]
        options = (piece,) if isinstance(piece, str) else forms[piece]
        position = positions[-1]
        while choice < len(options) and not text.startswith(options[choice], position):
            choice += 1
        if choice < len(options):
            choices.append(choice)
            positions.append(position + len(options[choice]))
            number, choice = number + 1, 0
            if number == len(pieces) and positions[-1] != len(text):
                number, choice = _back(choices, positions)
        else:
            number, choice = _back(choices, positions)
        if number < 0:
            return None
    return [text[start:end] for start, end in pairwise(positions)]


def _back(choices: list[int], positions: list[int]) -> tuple[int, int]:
    """Undo the last choice: the piece to try again and its next option; (-1, 0) when none is left."""
    if not choices:
        return -1, 0
    positions.pop()
    return len(choices) - 1, choices.pop() + 1


def _forms(text: str) -> tuple[str, ...]:
    """The ways a template may print a text: as it is, trimmed, or escaped in JSON or Python."""
    plain = dict.fromkeys((text, text.strip(), text.lstrip(), text.rstrip(), text.strip("\n")))
    escaped = [json.dumps(form, ensure_ascii=False)[1:-1] for form in plain]
    ascii_only = [json.dumps(form)[1:-1] for form in plain]
    return tuple(dict.fromkeys([*plain, *escaped, *ascii_only, repr(text)[1:-1]]))
