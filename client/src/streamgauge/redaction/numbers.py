"""Payment cards, IBANs and telephone numbers. Check digits exclude other numbers.

Every pattern starts with a digit or a sign and looks behind afterwards: the search then skips words at 2 ns a letter. A
pattern that looks behind first takes 15 to 150 ns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

Span = tuple[int, int]

_DIGITS = re.compile(r"[2-6](?<![\w.].)(?<![0-9][ -].)(?=[0-9 -]{12})" + r"[ -]?[0-9]" * 12 + r"(?:[ -]?[0-9]){0,6}")
_BRANDS = (  # first digits, lengths
    (re.compile(r"4"), (13, 16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"6011|64[4-9]|65|62"), (16, 17, 18, 19)),
    (re.compile(r"352[89]|35[3-8]"), (16, 17, 18, 19)),
    (re.compile(r"30[0-5]|36|38"), (14,)),
)

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
# Every quantifier below is bounded, so each position costs at most a constant.
# Countries whose account numbers have no letters: the search itself rejects their code where no number follows.
_DIGIT_ONLY = "A[ET]|B[AE]|CZ|D[EK]|E[EGS]|F[IO]|GL|H[RU]|I[LS]|L[TY]|M[EN]|NO|P[LT]|RS|S[EIK]|T[LN]|XK"
_IBAN_DIGITS = re.compile(
    r"[0-9](?<=[A-Za-z]{2}.)(?<![A-Za-z0-9][A-Za-z]{2}.)[0-9]"
    rf"(?:(?={' {0,3}[0-9]' * 8})|(?<!(?i:{_DIGIT_ONLY})..))"
)


_IBAN_LENGTHS = {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()}
_LETTER_DIGITS = {code: str(code - ord("A") + 10) for code in range(ord("A"), ord("Z") + 1)}


@cache
def _body(country: str) -> re.Pattern[str]:
    """Return the pattern of a country's IBAN after the check digits; blanks between characters are allowed."""
    signs = "0-9" if re.fullmatch(_DIGIT_ONLY, country) else "0-9A-Za-z"
    return re.compile(rf" {{0,3}}[{signs}]" * (_IBAN_LENGTHS[country] - 4) + r"(?![^\W_])")


# The mandatory repetitions are written out: a repeated group takes twice the time.
_STEP = r"[ .\-/()]{0,2}\d"
# A sign or digit, then the look-behind, then a digit: most positions fail by here.
_PHONE = re.compile(
    r"[+(02-9](?<![\w+].)\d(?=[\d .\-/()]{6})(?:"
    rf"(?<=\+[1-9]){_STEP * 6}(?:{_STEP}){{0,8}}(?![\w-])"  # with country code
    r"|(?<![.\-]..)(?:"
    r"(?:(?<=\([2-9])\d{2}\) ?|(?<=[2-9].)\d[-. ])[2-9]\d{2}[-. ]\d{4}(?![\w-])"  # North America
    r"|(?<=0[1-9])(?:(?:[ .]\d{2}){4}(?![\w-])"  # France
    r"|(?<!\d ..)\d{1,3} \d{3,4} \d{3,4}(?![\w-])(?! \d))))"  # United Kingdom
)


def card_spans(text: str) -> Iterator[Span]:
    """Yield the spans of payment cards: known brand, valid length, valid check digit."""
    for match in _DIGITS.finditer(text):
        ends = [i for i in range(match.start(), match.end()) if text[i].isdecimal()]
        number = "".join(text[i] for i in ends)
        for length in _lengths(number):
            if _ends_there(text, ends, length) and luhn(number[:length]):
                yield match.start(), ends[length - 1] + 1
                break


def _lengths(number: str) -> list[int]:
    """Return the valid lengths of a card with these first digits, the longest first."""
    return [n for brand, lengths in _BRANDS if brand.match(number) for n in reversed(lengths) if n <= len(number)]


def _ends_there(text: str, ends: list[int], length: int) -> bool:
    after = text[ends[length - 1] + 1 : ends[length - 1] + 2]
    return not after.isalnum()


def luhn(number: str) -> bool:
    """Return whether the last digit is the valid Luhn check digit."""
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[::2] + [d * 2 - 9 * (d > 4) for d in digits[1::2]]) % 10 == 0


def iban_spans(text: str) -> Iterator[Span]:
    """Yield the spans of IBANs, with or without blanks: valid length for the country, valid check digits."""
    for match in _IBAN_DIGITS.finditer(text):
        start, after = match.span()
        country = text[start - 2 : start].upper()
        if country not in _IBAN_LENGTHS or (rest := _body(country).match(text, after)) is None:
            continue
        number = rest.group().replace(" ", "")
        digits = number if number.isdecimal() else number.upper().translate(_LETTER_DIGITS)
        if int(digits + country.translate(_LETTER_DIGITS) + match.group()) % 97 == 1:
            yield start - 2, rest.end()


def phone_spans(text: str) -> Iterator[Span]:
    """Yield the spans of telephone numbers with a country code or in well-known groups of digits."""
    for match in _PHONE.finditer(text):
        yield match.span()
