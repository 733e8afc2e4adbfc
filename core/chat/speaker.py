"""One answer at a time, token by token, from a loaded model; the keys and values of a conversation are kept."""

from __future__ import annotations

import copy
import hashlib
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from core.chat.generate import pad_id
from core.chat.load import LoadedModel, lacks_memory, out_of_memory
from core.chat.messages import Answer, Ask, Piece, Proof, Reply, Started, Stop
from core.chat.prompt import Prompt, chat_prompt, plain_prompt
from core.chat.sampling import Decoding, decoding
from core.chat.stream import TextStream
from core.chat.voices import adapter_state, speaking_as
from core.errors import TunedeckError

SECONDS_BETWEEN_PIECES = (
    0.03  # a screen over SSH shows four a second; a pipe write per token would cost speed
)


class Cancelled(Exception):
    """Raised inside the model's forward pass when the answer is no longer wanted."""


class Speaker:
    """Answers asks with one loaded model. `is_cancelled` is looked at before every layer and every token."""

    def __init__(self, loaded: LoadedModel, is_cancelled: Callable[[], bool]) -> None:
        self.loaded = loaded
        self._is_cancelled = is_cancelled
        self._kept: dict[str, tuple[tuple[int, ...], Any]] = {}  # voice -> ids and their cache

    def default_decoding(self) -> Decoding:
        """How the model decodes when nothing is asked for."""
        return self._decoding(Ask(0, ""))

    def answer(self, ask: Ask, send: Callable[[Reply], None]) -> Answer:
        """Answer one ask; Started and Pieces go out through `send`. Raises TunedeckError."""
        ask = ask if ask.who else replace(ask, who=self.loaded.own_voice)
        prompt, how = self._prompt(ask), self._decoding(ask)
        room = self._room(len(prompt.ids))
        warnings = prompt.warnings
        if room < how.max_tokens:
            warnings += (f"the context leaves room for {room:,} of {how.max_tokens:,} new tokens",)
        send(Started(ask.number, ask.who, prompt.ids, prompt.text, how, warnings, prompt.left_out))
        with speaking_as(self.loaded, ask.who):
            return self._speak(ask, prompt, how, min(room, how.max_tokens), send)

    def _speak(
        self, ask: Ask, prompt: Prompt, how: Decoding, max_tokens: int, send: Callable[[Reply], None]
    ) -> Answer:
        import torch

        loaded = self.loaded
        seed = None if how.greedy else self._seed(ask)
        if loaded.device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        cache, reused = self._cache_for(ask.who, prompt.ids)
        stream = _Streamer(ask.number, loaded.tokenizer, loaded.stop_ids, send, self._is_cancelled)
        config = self._generation_config(how, max_tokens)
        ids = torch.tensor([prompt.ids], device=loaded.model.device)
        options = {} if cache is None else {"past_key_values": cache}
        cancelled = False
        stream.began = time.perf_counter()
        try:
            with (
                _cancellable(loaded.model, self._is_cancelled) as watch_no_more,
                _first_logits(loaded.plain_model) as first,
            ):
                stream.on_first_token = watch_no_more
                loaded.model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    generation_config=config,
                    streamer=stream,
                    **options,
                )
        except Cancelled:
            cancelled = True
        except (torch.OutOfMemoryError, RuntimeError, MemoryError) as error:
            if not lacks_memory(error):
                raise
            self._kept.clear()
            raise out_of_memory(error, loaded.device) from error
        ended = time.perf_counter()
        text = stream.end_of_text()
        self._keep(ask.who, prompt.ids + tuple(stream.ids), cache)
        name, active = adapter_state(loaded)
        stop, stop_token = self._why(stream.ids, cancelled, how, max_tokens)
        after_first = len(stream.ids) - 1
        return Answer(
            who=ask.who,
            text=text,
            prompt_ids=prompt.ids,
            ids=tuple(stream.ids),
            stop=stop,
            stop_token=stop_token,
            first_token_seconds=stream.first - stream.began if stream.ids else 0.0,
            seconds=ended - stream.began,
            tokens_per_second=after_first / (stream.last - stream.first) if after_first > 0 else 0.0,
            reused_tokens=reused,
            peak_bytes=_peak_bytes(loaded.device),
            seed=seed,
            proof=Proof(name, active, _digest(first)),
        )

    def _prompt(self, ask: Ask) -> Prompt:
        tokenizer = self.loaded.tokenizer
        if ask.text:
            prompt = plain_prompt(tokenizer, ask.text)
        elif not getattr(tokenizer, "chat_template", None):
            raise TunedeckError(
                "this model has no chat template, so there are no turns",
                where=self.loaded.subject.label,
                fix="give it plain text to go on with; it completes texts",
            )
        else:
            prompt = chat_prompt(
                tokenizer, ask.messages, tools=ask.tools, context_length=self.loaded.context_length
            )
        if not prompt.ids:
            raise TunedeckError("the prompt is empty", where="prompt", fix="write something")
        if self._room(len(prompt.ids)) < 1:
            raise TunedeckError(
                f"the prompt has {len(prompt.ids):,} tokens and the model holds {self.loaded.context_length:,}",
                where="context",
                fix="shorten it",
            )
        return prompt

    def _room(self, prompt_tokens: int) -> int:
        """New tokens that fit behind the prompt."""
        length = self.loaded.context_length
        return length - prompt_tokens if length else 1 << 30

    def _decoding(self, ask: Ask) -> Decoding:
        own = self.loaded.plain_model.generation_config
        return decoding(ask.sampling, own.to_dict(), own._get_default_generation_params())

    def _generation_config(self, how: Decoding, max_tokens: int) -> Any:
        config = copy.deepcopy(self.loaded.plain_model.generation_config)
        config.update(
            do_sample=not how.greedy,
            temperature=1.0 if how.greedy else how.temperature,
            top_p=1.0 if how.greedy else how.top_p,
            top_k=50 if how.greedy else how.top_k,
            min_p=None if how.greedy or not how.min_p else how.min_p,
            repetition_penalty=how.repetition_penalty,
            num_beams=1,
            max_length=None,
            max_new_tokens=max_tokens,
            eos_token_id=list(self.loaded.stop_ids) or None,
            pad_token_id=pad_id(self.loaded.tokenizer, self.loaded.stop_ids),
        )
        return config

    def _seed(self, ask: Ask) -> int:
        import torch

        seed = ask.sampling.seed
        seed = int(torch.seed() % 2**31) if seed is None else seed
        torch.manual_seed(seed)
        return seed

    def _why(self, ids: list[int], cancelled: bool, how: Decoding, max_tokens: int) -> tuple[Stop, str]:
        if ids and ids[-1] in self.loaded.stop_ids:
            return "eos", str(self.loaded.tokenizer.convert_ids_to_tokens(ids[-1]))
        if cancelled:
            return "cancelled", ""
        return ("length" if max_tokens == how.max_tokens else "context"), ""

    # --- keys and values kept across turns -----------------------------------------------------------

    def _cache_for(self, who: str, ids: Sequence[int]) -> tuple[Any, int]:
        """A cache that holds the longest known beginning of `ids`, and how many tokens that is."""
        from transformers import DynamicCache

        model = self.loaded.plain_model
        if self.loaded.prompt_learning or not model._supports_default_dynamic_cache():
            return None, 0
        known, cache = self._kept.pop(who, ((), None))
        common = min(_common_prefix(known, ids), len(ids) - 1)  # at least one token must be read anew
        if cache is not None and common > 0:
            too_many = len(known) - common
            try:
                if too_many and not cache.is_croppable:
                    raise RuntimeError
                if too_many:
                    cache.crop(-too_many)
                return cache, common
            except RuntimeError:  # recurrent states and full sliding windows cannot be taken back
                pass
        return DynamicCache(config=model.config.get_text_config(decoder=True)), 0

    def _keep(self, who: str, ids: tuple[int, ...], cache: Any) -> None:
        """Keep the cache for the next turn, unless a cancelled pass left its layers at different lengths."""
        if cache is None or not cache.layers:
            return
        lengths = {layer.get_seq_length() for layer in cache.layers}
        if len(lengths) == 1 and 0 < (held := lengths.pop()) <= len(ids):
            self._kept[who] = (ids[:held], cache)


class _Streamer:
    """Receives token ids from `generate` and sends text on, a few tokens at a time."""

    def __init__(
        self,
        number: int,
        tokenizer: Any,
        stop_ids: Sequence[int],
        send: Callable[[Reply], None],
        is_cancelled: Callable[[], bool],
    ) -> None:
        self.ids: list[int] = []
        self.began = self.first = self.last = 0.0
        self.on_first_token: Callable[[], None] = lambda: None
        self._number, self._send, self._is_cancelled = number, send, is_cancelled
        self._stop_ids = frozenset(stop_ids)
        self._text = TextStream(tokenizer)
        self._parts: list[str] = []
        self._waiting: list[int] = []
        self._sent_at = 0.0
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by `generate` with the prompt first, then with each new token."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self.last = time.perf_counter()
        if not self.first:
            self.first = self.last
            self.on_first_token()
        self.ids.append(int(value))
        self._waiting.append(self.ids[-1])
        if self.last - self._sent_at >= SECONDS_BETWEEN_PIECES:
            self._flush()
        if self._is_cancelled():
            raise Cancelled

    def end(self) -> None:
        """Called by `generate` after the last token."""

    def end_of_text(self) -> str:
        """Send what is left; the whole text of the answer, without its stop token."""
        self._flush()
        self._give(self._text.finish(), ())
        return "".join(self._parts)

    def _flush(self) -> None:
        ids, self._waiting, self._sent_at = tuple(self._waiting), [], self.last
        if ids:
            self._give(self._text.push([id for id in ids if id not in self._stop_ids]), ids)

    def _give(self, text: str, ids: tuple[int, ...]) -> None:
        if text or ids:
            self._parts.append(text)
            self._send(Piece(self._number, text, ids))


@contextmanager
def _cancellable(model: Any, is_cancelled: Callable[[], bool]) -> Iterator[Callable[[], None]]:
    """Look for a cancel before every decoder layer, so that a long prompt can be stopped as well.

    Yields a function that ends this: from the first token on a look between two tokens is enough.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    def look(*_: Any) -> None:
        if is_cancelled():
            raise Cancelled

    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    handles = [layer.register_forward_pre_hook(look) for layer in layers]

    def end() -> None:
        for handle in handles:
            handle.remove()

    try:
        yield end
    finally:
        end()


@contextmanager
def _first_logits(model: Any) -> Iterator[list[Any]]:
    """Holds the logits [vocabulary] of the first step once the model has been run."""
    held: list[Any] = []

    def take(_module: Any, _inputs: Any, output: Any) -> None:
        held.append(output.logits[0, -1].detach().clone())
        handle.remove()

    handle = model.register_forward_hook(take)
    try:
        yield held
    finally:
        handle.remove()


def _digest(logits: list[Any]) -> str:
    """Twelve hexadecimal digits of the exact logits; empty if the model was stopped before it had any."""
    if not logits:
        return ""
    return hashlib.sha256(logits[0].float().cpu().numpy().tobytes()).hexdigest()[:12]


def _common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    length = min(len(one), len(other))
    return next((index for index in range(length) if one[index] != other[index]), length)


def _peak_bytes(device: str) -> int:
    """Peak of this answer on a GPU; on a CPU the peak of the whole process so far."""
    if device == "cpu":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    import torch

    return int(torch.cuda.max_memory_allocated())
