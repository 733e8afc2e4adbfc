"""When an answer is over: the union of every token that one of model, tokenizer or template stops on."""

from __future__ import annotations

from typing import Any

SENTINEL = "tunedeckanswer"


def stop_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Ids that end an answer: generation config, tokenizer, and the template's own end of a turn.

    A model whose template ends turns with a token that its config does not name would run on and on.
    """
    named = model.generation_config.eos_token_id
    ids = list(named) if isinstance(named, (list, tuple)) else [named]
    ids += [tokenizer.eos_token_id, turn_end_id(tokenizer)]
    return tuple(dict.fromkeys(int(id) for id in ids if id is not None))


def turn_end_id(tokenizer: Any) -> int | None:
    """The special token the template writes right after an assistant turn; None if there is none.

    Found by rendering a conversation with a known answer and reading what follows it. Plain text after an
    answer ("\\n") is no stop: only a token that cannot occur in ordinary text is.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": SENTINEL}]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception:  # a template may refuse this conversation; then it says nothing about stops
        return None
    _, found, after = text.rpartition(SENTINEL)
    if not found:
        return None
    ids = tokenizer.encode(after.lstrip(), add_special_tokens=False)
    if not ids:
        return None
    special = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values())
    return int(ids[0]) if ids[0] in special else None
