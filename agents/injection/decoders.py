"""Decoders of runs of characters that hide a text, one pass each. Compiled.

Each byte is read a bounded number of times, whatever the text. `tests.oracles.decoders` has the same functions in plain
Python; a property test asserts that they agree.
"""

# ruff: noqa: PLR0913, PLR0917 -- compiled kernels write into arrays they are given

from __future__ import annotations

import numpy as np
from numba import njit

from agents.common.unicode_fold import decode, is_word
from agents.injection.base_digits import BASE64_VALUE, HEX_VALUE, NO_DIGIT, decode_base64
from agents.injection.obfuscation_prefilter import BASE64, HEX, SPACED

RUN_KINDS = ("base64", "hex", "spaced", "escaped")
RUN_HINTS = (BASE64, HEX, SPACED, SPACED)
"""Names of the kinds of runs, and the hint of `agents.injection.obfuscation_prefilter` that selects each kind."""
KIND, START, END, DECODED_START, DECODED_END = range(5)
"""Columns of a run: kind, start and end in the text, start and end in the decoded output."""
MIN_BASE64_CHARS, MIN_HEX_CHARS, MIN_SPACED_LETTERS, MIN_ESCAPES = 24, 32, 8, 8
"""Minimum length of a run, in characters, characters, letters and escapes."""
MIN_READABLE_SHARE = 0.9
"""Minimum share of letters and punctuation in a decoded text; decoded bytes with less are no text."""

_IS_ALNUM, _IS_NARROW_GAP = np.zeros(256, np.bool_), np.zeros(256, np.bool_)
"""ASCII letters and digits; bytes that may stand alone between two letters of a spaced run."""
_IS_ALNUM[[*range(48, 58), *range(65, 91), *range(97, 123)]] = True
_IS_NARROW_GAP[[ord(c) for c in " ._-"]] = True
_HINT_OF_KIND = np.array(RUN_HINTS, np.int64)
_IS_WORDLIKE = np.zeros(128, np.bool_)
_IS_WORDLIKE[[ord(c) for c in " .,:;!?'\"-\n"]] = True
_IS_WORDLIKE[[*range(65, 91), *range(97, 123)]] = True


@njit(cache=True, nogil=True, inline="always")
def is_space(char):  # type: ignore[no-untyped-def]
    """Return True for a white-space code point."""
    if char < 0x80:
        return 9 <= char <= 13 or 28 <= char <= 32
    if char < 0x2000:
        return char in (0x85, 0xA0, 0x1680)
    return char <= 0x200A or char in (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


@njit(cache=True, nogil=True)
def _find_digits(buffer, i, end, values, min_chars):  # type: ignore[no-untyped-def]
    """Return the bounds of the first run of at least ``min_chars`` digits, or (-1, -1)."""
    while i < end:
        if values[buffer[i]] == NO_DIGIT:
            i += 1
            continue
        j = i + 1
        while j < end and values[buffer[j]] != NO_DIGIT:
            j += 1
        if j - i >= min_chars:
            return i, j
        i = j
    return -1, -1


@njit(cache=True, nogil=True)
def _gap(buffer, i, end):  # type: ignore[no-untyped-def] # noqa: PLR0911 - each kind of gap
    """Return the end of the gap between two letters of a spaced run, or -1, and True for a gap between two words.

    Gap between letters: a blank, full stop, underscore or dash. Gap between words: 2 to 16 white-space characters, or a
    bar or slash with white space on both sides.
    """
    if i >= end:
        return -1, False
    if _IS_NARROW_GAP[buffer[i]] and i + 1 < end and _IS_ALNUM[buffer[i + 1]]:
        return i + 1, False  # the most frequent gap
    if buffer[i] in (46, 95, 45):
        return i + 1, False
    blanks, j = 0, i
    while j < end and blanks <= 16:
        char, after = decode(buffer, j)
        if not is_space(char):
            break
        blanks += 1
        j = after
    if 2 <= blanks <= 16:
        return j, True
    if blanks != 1 or j >= end:
        return -1, False
    if buffer[j] in (124, 47) and j + 1 < end:
        char, after = decode(buffer, j + 1)
        return (after, True) if is_space(char) else (-1, False)
    return (j, False) if buffer[i] == 32 else (-1, False)


@njit(cache=True, nogil=True)
def _single_letter_end(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the end of the letter or digit at ``i`` if no other letter or digit follows it, else -1."""
    if i < 0 or i >= end:
        return -1
    if _IS_ALNUM[buffer[i]] and i + 1 < end and buffer[i + 1] < 0x80:
        return -1 if _IS_ALNUM[buffer[i + 1]] else i + 1
    char, after = decode(buffer, i)
    if not is_word(char):
        return -1
    return -1 if after < end and is_word(decode(buffer, after)[0]) else after


@njit(cache=True, nogil=True)
def _find_spaced(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the bounds of the first run of letters that stand alone, or (-1, -1)."""
    while i < end:
        char, after = decode(buffer, i)
        if not is_word(char):
            i = after
            continue
        letters, stop = 1, after
        next_letter = _single_letter_end(buffer, _gap(buffer, stop, end)[0], end)
        while next_letter >= 0:
            letters, stop = letters + 1, next_letter
            next_letter = _single_letter_end(buffer, _gap(buffer, stop, end)[0], end)
        if letters >= MIN_SPACED_LETTERS:
            return i, stop
        i = stop
        while i < end:  # a run does not start inside a word
            char, after = decode(buffer, i)
            if not is_word(char):
                break
            i = after
    return -1, -1


@njit(cache=True, nogil=True)
def _find_escaped(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the bounds of the first run of escaped characters, with or without white space in between, or (-1, -1)."""
    while i < end:
        if buffer[i] != 92:
            i += 1
            continue
        escapes, stop = 0, i
        while stop + 1 < end and buffer[stop] == 92 and buffer[stop + 1] != 10:
            escapes += 1
            stop = decode(buffer, stop + 1)[1]
            while stop < end:
                char, after = decode(buffer, stop)
                if not is_space(char):
                    break
                stop = after
        if escapes >= MIN_ESCAPES:
            return i, stop
        i = max(stop, i + 1)
    return -1, -1


@njit(cache=True, nogil=True)
def _find_run(kind, buffer, i, end):  # type: ignore[no-untyped-def]
    if kind == 0:
        return _find_digits(buffer, i, end, BASE64_VALUE, MIN_BASE64_CHARS)
    if kind == 1:
        return _find_digits(buffer, i, end, HEX_VALUE, MIN_HEX_CHARS)
    return _find_spaced(buffer, i, end) if kind == 2 else _find_escaped(buffer, i, end)


@njit(cache=True, nogil=True)
def _decode_hex(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    for k in range(i, end - 1, 2):
        out[w] = HEX_VALUE[buffer[k]] << 4 | HEX_VALUE[buffer[k + 1]]
        w += 1
    return w


@njit(cache=True, nogil=True)
def _decode_spaced(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    """Join the letters of a run; a gap between words becomes a space if the run has gaps between letters too."""
    narrow, k = False, i
    while k < end and not narrow:
        after, wide = _gap(buffer, decode(buffer, k)[1], end)
        narrow = after >= 0 and not wide
        k = after if after >= 0 else end
    k = i
    while k < end:
        stop = decode(buffer, k)[1]
        for b in range(k, stop):
            out[w] = buffer[b]
            w += 1
        k, wide = _gap(buffer, stop, end)
        if k < 0:
            break
        if wide and narrow:
            out[w] = 32
            w += 1
    return w


@njit(cache=True, nogil=True)
def _decode_escaped(buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    while i < end:
        escape = buffer[i] == 92
        i += escape
        stop = decode(buffer, i)[1]
        for b in range(i, stop):
            out[w] = buffer[b]
            w += 1
        i = stop
    return w


@njit(cache=True, nogil=True)
def _decode_run(kind, buffer, i, end, out, w):  # type: ignore[no-untyped-def]
    if kind == 0:
        return decode_base64(buffer, i, end, out, w)
    if kind == 1:
        return _decode_hex(buffer, i, end, out, w)
    return _decode_spaced(buffer, i, end, out, w) if kind == 2 else _decode_escaped(buffer, i, end, out, w)


@njit(cache=True, nogil=True)
def _utf8_size(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return the number of bytes of the character at ``i``; 0 if it is not valid UTF-8."""
    first = buffer[i]
    if first < 0x80:
        return 1
    size = 2 if 0xC2 <= first <= 0xDF else 3 if 0xE0 <= first <= 0xEF else 4 if 0xF0 <= first <= 0xF4 else 0
    if size == 0 or i + size > end:
        return 0
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    if not low <= buffer[i + 1] <= high:
        return 0
    for k in range(2, size):
        if buffer[i + k] & 0xC0 != 0x80:
            return 0
    return size


@njit(cache=True, nogil=True)
def is_readable(buffer, i, end):  # type: ignore[no-untyped-def]
    """Return True for a text of several words, False for a key, a digest or an image."""
    chars = wordlike = 0
    after_text = space_seen = several_words = False
    while i < end:
        size = _utf8_size(buffer, i, end)
        if size == 0:
            return False
        char = decode(buffer, i)[0]
        chars += 1
        wordlike += _IS_WORDLIKE[char] if char < 0x80 else is_word(char)
        if not is_space(char):
            several_words = several_words or space_seen
            after_text = True
        elif char == 32:
            space_seen = after_text
        i += size
    return several_words and wordlike >= MIN_READABLE_SHARE * chars


@njit(cache=True, nogil=True)
def decode_runs(buffer, start, end, hints, out, runs):  # type: ignore[no-untyped-def]
    """Decode every run of ``buffer[start:end]`` that hides a text, kind by kind.

    Parameters
    ----------
    hints
        Result of `agents.injection.obfuscation_prefilter.find_hints`.
    out
        uint8[2 * (end - start) + 2], output: the decoded texts, a newline after each.
    runs
        int64[(end - start) // 4 + 1, 5], output: the columns of each run.

    Returns
    -------
    int
        Number of runs.
    """
    n = w = 0
    for kind in range(len(_HINT_OF_KIND)):
        if not hints & _HINT_OF_KIND[kind]:
            continue
        first, last = _find_run(kind, buffer, start, end)
        while first >= 0:
            stop = _decode_run(kind, buffer, first, last, out, w)
            if kind > 1 or is_readable(out, w, stop):
                runs[n, KIND], runs[n, START], runs[n, END] = kind, first, last
                runs[n, DECODED_START], runs[n, DECODED_END] = w, stop
                out[stop] = 10
                w = stop + 1
                n += 1
            first, last = _find_run(kind, buffer, last, end)
    return n
