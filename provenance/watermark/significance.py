"""How likely a match is on an unmarked picture: the derivation behind every p-value.

**Null hypothesis.** The picture was made without regard to the key. The key deals a sign to every
part of every code bit; for a picture that does not depend on them, the signs of the 248 soft bits
are independent fair coins, whatever the picture looks like. The magnitudes may be anything: the
decoder uses only their order (``coding.weights``). The pilots have other bins than the code bits, so
the choice of scale, angle and position by the pilots leaves the coins fair: searching a million
geometries costs nothing, only decoding *attempts* count.

**One attempt.** For one fixed codeword the score times its norm is a sum of independent
``+-w_i``; Chernoff's bound gives ``P(score >= s) <= min_l exp(-l t + sum log cosh(l w_i))``. At most
``2**64`` codewords carry a valid CRC, so a payload appears with at least this score with probability
at most ``q = 2**64 * bound(s)`` (union bound; no assumption about the decoder). Scores that bounds
say nothing about (``q >= 1``) get their p-value from the distribution of the decoder's best score
for fair coins, tabulated by simulation: there p-values are uniform on unmarked pictures.

**The search.** ``A`` attempts give ``1 - (1 - q)**A``. A payload is returned only if this is
at most 1e-9.

>>> p_value(0.85, attempts=1, valid=True) < 1e-20, p_value(0.56, attempts=1, valid=False) > 0.3
(True, True)
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from countermark.provenance.watermark.coding import CODE_BITS, decode, weights

#: A payload is reported only below this probability of a chance match.
MAX_P = 1e-9
#: Decoding of fair coins, by ``simulate_null``: mean, standard deviation and quantiles of the score.
PAYLOADS = 64 * math.log(2)

#: Null distribution of the best score: scores, and the share of 120,000 simulated decodings above each.
NULL_SCORES = (
    0.52555,
    0.53275,
    0.53600,
    0.53771,
    0.53969,
    0.54202,
    0.54359,
    0.54478,
    0.54586,
    0.54680,
    0.54765,
    0.54841,
    0.54915,
    0.54986,
    0.55053,
    0.55116,
    0.55176,
    0.55236,
    0.55295,
    0.55354,
    0.55413,
    0.55468,
    0.55523,
    0.55583,
    0.55641,
    0.55698,
    0.55756,
    0.55815,
    0.55874,
    0.55929,
    0.55989,
    0.56052,
    0.56115,
    0.56178,
    0.56243,
    0.56315,
    0.56387,
    0.56462,
    0.56538,
    0.56619,
    0.56705,
    0.56793,
    0.56890,
    0.56991,
    0.57102,
    0.57221,
    0.57357,
    0.57512,
    0.57695,
    0.57907,
    0.58178,
    0.58550,
    0.59152,
    0.59388,
    0.59734,
    0.60011,
    0.60301,
    0.60595,
    0.61027,
    0.61218,
    0.61513,
    0.61992,
)
NULL_TAILS = (
    1,
    0.999,
    0.995,
    0.99,
    0.98,
    0.96,
    0.94,
    0.92,
    0.9,
    0.88,
    0.86,
    0.84,
    0.82,
    0.8,
    0.78,
    0.76,
    0.74,
    0.72,
    0.7,
    0.68,
    0.66,
    0.64,
    0.62,
    0.6,
    0.58,
    0.56,
    0.54,
    0.52,
    0.5,
    0.48,
    0.46,
    0.44,
    0.42,
    0.4,
    0.38,
    0.36,
    0.34,
    0.32,
    0.3,
    0.28,
    0.26,
    0.24,
    0.22,
    0.2,
    0.18,
    0.16,
    0.14,
    0.12,
    0.1,
    0.08,
    0.06,
    0.04,
    0.02,
    0.015,
    0.01,
    0.007,
    0.005,
    0.0035,
    0.002,
    0.0015,
    0.001,
    0.0005,
)


def p_value(score: float, *, attempts: int, valid: bool) -> float:
    """Probability of a match at least this good on an unmarked picture after ``attempts`` attempts.

    Args:
        score: Best score of all attempts, ``coding.Decoded.score``.
        attempts: Decoding attempts made, at least 1.
        valid: Whether that codeword's CRC holds.
    """
    single = math.exp(min(0.0, PAYLOADS + log_bound(score))) if valid else 1.0
    single = min(single, null_survival(score))
    if single >= 1:
        return 1.0
    return float(-math.expm1(attempts * math.log1p(-single)))


@lru_cache(maxsize=1)
def least_score() -> float:
    """The score from which one attempt's payload counts as found: its p-value is ``MAX_P``."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if p_value(middle, attempts=1, valid=True) <= MAX_P else (middle, high)
    return high


def log_bound(score: float) -> float:
    """Chernoff's bound on ``log P(score of one fixed codeword >= score)`` for fair coins."""
    if score <= 0:
        return 0.0
    values = weights()
    target = score * math.sqrt(CODE_BITS * float((values**2).sum()))
    if target >= float(values.sum()):
        return -CODE_BITS * math.log(2)
    low, high = 0.0, 64.0
    for _ in range(60):  # the derivative of the exponent grows with l: bisection
        middle = (low + high) / 2
        if float((values * np.tanh(middle * values)).sum()) < target:
            low = middle
        else:
            high = middle
    cosh = np.logaddexp(low * values, -low * values) - math.log(2)
    return min(0.0, float(cosh.sum()) - low * target)


def null_survival(score: float) -> float:
    """P(the decoder's best score >= score) for fair coins, from the table; valid or not.

    Beyond the table the exponential tail through its last two points continues it.
    """
    scores, tails = _table()
    if score <= scores[0]:
        return 1.0
    if score < scores[-1]:
        return float(np.interp(score, scores, tails))
    slope = math.log(tails[-6] / tails[-1]) / (scores[-1] - scores[-6])
    return float(tails[-1] * math.exp(-slope * (score - scores[-1])))


def simulate_null(count: int, seed: int = 0) -> np.ndarray:
    """Best scores of ``count`` decodings of fair coins; float64. What the table was made with."""
    random = np.random.default_rng(seed)
    magnitudes = np.linspace(1, 2, CODE_BITS)
    return np.array(
        [
            decode(random.permutation(magnitudes) * random.choice([-1.0, 1.0], CODE_BITS)).score
            for _ in range(count)
        ]
    )


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray]:
    return np.array(NULL_SCORES), np.array(NULL_TAILS)
