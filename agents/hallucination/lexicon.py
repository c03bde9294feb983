"""Lexicon of the tokenizer: stop words, negations, absolutes, antonyms, numbers, units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STOP, NEGATION, ABSOLUTE, MONTH = 1, 2, 4, 8
NUMBER_SHIFT, SCALE_SHIFT, ANTONYM_SHIFT = 8, 20, 32
"""Bit offsets in a lexicon entry: the value of a number word plus one, the power of ten plus `SCALE_ZERO`, and the
antonym code (twice the pair plus the side) plus two."""
SCALE_ZERO = 32

FNV_BASIS = 0xCBF29CE484222325
FNV_PRIME = 0x100000001B3
_MASK = 2**64 - 1
TABLE_BITS = 13

_STOP = """a about above after again all also am an and any are as at be because been before being below between
both but by can could did do does doing down during each few for from further get had has have having he
her here hers him his how i if in into is it its just may me might more most must my of off on once only
or other our out over own same she should so some such than that the their them then there these they
this those through to too under until up us very was we were what when where which while who whom whose
why will with would yes you your s t re ve ll d m however according"""
_NEGATION = """not no never none neither nor nobody nothing nowhere without cannot don doesn didn isn wasn aren weren
couldn wouldn shouldn hasn haven hadn ain"""
_ABSOLUTE = """all every always never none only most entire entirely completely totally exclusively solely everyone
everything nobody nothing any best worst first last largest biggest smallest highest lowest greatest oldest youngest
longest shortest fastest must definitely certainly exactly same no"""
_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_TENS = "thirty forty fifty sixty seventy eighty ninety hundred"
_MONTHS = "january february march april - june july august september october november december"
_SCALES = {
    -3: "mm millimeter millimeters millimetre millimetres mg milligram milligrams ms millisecond milliseconds ml",
    -2: "cm centimeter centimeters centimetre centimetres",
    0: "meter meters metre metres gram grams second seconds liter liters litre litres watt watts",
    2: "hundred",
    3: "thousand k km kilometer kilometers kilometre kilometres kg kilogram kilograms kw kilowatt kilowatts",
    6: "million mn mw megawatt megawatts",
    9: "billion bn gw gigawatt gigawatts",
    12: "trillion tn",
}
_ANTONYMS = """increase rise rose risen grow grew grown gain climb surge raise expand jump soar
    / decrease fall fell fallen drop decline shrink plunge reduce cut plummet slump
more higher greater / less fewer lower
up upward / down downward
above over / below under
before earlier prior / after later following
first / last
win won victory / lose lost defeat
accept approve allow permit grant / reject deny refuse forbid ban prohibit
confirm admit prove / dispute disprove refute
support favor favour back / oppose
agree / disagree
begin began begun start launch / end finish stop cease
open / close shut
buy bought purchase / sell sold
import / export
long longer / short shorter
large big huge major / small little tiny minor
old older / young younger
good better best positive / bad worse worst negative
true correct right / false incorrect wrong
male man men boy husband father son brother king / female woman women girl wife mother daughter sister queen
he his him himself / she her hers herself
north northern / south southern
east eastern / west western
hot warm / cold cool
fast quick rapid / slow gradual
high / low
strong / weak
many / few
all every / none some
always / never rarely seldom
often frequently / rarely hardly
can able / cannot unable
include / exclude
succeed success successful pass / fail failure unsuccessful
love like enjoy / hate dislike
friend ally / enemy rival
attack / defend
cause / prevent avert
help benefit beneficial / harm hurt harmful
improve / worsen deteriorate
add / remove
enter arrive join / leave depart quit
come came / go went
give gave given / take took taken
send sent / receive
hire employ / fire dismiss
live alive born / die dead died death
married marry / divorced divorce
public / private
rich wealthy / poor
safe / dangerous unsafe
legal lawful / illegal unlawful
guilty convicted / innocent acquitted
maximum most / minimum least
majority / minority
inside within internal / outside external
domestic / foreign overseas
rural / urban
ancient / modern contemporary
past previous former / future next
same similar identical / different
simple easy / complex difficult hard
full / empty
light bright / dark
white / black
day / night
morning / evening
summer / winter
spring / autumn
ahead / behind
known / unknown
common usual popular / rare unusual uncommon unpopular
likely probable / unlikely improbable
possible / impossible
with / without
active / inactive
effective / ineffective
healthy / unhealthy sick
optimistic / pessimistic
encourage promote / discourage
build built create / destroy demolish
save / spend spent
profit / loss
asset / liability
demand / supply
cheap inexpensive / expensive costly
near / far distant
wet / dry
thick / thin
wide broad / narrow
deep / shallow
top upper / bottom
senior / junior
teacher / student pupil
parent / child children
plaintiff / defendant
home / away
day / week
month / year
remember / forget forgot forgotten
exist present / absent
safe secure / vulnerable
visible / invisible
necessary / unnecessary
happy glad pleased / unhappy sad
honest / dishonest
complete / incomplete
certain / uncertain
direct / indirect
dependent / independent
regular / irregular
formal / informal
official / unofficial"""
STOP_WORDS = frozenset(_STOP.split())
NEGATION_WORDS = frozenset(_NEGATION.split())
ABSOLUTE_WORDS = frozenset(_ABSOLUTE.split())
# "may" is left out: it is far more often a verb.
MONTH_WORDS = {word: value for value, word in enumerate(_MONTHS.split(), 1) if word != "-"}
NUMBER_WORDS = {word: value for value, word in enumerate(_NUMBERS.split())}
NUMBER_WORDS |= {word: 10 * value for value, word in enumerate(_TENS.split(), 3)} | {"thousand": 1000, "dozen": 12}
SCALE_WORDS = {word: power for power, words in _SCALES.items() for word in words.split()}


def _inflect(word: str) -> list[str]:
    """Return the regular inflections of a word, including forms that do not exist."""
    if len(word) < 4:
        return [word]
    root = word.removesuffix("e")
    plural = word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith(("s", "sh", "ch")) else "s")
    past = word[:-1] + "ied" if word.endswith("y") else root + "ed"
    return [word, plural, past, root + "ing"]


def _antonym_codes() -> dict[str, int]:
    """Map each form of a word to twice its pair plus its side; a word in two pairs has the code of the first pair."""
    codes: dict[str, int] = {}
    pairs = _ANTONYMS.replace("\n    ", " ").splitlines()
    for pair, line in enumerate(pairs):
        for side, words in enumerate(line.split("/")):
            for word in words.split():
                codes.setdefault(word, 2 * pair + side)
    for word, code in list(codes.items()):
        for form in _inflect(word):
            codes.setdefault(form, code)
    return codes


ANTONYM_CODES = _antonym_codes()
ANTONYM_PAIRS = max(ANTONYM_CODES.values()) // 2 + 1


def fnv(text: str) -> int:
    """Return the 64-bit FNV-1a hash over code points, as the tokenizer computes it.

    References
    ----------
    Fowler, Noll, Vo, Eastlake. The FNV Non-Cryptographic Hash Algorithm, IETF draft-eastlake-fnv.
    """
    value = FNV_BASIS
    for char in text:
        value = ((value ^ ord(char)) * FNV_PRIME) & _MASK
    return value


def lexicon_entry(word: str) -> int:
    """Return the properties of a lower-case word, packed into one integer."""
    bits = STOP if word in STOP_WORDS else NEGATION | STOP if word in NEGATION_WORDS else 0
    bits |= ABSOLUTE if word in ABSOLUTE_WORDS else 0
    if word in MONTH_WORDS:
        bits |= MONTH | (MONTH_WORDS[word] + 1) << NUMBER_SHIFT
    if word in NUMBER_WORDS:
        bits |= (NUMBER_WORDS[word] + 1) << NUMBER_SHIFT
    if word in SCALE_WORDS:
        bits |= (SCALE_WORDS[word] + SCALE_ZERO) << SCALE_SHIFT
    if word in ANTONYM_CODES:
        bits |= (ANTONYM_CODES[word] + 2) << ANTONYM_SHIFT
    return bits


def _table() -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    keys = np.zeros(1 << TABLE_BITS, np.uint64)
    values = np.zeros(1 << TABLE_BITS, np.int64)
    words = STOP_WORDS | NEGATION_WORDS | ABSOLUTE_WORDS | set(MONTH_WORDS) | set(NUMBER_WORDS)
    for word in sorted(words | set(SCALE_WORDS) | set(ANTONYM_CODES)):
        code = fnv(word)
        slot = code & (len(keys) - 1)
        while keys[slot]:
            slot = (slot + 1) & (len(keys) - 1)
        keys[slot], values[slot] = code, lexicon_entry(word)
    return keys, values


KEYS, VALUES = _table()
"""Open-addressed table from the `fnv` hash of a word to its `lexicon_entry`; the tokenizer compiles it as constants."""
