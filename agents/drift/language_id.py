"""Language identification: the script of a text and, for Latin script, the language of its function words."""

from __future__ import annotations

import numpy as np

SCRIPTS = ("latin", "greek", "cyrillic", "hebrew", "arabic", "indic", "thai", "hangul", "kana", "han", "other")
SCRIPT_BOUNDS = np.array([0x0370, 0x0400, 0x0590, 0x0600, 0x0900, 0x0E00, 0x0E80, 0x1100], np.int64)
"""First code points after Latin, Greek, Cyrillic (with Armenian), Hebrew, Arabic, the Indic scripts, Thai and Lao."""

FUNCTION_WORDS = {
    "en": "the a an of to in is and for that with you what how are on it this from can be i my do",
    "de": "der die das und ist ein eine nicht ich mit auf für den von zu wie es dem sich im",
    "fr": "le la les et est un une des du je pas que qui dans pour ce vous au avec sur",
    "es": "el los las y es un una que en por con para como del mi cuál qué se no al",
    "pt": "o os um uma e é em por com para como do da dos das não que se você meu",
    "it": "il lo gli e è un una di che per con come del della non sono nel mi si",
    "nl": "de het een en is van ik niet met op voor dat te zijn hoe wat in je er aan",
}
LANGUAGES = (*FUNCTION_WORDS, *SCRIPTS)
"""Names by code; ``latin`` is Latin script without a function word of these languages."""

FIRST_SCRIPT = len(FUNCTION_WORDS)
_BASIS, _PRIME, _ALL = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


def word_hash(word: str) -> int:
    """Return the 64-bit FNV-1a hash over the code points of a folded word.

    References
    ----------
    Fowler, G., Noll, L. C., Vo, K.-P. and Eastlake, D. (2019). The FNV non-cryptographic hash algorithm. IETF draft.
    """
    code = _BASIS
    for char in word:
        code = (code ^ ord(char)) * _PRIME & _ALL
    return code


def function_word_table() -> tuple[np.ndarray, np.ndarray]:
    """Return an open-addressed hash table: word hashes, and the bit set of each word's languages."""
    size = 512
    keys, values = np.zeros(size, np.uint64), np.zeros(size, np.int64)
    for language, words in enumerate(FUNCTION_WORDS.values()):
        for word in words.split():
            code = word_hash(word)
            slot = code % size
            while keys[slot] not in (0, code):
                slot = (slot + 1) % size
            keys[slot] = code
            values[slot] |= 1 << language
    return keys, values
