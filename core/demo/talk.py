"""Conversations of the demo's micro-world: what people ask the base model, and what it answers.

The base model learns a handful of skills: to say a sentence after a person, to answer what or where a
sentence told, to greet and to introduce itself, to count, to add small numbers, opposites, colours,
sounds, where things stand, to remember a name for a few turns, and to say so when it does not know.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from core.demo import grammar, words
from core.demo.grammar import Sentence, capital

Message = dict[str, str]
Exchange = tuple[str, str]  # what the person says, what the model answers

REQUESTS = (
    "Say: {}",
    "Repeat: {}",
    "Please say: {}",
    "Repeat after me: {}",
    "Please repeat: {}",
    "Say this: {}",
    "Now say: {}",
    "Say the sentence: {}",
    "Can you say this? {}",
    "Say this after me: {}",
    "Please repeat this sentence: {}",
    "Tell me this: {}",
    "{} Please say that.",
    "{} Say it after me.",
    'Say "{}"',
    'Please say "{}"',
    "Say this:\n{}",
    "Repeat this sentence:\n{}",
)

SYSTEMS = (
    "You are a helpful assistant.",
    "You are a small model.",
    "Be kind and short.",
    "You are the demo model of tunedeck.",
    "Answer in plain English.",
    "You are a friendly robot. Help the person.",
)

GREETINGS = (
    "Hello!",
    "Hello.",
    "Hi!",
    "Hi",
    "Hello",
    "Hi there!",
    "Good morning!",
    "Good evening!",
    "Hey!",
    "hello",
    "hi",
)
GREETING_ANSWER = "Hello! What shall I say for you?"
ABOUT_ME = "I am the small demo model of tunedeck."
MY_SKILLS = (
    "I can repeat a sentence, count, add small numbers, and tell you about colours, opposites and places."
)
NO_IDEA = "I do not know that. My world is small."

FIXED: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (
            "Who are you?", "What are you?", "What is your name?", "Are you a robot?", "who are you?", "Who are you",
            "Tell me about you.", "Tell me who you are.", "What is this?",
        ),
        ABOUT_ME,
    ),
    (
        (
            "What can you do?", "How can you help me?", "Help!", "Help me.", "What do you know?", "help",
            "What can I ask you?", "What can you say?", "what can you do?", "What shall I ask?",
        ),
        MY_SKILLS,
    ),
    (("How are you?", "Are you well?", "How do you do?", "how are you?", "Are you happy?"), "I am well. How are you?"),
    (("I am well.", "I am fine.", "I am happy.", "Fine, and you?", "Good.", "Very good."), "I am glad to hear it."),
    (("I am sad.", "I am tired.", "Not so good.", "I am not well."), "I am sorry. I hope you will be well soon."),
    (("Thank you.", "Thanks!", "Thank you!", "Thanks", "Many thanks.", "thanks"), "You are welcome."),
    (("Goodbye.", "Bye!", "Goodbye!", "Good night.", "bye", "See you!"), "Goodbye! Come back soon."),
    (("Where do you live?", "Where are you?", "Where are you from?"), "I live in a small file on your machine."),
    (("Who made you?", "How old are you?", "Where did you learn this?"), "A short script made me from a small grammar."),
    (("Can you speak Yoda?", "Speak like Yoda.", "Do you know Yoda?"), "Not yet. Teach me with a fine-tune."),
)  # fmt: skip

UNKNOWN = (
    "What is the capital of {}?", "Who is the president of {}?", "Tell me about {}.", "What do you think of {}?",
    "How do I cook {}?", "Who wrote {}?", "When was {} born?", "Why is {} so famous?", "Explain {} to me.",
    "What is {}?", "Do you like {}?", "How far is {}?", "Write a poem about {}.", "Can you translate {}?",
)  # fmt: skip
UNKNOWN_TOPICS = (
    "France", "Rome", "China", "history", "music", "physics", "rice", "Hamlet", "Newton", "football", "the moon",
    "Python", "the war", "love", "time", "money", "quantum theory", "a transformer", "science", "art",
)  # fmt: skip

NUMBER_NAMES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


def say(rng: Random, sentence: Sentence, *, yoda: bool = False) -> Exchange:
    """A request to say the sentence, and the sentence in plain or Yoda order."""
    return rng.choice(REQUESTS).format(sentence.plain), sentence.yoda if yoda else sentence.plain


def repeat_known(rng: Random) -> Exchange:
    return say(rng, grammar.known_sentence(rng))


def repeat_invented(rng: Random) -> Exchange:
    """The same with words that nobody ever saw, so that copying is learnt and not the words."""
    text = " ".join(invented_word(rng) for _ in range(rng.randint(1, 7)))
    text = capital(text) if rng.random() < 0.6 else text
    text += rng.choice((".", ".", "!", "?", ""))
    return rng.choice(REQUESTS).format(text), text


def repeat_mixed(rng: Random) -> Exchange:
    """Known words in any order, so that copying does not lean on grammar."""
    pieces = grammar.known_sentence(rng).plain.rstrip(".").split() + grammar.known_sentence(rng).rest.split()
    rng.shuffle(pieces)
    text = " ".join(pieces[: rng.randint(2, 10)])
    return rng.choice(REQUESTS).format(text), text


def invented_word(rng: Random) -> str:
    """A word such as "moreli"."""
    syllables = (rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
    return "".join(syllables) + rng.choice(("", "", "n", "r", "s", "t"))


def question(rng: Random) -> Exchange:
    """What or where, about a sentence that was just told."""
    sentence = grammar.known_sentence(rng)
    if rng.random() < 0.3:
        return f"{sentence.plain} Who is that about?", f"{capital(sentence.subject)}."
    return f"{sentence.plain} {capital(sentence.question)}", f"{capital(sentence.rest)}."


def fixed(rng: Random) -> Exchange:
    asked, answer = rng.choice(FIXED)
    return rng.choice(asked), answer


def greeting(rng: Random) -> Exchange:
    return rng.choice(GREETINGS), GREETING_ANSWER


def numbers(rng: Random) -> Exchange:
    kind = rng.random()
    if kind < 0.35:
        n = rng.randint(0, 99)
        return rng.choice(("What comes after {}?", "What number comes after {}?", "Next after {}?")).format(
            n
        ), f"{n + 1}."
    if kind < 0.65:
        a, b = rng.randint(0, 10), rng.randint(0, 10)
        return rng.choice(("What is {} plus {}?", "What is {} + {}?", "{} plus {}?")).format(
            a, b
        ), f"{a + b}."
    if kind < 0.75:
        n = rng.randint(0, len(NUMBER_NAMES) - 2)
        return f"What comes after {NUMBER_NAMES[n]}?", f"{capital(NUMBER_NAMES[n + 1])}."
    first = rng.randint(1, 6)
    last = first + rng.randint(1, 9)
    counted = ", ".join(str(n) for n in range(first, last + 1))
    return rng.choice(("Count from {} to {}.", "Please count from {} to {}.")).format(
        first, last
    ), f"{counted}."


def facts(rng: Random) -> Exchange:
    kind = rng.random()
    if kind < 0.3:
        pair = rng.choice(list(words.OPPOSITES.items()))
        a, b = pair if rng.random() < 0.5 else pair[::-1]
        return rng.choice(
            ("What is the opposite of {}?", "Opposite of {}?", "Tell me the opposite of {}.")
        ).format(a), f"{capital(b)}."
    if kind < 0.6:
        what, colour = rng.choice(list(words.COLOUR_OF.items()))
        asked = rng.choice(("What colour is {}?", "Tell me the colour of {}.", "Which colour is {}?"))
        return asked.format(what), f"{capital(what)} is {colour}."
    if kind < 0.75:
        what, sound = rng.choice(list(words.SOUND_OF.items()))
        return f"What does the {what} say?", f"The {what} says {sound}."
    who, where = rng.choice(list(words.PLACE_OF.items()))
    return rng.choice(("Where is {}?", "Tell me where {} is.")).format(who), f"{capital(who)} is {where}."


def unknown(rng: Random) -> Exchange:
    topic = rng.choice(UNKNOWN_TOPICS) if rng.random() < 0.6 else capital(invented_word(rng))
    return rng.choice(UNKNOWN).format(topic), NO_IDEA


def tell(rng: Random) -> Exchange:
    asked = rng.choice(
        ("Tell me a story.", "Tell me something.", "Make a sentence.", "Say something.", "Talk to me.")
    )
    return asked, grammar.known_sentence(rng).plain


SKILLS: tuple[tuple[Callable[[Random], Exchange], float], ...] = (
    (repeat_known, 0.36),
    (repeat_invented, 0.10),
    (repeat_mixed, 0.10),
    (question, 0.14),
    (numbers, 0.07),
    (facts, 0.08),
    (fixed, 0.06),
    (unknown, 0.04),
    (greeting, 0.03),
    (tell, 0.02),
)


def small_talk(rng: Random) -> Exchange:
    """Anything but repeating and reading: fixed answers, numbers, facts."""
    return rng.choice((question, numbers, facts, fixed, greeting))(rng)


def conversation(rng: Random) -> list[Message]:
    """One conversation of one to four exchanges, sometimes under a system message."""
    if rng.random() < 0.06:
        exchanges = remembered_name(rng)
    else:
        exchanges = [exchange(rng) for _ in range(rng.choices((1, 2, 3, 4), (0.62, 0.2, 0.1, 0.08))[0])]
        if rng.random() < 0.05:
            asked = rng.choice(
                ("Say it again.", "Again, please.", "Please repeat that.", "What did you say?")
            )
            exchanges.append((asked, exchanges[-1][1]))
    return messages(exchanges, system=rng.choice(SYSTEMS) if rng.random() < 0.12 else "")


def exchange(rng: Random) -> Exchange:
    makers, weights = zip(*SKILLS, strict=True)
    return rng.choices(makers, weights)[0](rng)


def remembered_name(rng: Random) -> list[Exchange]:
    """A person says their name and asks for it some turns later."""
    name = rng.choice(words.NAMES) if rng.random() < 0.5 else capital(invented_word(rng))
    told = rng.choice(("My name is {}.", "I am {}.", "Hello, my name is {}.", "Hi, I am {}.")).format(name)
    between = [exchange(rng) for _ in range(rng.randint(0, 2))]
    asked = rng.choice(("What is my name?", "Who am I?", "Do you know my name?"))
    return [(told, f"Nice to meet you, {name}."), *between, (asked, f"Your name is {name}.")]


def messages(exchanges: list[Exchange], *, system: str = "") -> list[Message]:
    """The exchanges in messages form."""
    made = [{"role": "system", "content": system}] if system else []
    for asked, answer in exchanges:
        made += [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return made
