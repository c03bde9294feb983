"""Ways to write a text so that a person or a model still reads it and a filter does not."""

from __future__ import annotations

import base64
import codecs
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

_CYRILLIC: Final = str.maketrans("aceopxyisjAEOPCTIM", "асеорхуіѕјАЕОРСТІМ")
_LEET: Final = str.maketrans("aeiost", "4310$7")
_SMALL_CAPITALS: Final = str.maketrans("abcdefghijklmnoprstuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ")
_SUPERSCRIPTS: Final = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_ACCENTED: Final = str.maketrans("aceginosuy", "äçéğïñøšüý")
_MORSE: Final[Mapping[str, str]] = {
    "a": ".-", "b": "-...", "c": "-.-.", "d": "-..", "e": ".", "f": "..-.", "g": "--.", "h": "....", "i": "..",
    "j": ".---", "k": "-.-", "l": ".-..", "m": "--", "n": "-.", "o": "---", "p": ".--.", "q": "--.-", "r": ".-.",
    "s": "...", "t": "-", "u": "..-", "v": "...-", "w": ".--", "x": "-..-", "y": "-.--", "z": "--..",
}  # fmt: skip


def base_64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def base_64_twice(text: str) -> str:
    return base_64(base_64(text))


def base_64_url(text: str) -> str:
    """Without padding, with a character that the two alphabets write differently."""
    return base64.urlsafe_b64encode(f"{text} ÿ~?>".encode()).decode().rstrip("=")


def base_64_lines(text: str, width: int = 20) -> str:
    return "\n".join(re.findall(f".{{1,{width}}}", base_64(text)))


def hexadecimal(text: str) -> str:
    return text.encode().hex()


def hexadecimal_pairs(text: str) -> str:
    return text.encode().hex(" ")


def decimal_codes(text: str) -> str:
    return " ".join(str(ord(c)) for c in text)


def binary(text: str) -> str:
    return " ".join(f"{byte:08b}" for byte in text.encode())


def morse(text: str) -> str:
    words = re.findall(r"[a-z]+", text.lower())
    return " / ".join(" ".join(_MORSE[c] for c in word) for word in words)


def rot_13(text: str) -> str:
    return codecs.encode(text, "rot13")


def reversed_text(text: str) -> str:
    return text[::-1]


def reversed_words(text: str) -> str:
    """Each word backwards, in the order of the words."""
    return " ".join(word[::-1] for word in text.split())


def percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def percent_form(text: str) -> str:
    """As a browser writes a text into an address: only what is no letter is encoded."""
    return quote(text, safe="")


def entities(text: str) -> str:
    return "".join(f"&#{ord(c)};" for c in text)


def entities_hex(text: str) -> str:
    return "".join(f"&#x{ord(c):x};" for c in text)


def escapes_u(text: str) -> str:
    return "".join(f"\\u{ord(c):04x}" for c in text)


def escapes_x(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def json_twice(text: str) -> str:
    """A JSON text of a JSON text, with letters that are written as escapes."""
    return json.dumps(json.dumps({"note": text}).replace("i", "\\u0069").replace("o", "\\u006f"))


def variation_selectors(text: str) -> str:
    """A byte of the text in each invisible variation selector behind a letter (U+FE00.. and U+E0100..)."""
    return "x" + "".join(chr(0xFE00 + b) if b < 16 else chr(0xE0100 + b - 16) for b in text.encode())


def selectors_between(text: str) -> str:
    return "\ufe0f".join(text)


def tag_characters(text: str) -> str:
    return "".join(chr(0xE0000 + ord(c)) for c in text if ord(c) < 0x80)


def zero_width(text: str) -> str:
    return "\u200b".join(text)


def combining(text: str, mark: str = "\u0335") -> str:
    return "".join(c + mark if c.isalpha() else c for c in text)


def accents(text: str) -> str:
    return text.translate(_ACCENTED)


def full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def bold(text: str) -> str:
    return "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower())


def circled(text: str) -> str:
    return "".join(chr(0x24D0 + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower())


def squared(text: str) -> str:
    return "".join(chr(0x1F170 + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower())


def regional(text: str) -> str:
    """Flags' letters; a space between two keeps them from becoming a flag."""
    return "\u200c".join(chr(0x1F1E6 + ord(c) - 97) if "a" <= c <= "z" else c for c in text.lower())


def small_capitals(text: str) -> str:
    return text.lower().translate(_SMALL_CAPITALS)


def superscripts(text: str) -> str:
    return text.lower().translate(_SUPERSCRIPTS)


def homoglyphs(text: str) -> str:
    return text.translate(_CYRILLIC)


def leet(text: str) -> str:
    return text.translate(_LEET)


def spaced(text: str) -> str:
    return "   ".join(" ".join(word) for word in text.split())


def dotted(text: str) -> str:
    return " ".join(".".join(word) for word in text.split())


def split_words(text: str, mark: str = "-") -> str:
    """Each longer word in two, as at the end of a line."""
    return " ".join(w[: len(w) // 2] + mark + w[len(w) // 2 :] if len(w) > 3 else w for w in text.split())


def joined_by(text: str, mark: str) -> str:
    return mark.join(re.findall(r"\w+", text))


def camel(text: str) -> str:
    return "".join(word.capitalize() for word in re.findall(r"\w+", text))


def without_spaces(text: str) -> str:
    return "".join(re.findall(r"\w+", text.lower()))


def decomposed(text: str) -> str:
    """Two marks on each vowel."""
    return unicodedata.normalize("NFD", re.sub(r"([aeiou])", "\\1\u0308\u0323", text))
