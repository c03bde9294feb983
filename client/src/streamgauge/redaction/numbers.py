"""Numbers that belong to people: payment cards, IBANs, telephone numbers. Check digits keep other numbers out.

Every pattern begins with a digit or a sign, and looks behind afterwards: the search then runs through words at 2 ns a
letter, where one that looks behind first takes 15 to 150.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

_DIGITS = re.compile(r"[0-9](?<![\w.].)(?<![0-9][ -].)(?:[ -]?[0-9]){12,18}")
_BRANDS = (  # first digits, lengths
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|64[4-9]|65|62"), (16, 17, 18, 19)),
    (re.compile(r"352[89]|35[3-8]"), (16, 17, 18, 19)),
    (re.compile(r"30[0-5]|36|38"), (14,)),
)

_IBAN_DIGITS = re.compile(r"[0-9]{2}(?<=[A-Za-z]{2}..)(?<![A-Za-z0-9][A-Za-z]{2}..)")
_IBAN_COUNTRIES = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK MN",
    21: "CH CR HR LI LV",
    22: "BG BH DE GB GE IE ME RS",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}

_PHONE_LIKE = re.compile(r"[+(0-9][0-9 .\-/()]{7,}")
_PHONE = re.compile(
    r"(?<![\w+])\+[1-9](?:[ .\-/()]{0,2}\d){6,14}(?![\w-])"  # with the country's number
    r"|(?<![\w.+\-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-. ])[2-9]\d{2}[-. ]\d{4}(?![\w-])"  # North America
    r"|(?<![\w.+\-])0[1-9](?:[ .]\d{2}){4}(?![\w-])"  # France
    r"|(?<![\w.+\-])(?<!\d )0[1-9]\d{1,3} \d{3,4} \d{3,4}(?![\w-])(?! \d)"  # United Kingdom
)


def card_spans(text: str) -> Iterator[Span]:
    """Yield where payment cards stand: of a known brand, of its length, with a right check digit."""
    for found in _DIGITS.finditer(text):
        ends = [at for at in range(found.start(), found.end()) if text[at].isdecimal()]
        number = "".join(text[at] for at in ends)
        for length in _lengths(number):
            if _ends_there(text, ends, length) and luhn(number[:length]):
                yield found.start(), ends[length - 1] + 1
                break


def _lengths(number: str) -> list[int]:
    """Return how long a card with these first digits may be, the longest first."""
    return [n for brand, lengths in _BRANDS if brand.match(number) for n in reversed(lengths) if n <= len(number)]


def _ends_there(text: str, ends: list[int], length: int) -> bool:
    after = text[ends[length - 1] + 1 : ends[length - 1] + 2]
    return not after.isalnum()


def luhn(number: str) -> bool:
    """Return whether the last digit is the check digit of the others."""
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[::2] + [d * 2 - 9 * (d > 4) for d in digits[1::2]]) % 10 == 0


def iban_spans(text: str) -> Iterator[Span]:
    """Yield where IBANs stand, written together or in groups: of their country's length, with right check digits."""
    for found in _IBAN_DIGITS.finditer(text):
        start = found.start() - 2
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        near = text[start : start + 2 * length]
        iban = near.replace(" ", "")[:length]
        if len(iban) == length and iban.isascii() and iban.isalnum() and _is_iban(iban):
            end = start + _length_with_spaces(near, length)
            if not text[end : end + 1].isalnum():
                yield start, end


def _length_with_spaces(text: str, letters: int) -> int:
    places = [at for at, letter in enumerate(text) if letter != " "]
    return places[letters - 1] + 1


def _is_iban(iban: str) -> bool:
    digits = "".join(str(int(c, 36)) for c in iban[4:] + iban[:4])
    return int(digits) % 97 == 1


def phone_spans(text: str) -> Iterator[Span]:
    """Yield where telephone numbers stand: as written for people, with the country's number or in well-known groups."""
    for run in _PHONE_LIKE.finditer(text):
        # One letter more at the end: the pattern looks at what follows.
        for found in _PHONE.finditer(text, run.start(), run.end() + 1):
            yield found.span()
