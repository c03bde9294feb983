"""Digits of base64 and hexadecimal: their values, and the decoder of base64. Compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

NO_DIGIT = 255
HEX_VALUE = np.full(256, NO_DIGIT, np.uint8)
"""Value of each byte as a hexadecimal digit, else `NO_DIGIT`."""
HEX_VALUE[[*b"0123456789abcdef"]] = np.arange(16)
HEX_VALUE[[*b"ABCDEF"]] = np.arange(10, 16)
BASE64_VALUE = np.full(256, NO_DIGIT, np.uint8)
"""Value of each byte in the standard alphabet of base64, else `NO_DIGIT`."""
BASE64_VALUE[[*b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"]] = np.arange(64)
LINE_END = 64
BASE64_LINES_VALUE = BASE64_VALUE.copy()
"""Value of each byte in the standard or the URL-safe alphabet of base64; `LINE_END` for the bytes that end a line."""
BASE64_LINES_VALUE[[*b"-_"]] = 62, 63
BASE64_LINES_VALUE[[*b"\r\n"]] = LINE_END


@njit(cache=True, nogil=True)
def decode_base64(buffer, start, end, out, w):  # type: ignore[no-untyped-def]
    """Decode ``buffer[start:end]`` in either alphabet, passing over line ends; return the end of the bytes written.

    ``out`` may be the buffer, if ``w`` is not beyond ``start``.
    """
    bits = value = 0
    for k in range(start, end):
        digit = BASE64_LINES_VALUE[buffer[k]]
        if digit < 64:
            value = (value << 6 | digit) & 0xFFF
            bits += 6
            if bits >= 8:
                bits -= 8
                out[w] = value >> bits & 0xFF
                w += 1
    return w
