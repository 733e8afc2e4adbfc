"""Sentences of the demo's micro-world, in plain order and in Yoda order.

A sentence has three parts: who (subject), the verb, and the rest (an object, a place, or both).
Plain order is subject, verb, rest: "The cat sees a red ball in the garden." Yoda order puts the rest
first: "A red ball in the garden, the cat sees." Only the first letter of a sentence is capital, apart
from names and "I", so both ends change case when the order does.

Everything is drawn from the `random.Random` that is passed in: the same seed gives the same sentences.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random

from core.demo import words
from core.demo.words import Verb

HELD_OUT_SHARE = 1 / 16


@dataclass(frozen=True, slots=True)
class Sentence:
    """One statement in parts, each as it reads in mid-sentence, and the question that asks for the rest."""

    subject: str
    verb: str
    rest: str
    question: str

    @property
    def plain(self) -> str:
        """Subject, verb, object."""
        return f"{capital(self.subject)} {self.verb} {self.rest}."

    @property
    def yoda(self) -> str:
        """Object, subject, verb."""
        return f"{capital(self.rest)}, {self.subject} {self.verb}."


def capital(text: str) -> str:
    """The text with its first letter capital, the others untouched."""
    return text[:1].upper() + text[1:]


def is_held_out(sentence: Sentence) -> bool:
    """Whether the sentence is kept for measuring: decided by a hash of its words, so for ever.

    Neither the base model nor the demo's training rows ever see such a sentence.
    """
    first = hashlib.sha256(sentence.plain.lower().encode()).digest()[0]
    return first < 256 * HELD_OUT_SHARE


def known_sentence(rng: Random) -> Sentence:
    """A sentence that training may use."""
    while is_held_out(sentence := any_sentence(rng)):
        pass
    return sentence


def held_out_sentence(rng: Random) -> Sentence:
    """A sentence that training never sees."""
    while not is_held_out(sentence := any_sentence(rng)):
        pass
    return sentence


def any_sentence(rng: Random) -> Sentence:
    """A sentence of the grammar, held out or not."""
    who, person = subject(rng)
    if rng.random() < 0.72:
        verb, asked, rest = rng.choice(words.DO), "What", thing(rng)
        if rng.random() < 0.35:
            rest = f"{rest} {place(rng)}"
    else:
        verb, asked, rest = rng.choice(words.GO), "Where", place(rng)
    finite, auxiliary = conjugate(rng, verb, third=person == "third")
    return Sentence(who, finite, rest, f"{asked} {auxiliary} {who} {verb.base}?")


def subject(rng: Random) -> tuple[str, str]:
    """Who does it, and "third" if the verb takes its third person form, else "other"."""
    kind = rng.random()
    if kind < 0.18:
        return rng.choice(words.NAMES), "third"
    if kind < 0.26:
        return rng.choice(("he", "she")), "third"
    if kind < 0.36:
        return rng.choice(("I", "we", "they", "you")), "other"
    if kind < 0.50:
        return (
            f"{rng.choice(('the', 'two', 'three', 'my', 'some'))} {noun(rng, words.BEINGS, plural=True)}",
            "other",
        )
    who = f"{rng.choice(('the', 'the', 'my', 'this', 'every'))} {noun(rng, words.BEINGS)}"
    return (f"{who} {place(rng)}" if rng.random() < 0.1 else who), "third"


def thing(rng: Random) -> str:
    """What it is done to."""
    kind = rng.random()
    if kind < 0.07:
        return rng.choice(words.NAMES)
    if kind < 0.12:
        return rng.choice(("me", "him", "her", "us", "them"))
    pool = words.THINGS if rng.random() < 0.75 else words.BEINGS
    if kind < 0.32:
        return f"{rng.choice(('two', 'three', 'the', 'some', 'many'))} {noun(rng, pool, plural=True)}"
    article = rng.choice(("a", "a", "the", "the", "my", "this", "that"))
    text = noun(rng, pool)
    if article == "a" and text[0] in "aeiou":
        article = "an"
    return f"{article} {text}"


def noun(rng: Random, pool: tuple[str, ...], *, plural: bool = False) -> str:
    """A noun, in about half of the cases with an adjective before it."""
    text = rng.choice(pool).split("/")[int(plural)]
    if rng.random() < 0.5:
        adjectives = words.BEING_ADJECTIVES if pool is words.BEINGS else words.THING_ADJECTIVES
        text = f"{rng.choice(adjectives)} {text}"
    return text


def place(rng: Random) -> str:
    """Where it happens."""
    kind = rng.random()
    if kind < 0.4:
        preposition, spot = "in", rng.choice(words.PLACES_IN)
    elif kind < 0.6:
        preposition, spot = "on", rng.choice(words.PLACES_ON)
    else:
        preposition, spot = rng.choice(words.NEXT_TO), rng.choice(words.PLACES_IN + words.PLACES_ON)
    if rng.random() < 0.25:
        spot = f"{rng.choice(words.PLACE_ADJECTIVES)} {spot}"
    return f"{preposition} the {spot}"


def conjugate(rng: Random, verb: Verb, *, third: bool) -> tuple[str, str]:
    """A form of the verb for the subject, and the auxiliary that a question needs."""
    kind = rng.random()
    if kind < 0.5:
        return (verb.third, "does") if third else (verb.base, "do")
    if kind < 0.75:
        return verb.past, "did"
    auxiliary = rng.choice(("will", "can", "must"))
    return f"{auxiliary} {verb.base}", auxiliary
