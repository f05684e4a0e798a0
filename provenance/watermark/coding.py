"""Payload to code bits and back: CRC-16, BCH(248, 80), ordered-statistics decoding.

64 bits of payload and 16 of CRC make the 80 information bits of a binary BCH code that corrects 26
errors (``bchlib``; the code of length 255, shortened to 248). Decoding is soft: bounded-distance
decoding first, and ordered-statistics decoding of order 2 (Fossorier and Lin, 1995, IEEE Trans. Inf.
Theory 41(5)) when that fails, which goes well beyond 26 errors when reliabilities are worth anything.

>>> bits = encode(b"8 bytes!")
>>> decode(np.where(bits, 1.0, -1.0)).payload
b'8 bytes!'
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import lru_cache

import bchlib
import numpy as np

PAYLOAD_BYTES = 8
CODE_BITS = 248
INFO_BITS = 80
CORRECTABLE = 26
#: CRC-16/CCITT starts at a value that is not zero, so that the all-zero codeword is not valid.
CRC_START = 0x1D0F


@dataclass(frozen=True)
class Decoded:
    """The codeword that fits best.

    Attributes:
        payload: 8 bytes if the codeword's CRC holds, else None.
        score: Normalised correlation of soft bits and codeword, in [-1, 1].
        errors: Soft bits whose sign differs from the codeword.
        codeword: bool, 248 bits.
    """

    payload: bytes | None
    score: float
    errors: int
    codeword: np.ndarray


def encode(payload: bytes) -> np.ndarray:
    """The 248 code bits (bool) of 8 bytes."""
    data = payload + binascii.crc_hqx(payload, CRC_START).to_bytes(2, "big")
    parity = bytes(_code().encode(data))[: (CODE_BITS - INFO_BITS) // 8]
    return np.unpackbits(np.frombuffer(data + parity, np.uint8)).astype(bool)


def decode(soft: np.ndarray) -> Decoded:
    """The best codeword for 248 soft bits, positive where a bit is set.

    Magnitudes count by their rank only: see ``weights``.
    """
    soft = np.nan_to_num(soft, posinf=1e300, neginf=-1e300) + _dither()
    order = np.argsort(-np.abs(soft), kind="stable")
    reliability = np.empty(CODE_BITS)
    reliability[order] = weights()
    signed = np.where(soft > 0, reliability, -reliability)
    word = _bounded(soft > 0)
    if word is None:
        word = _ordered_statistics(signed, order)
    score = float(signed[word].sum() - signed[~word].sum()) / float(
        np.sqrt(CODE_BITS * (weights() ** 2).sum())
    )
    return Decoded(_payload(word), score, int(np.count_nonzero(word != (soft > 0))), word)


@lru_cache(maxsize=1)
def _dither() -> np.ndarray:
    """Decides the sign of soft bits that are exactly 0, as in a blank picture: coins, not zeros."""
    dither: np.ndarray = np.random.default_rng(1).choice([-1e-9, 1e-9], CODE_BITS)
    return dither


@lru_cache(maxsize=1)
def weights() -> np.ndarray:
    """The reliability given to a soft bit by its rank, the surest first; float64, 248.

    A fixed ramp instead of the magnitudes themselves: under the null hypothesis the distribution
    of a codeword's score is then the same for every image.
    """
    ramp: np.ndarray = np.linspace(1.7, 0.3, CODE_BITS)
    return ramp


@lru_cache(maxsize=1)
def generator() -> np.ndarray:
    """Systematic generator matrix, uint8, 80 x 248, made by encoding the unit vectors."""
    rows = np.zeros((INFO_BITS, CODE_BITS), np.uint8)
    for index in range(INFO_BITS):
        data = np.zeros(INFO_BITS, np.uint8)
        data[index] = 1
        packed = np.packbits(data).tobytes()
        parity = bytes(_code().encode(packed))[: (CODE_BITS - INFO_BITS) // 8]
        rows[index] = np.unpackbits(np.frombuffer(packed + parity, np.uint8))
    return rows


@lru_cache(maxsize=1)
def _code() -> bchlib.BCH:
    code = bchlib.BCH(CORRECTABLE, m=8)
    if code.ecc_bits != CODE_BITS - INFO_BITS:
        raise RuntimeError(f"bchlib gives {code.ecc_bits} parity bits where 168 are due.")
    return code


def _bounded(hard: np.ndarray) -> np.ndarray | None:
    code = _code()
    data = bytearray(np.packbits(hard[:INFO_BITS]).tobytes())
    parity = bytearray(np.packbits(hard[INFO_BITS:]).tobytes().ljust(code.ecc_bytes, b"\0"))
    if code.decode(data, parity) < 0:
        return None
    code.correct(data, parity)
    word = np.unpackbits(np.frombuffer(bytes(data + parity), np.uint8))
    return word[:CODE_BITS].astype(bool)


def _ordered_statistics(signed: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Order-2 reprocessing over the most reliable independent positions."""
    matrix = generator()[:, order].copy()
    basis = []
    row = 0
    for column in range(CODE_BITS):
        hits = np.flatnonzero(matrix[row:, column])
        if not len(hits):
            continue
        if hits[0]:
            matrix[[row, row + hits[0]]] = matrix[[row + hits[0], row]]
        others = matrix[:, column].astype(bool)
        others[row] = False
        matrix[others] ^= matrix[row]
        basis.append(column)
        row += 1
        if row == INFO_BITS:
            break
    soft = signed[order]
    start = (soft[basis] > 0).astype(np.uint8) @ matrix & 1
    # Flipping a set of rows turns the sign of the soft bits those rows touch; the loss of two rows
    # together is the sum of both, less twice what they touch in common.
    agree = np.where(start.astype(bool), soft, -soft)
    rows = matrix.astype(np.float64)
    loss = rows @ agree
    common = (rows * agree) @ rows.T
    pairs = loss[:, None] + loss[None, :] - 2 * common
    best_pair = np.unravel_index(int(np.argmin(pairs)), pairs.shape)
    best_single = int(np.argmin(loss))
    word = start
    if pairs[best_pair] < min(0.0, loss[best_single]) and best_pair[0] != best_pair[1]:
        word = start ^ matrix[best_pair[0]] ^ matrix[best_pair[1]]
    elif loss[best_single] < 0:
        word = start ^ matrix[best_single]
    result = np.empty(CODE_BITS, bool)
    result[order] = word.astype(bool)
    return result


def _payload(word: np.ndarray) -> bytes | None:
    data = np.packbits(word[:INFO_BITS]).tobytes()
    check = binascii.crc_hqx(data[:PAYLOAD_BYTES], CRC_START)
    return data[:PAYLOAD_BYTES] if check == int.from_bytes(data[PAYLOAD_BYTES:], "big") else None
