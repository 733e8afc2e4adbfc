"""The words of the demo's micro-world: who lives there, what they do, what things are like."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """The forms of one verb: `see`, `sees`, `saw`."""

    base: str
    third: str
    past: str


def _verbs(text: str) -> tuple[Verb, ...]:
    return tuple(Verb(*line.split("/")) for line in text.split())


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NAMES = _words(
    "Anna Ben Clara David Emma Felix Grace Hugo Ida Jonas Lena Mia Noah Olga Paul Rosa Sam Tom Vera Zoe"
)

# Who can be the subject or the object of a sentence: singular/plural.
BEINGS = _words(
    "cat/cats dog/dogs bird/birds horse/horses fox/foxes bear/bears frog/frogs duck/ducks cow/cows rabbit/rabbits "
    "mouse/mice goat/goats owl/owls girl/girls boy/boys farmer/farmers baker/bakers teacher/teachers doctor/doctors "
    "king/kings queen/queens sailor/sailors painter/painters child/children friend/friends robot/robots"
)

THINGS = _words(
    "ball/balls book/books key/keys lamp/lamps apple/apples cake/cakes hat/hats letter/letters cup/cups box/boxes "
    "stone/stones flower/flowers coat/coats bell/bells boat/boats clock/clocks map/maps ring/rings spoon/spoons "
    "drum/drums chair/chairs ladder/ladders mirror/mirrors basket/baskets blanket/blankets pencil/pencils "
    "candle/candles shell/shells feather/feathers kite/kites coin/coins"
)

COLOURS = _words("red blue green yellow white black brown grey")
BEING_ADJECTIVES = (
    *COLOURS,
    *_words("small big old young happy sad quiet loud fast slow kind brave tired clever"),
)
THING_ADJECTIVES = (
    *COLOURS,
    *_words("small big old new warm cold soft hard clean dirty heavy light round pretty"),
)
PLACE_ADJECTIVES = _words("small big old new quiet dark cold green")

# Inside of some places, on top of others, and next to all of them.
PLACES_IN = _words(
    "garden house river forest kitchen market tower school field lake barn castle shop mill bed street"
)
PLACES_ON = _words("table bridge hill wall beach roof boat chair bed lake field")
NEXT_TO = _words("near behind beside under")

# Verbs that take an object, and verbs that take a place.
DO = _verbs(
    "see/sees/saw find/finds/found like/likes/liked want/wants/wanted carry/carries/carried hold/holds/held "
    "buy/buys/bought paint/paints/painted draw/draws/drew lose/loses/lost keep/keeps/kept bring/brings/brought "
    "follow/follows/followed watch/watches/watched hear/hears/heard love/loves/loved help/helps/helped "
    "take/takes/took move/moves/moved wash/washes/washed need/needs/needed know/knows/knew forget/forgets/forgot "
    "hide/hides/hid"
)
GO = _verbs(
    "sleep/sleeps/slept sit/sits/sat wait/waits/waited play/plays/played stand/stands/stood run/runs/ran "
    "sing/sings/sang work/works/worked live/lives/lived dance/dances/danced walk/walks/walked rest/rests/rested"
)

OPPOSITES = {
    "small": "big", "old": "new", "happy": "sad", "quiet": "loud", "warm": "cold", "soft": "hard",
    "clean": "dirty", "heavy": "light", "fast": "slow", "black": "white", "open": "closed", "up": "down",
    "day": "night", "yes": "no", "left": "right", "full": "empty", "long": "short", "good": "bad",
}  # fmt: skip

COLOUR_OF = {
    "grass": "green", "the sky": "blue", "snow": "white", "the night": "black", "the sun": "yellow",
    "an apple": "red", "a lemon": "yellow", "a mouse": "grey", "bread": "brown", "the sea": "blue",
    "a cherry": "red", "a leaf": "green", "milk": "white", "a bear": "brown", "a stone": "grey",
}  # fmt: skip

SOUND_OF = {
    "cat": "meow", "dog": "woof", "cow": "moo", "duck": "quack", "frog": "ribbit", "owl": "hoo",
    "mouse": "squeak", "horse": "neigh", "goat": "meh", "bell": "ding", "clock": "tick", "drum": "boom",
}  # fmt: skip

# Where things stand in the micro-world when nobody says otherwise.
PLACE_OF = {
    "the baker": "in the shop", "the queen": "in the castle", "the king": "in the tower",
    "the farmer": "in the field", "the teacher": "in the school", "the sailor": "on the lake",
    "the boat": "near the bridge", "the bell": "in the tower", "the cat": "on the wall",
    "the dog": "behind the house", "the owl": "in the tree", "the horse": "in the barn",
    "the cake": "on the table", "the lamp": "beside the bed", "the key": "under the stone",
    "the clock": "in the kitchen", "the fox": "in the forest", "the frog": "near the river",
}  # fmt: skip
