"""CityHash128, version 1.0.2: the checksum of ClickHouse's compressed blocks. Later versions of CityHash differ.

References
----------
Geoff Pike and Jyrki Alakuijala, CityHash, 2011: https://github.com/google/cityhash
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

_K0 = np.uint64(0xC3A5C85C97CB3127)
_K1 = np.uint64(0xB492B66FBE98F273)
_K2 = np.uint64(0x9AE16A3B2F90404F)
_K3 = np.uint64(0xC949D7C7509E6557)
_MUL = np.uint64(0x9DDFEA08EB382D69)


def city_hash_128(data: bytes) -> bytes:
    """Return the 16 bytes of the hash in ClickHouse's byte order.

    Parameters
    ----------
    data
        At least 8 bytes; the header of a block has 9.

    Examples
    --------
    >>> city_hash_128(b"0123456789abcdef" * 3).hex()
    'e1d7b2f3cf9f621443d4c30bfe04027e'
    """
    if len(data) < 8:
        raise ValueError(f"data: {len(data)} bytes; pass at least 8 bytes")
    low, high = _hash(np.frombuffer(data, np.uint8))
    return int(low).to_bytes(8, "little") + int(high).to_bytes(8, "little")


@numba.njit(cache=True)
def _word(s: NDArray[np.uint8], at: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(8):
        value |= np.uint64(s[at + k]) << np.uint64(8 * k)
    return value


@numba.njit(cache=True)
def _rotate(value: np.uint64, by: int) -> np.uint64:
    return (value >> np.uint64(by)) | (value << np.uint64(64 - by))


@numba.njit(cache=True)
def _shift_mix(value: np.uint64) -> np.uint64:
    return value ^ (value >> np.uint64(47))


@numba.njit(cache=True)
def _mix(u: np.uint64, v: np.uint64) -> np.uint64:
    a = _shift_mix((u ^ v) * _MUL)
    return _shift_mix((v ^ a) * _MUL) * _MUL


@numba.njit(cache=True)
def _weak(s: NDArray[np.uint8], at: int, a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Hash 32 bytes with two seeds."""
    a += _word(s, at)
    b = _rotate(b + a + _word(s, at + 24), 21)
    c = a
    a += _word(s, at + 8) + _word(s, at + 16)
    return a + _word(s, at + 24), b + _rotate(a, 44) + c


@numba.njit(cache=True)
def _short(s: NDArray[np.uint8], at: int) -> np.uint64:
    """Hash at most 16 bytes, from a position to the end."""
    n = len(s) - at
    size = np.uint64(n)
    if n > 8:
        b = _word(s, len(s) - 8)
        return _mix(_word(s, at), _rotate(b + size, n)) ^ b
    if n >= 4:
        first = np.uint64(0)
        last = np.uint64(0)
        for k in range(4):
            first |= np.uint64(s[at + k]) << np.uint64(8 * k)
            last |= np.uint64(s[len(s) - 4 + k]) << np.uint64(8 * k)
        return _mix(size + (first << np.uint64(3)), last)
    if n > 0:
        y = np.uint64(s[at]) + (np.uint64(s[at + (n >> 1)]) << np.uint64(8))
        z = size + (np.uint64(s[len(s) - 1]) << np.uint64(2))
        return _shift_mix(y * _K2 ^ z * _K3) * _K2
    return _K2


@numba.njit(cache=True)
def _murmur(s: NDArray[np.uint8], at: int, a: np.uint64, b: np.uint64) -> tuple[np.uint64, np.uint64]:
    """Hash fewer than 128 bytes."""
    n = len(s) - at
    if n <= 16:
        a = _shift_mix(a * _K1) * _K1
        c = b * _K1 + _short(s, at)
        d = _shift_mix(a + (_word(s, at) if n >= 8 else c))
    else:
        c = _mix(_word(s, len(s) - 8) + _K1, a)
        d = _mix(b + np.uint64(n), c + _word(s, len(s) - 16))
        a += d
        left = n - 16
        while left > 0:
            a = (a ^ _shift_mix(_word(s, at) * _K1) * _K1) * _K1
            b ^= a
            c = (c ^ _shift_mix(_word(s, at + 8) * _K1) * _K1) * _K1
            d ^= c
            at += 16
            left -= 16
    a = _mix(a, c)
    b = _mix(d, b)
    return a ^ b, _mix(b, a)


@numba.njit(cache=True)
def _hash(s: NDArray[np.uint8]) -> tuple[np.uint64, np.uint64]:
    if len(s) < 16:
        return _murmur(s, len(s), _word(s, 0) ^ (np.uint64(len(s)) * _K0), _word(s, len(s) - 8) ^ _K1)
    x = _word(s, 0) ^ _K3
    y = _word(s, 8)
    at = 16
    n = len(s) - at
    if n < 128:
        return _murmur(s, at, x, y)
    z = np.uint64(n) * _K1
    v0 = _rotate(y ^ _K1, 49) * _K1 + _word(s, at)
    v1 = _rotate(v0, 42) * _K1 + _word(s, at + 8)
    w0 = _rotate(y + z, 35) * _K1 + x
    w1 = _rotate(x + _word(s, at + 88), 53) * _K1
    for _ in range(2 * (n // 128)):
        x = _rotate(x + y + v0 + _word(s, at + 16), 37) * _K1 ^ w1
        y = _rotate(y + v1 + _word(s, at + 48), 42) * _K1 ^ v0
        z = _rotate(z ^ w0, 33)
        v0, v1 = _weak(s, at, v1 * _K1, x + w0)
        w0, w1 = _weak(s, at + 32, z + w1, y)
        z, x = x, z
        at += 64
    y += _rotate(w0, 37) * _K0 + z
    x += _rotate(v0 + z, 49) * _K0
    done = 0
    while done < len(s) - at:
        done += 32
        tail = len(s) - done
        y = _rotate(y - x, 42) * _K0 + v1
        w0 += _word(s, tail + 16)
        x = _rotate(x, 49) * _K0 + w0
        w0 += v0
        v0, v1 = _weak(s, tail, v0, v1)
    x = _mix(x, v0)
    y = _mix(y, w0)
    return _mix(x + v1, w1) + y, _mix(x + w1, y + v1)
