"""From the scores of frames to one answer for the clip, by a rule that can be read in one go.

1. The clip's score is the mean of its frames' log-odds, turned back into a probability: every frame counts
   alike, and one frame that is far out does not decide.
2. It is held against the thresholds of the detector, which were set on still pictures, not on clips.
3. A stretch of at least three successive frames, and of an eighth of all, in which every frame is at or
   above the threshold makes "no evidence" into ``unsure``, and is named with its times: a part of a clip
   may be synthetic. It never makes a clip ``likely-synthetic``.

>>> round(pooled([0.5, 0.9, 0.1]), 2)
0.5
>>> stretches([(0.0, 0.1), (1.0, 0.9), (2.0, 0.95), (3.0, 0.9), (4.0, 0.2)], likely=0.8)
[(1.0, 3.0)]
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from countermark.app.scan.verdict import estimated
from countermark.core.results import Evidence, Strength, Verdict

#: Least number, and share, of successive frames that make a stretch.
LEAST_FRAMES = 3
LEAST_SHARE = 1 / 8
_EDGE = 1e-4
RULE = (
    "The clip's score is the mean of its frames' log-odds, held against thresholds that were set on still "
    "pictures; three or more successive frames (an eighth of all, at least) above the threshold make "
    "“no evidence” into “unsure”."
)


def pooled(scores: Sequence[float]) -> float:
    """The score of a clip, in [0, 1], from those of its frames; at least one is needed."""
    odds = [math.log(score / (1 - score)) for score in (min(max(s, _EDGE), 1 - _EDGE) for s in scores)]
    return 1 / (1 + math.exp(-sum(odds) / len(odds)))


def stretches(scored: Sequence[tuple[float, float]], likely: float) -> list[tuple[float, float]]:
    """Begin and end, in seconds, of the stretches in which every frame's score reaches ``likely``.

    Args:
        scored: Time and score of every frame, in order.
    """
    least = max(LEAST_FRAMES, math.ceil(LEAST_SHARE * len(scored)))
    found, begin = [], 0
    for number in range(len(scored) + 1):
        if number < len(scored) and scored[number][1] >= likely:
            continue
        if number - begin >= least:
            found.append((scored[begin][0], scored[number - 1][0]))
        begin = number + 1
    return found


def judged(score: float, parts: Sequence[tuple[float, float]], likely: float, unsure: float) -> Verdict:
    """The verdict that frames alone give."""
    verdict = estimated(score, likely, unsure)
    return Verdict.UNSURE if parts and verdict is Verdict.NO_EVIDENCE else verdict


def frames_evidence(
    scored: Sequence[tuple[float, float]],
    score: float,
    verdict: Verdict,
    name: str,
    likely: float,
    unsure: float,
) -> Evidence:
    """The detector's share of the evidence, in a sentence that says what its thresholds are worth here."""
    strongest = max(scored, key=lambda each: each[1])
    points, strength = "neither", Strength.WEAK
    if score >= likely:
        points, strength = "synthetic", Strength.STRONG
        text = f"at or above the threshold of {likely:.2f}: typical of generated pictures"
    elif score >= unsure:
        text = f"between the thresholds of {unsure:.2f} and {likely:.2f}: no decision"
    else:
        text = f"below {unsure:.2f}: nothing found, which is no proof of a recording"
    sentence = (
        f"The detector {name!r} gives {score:.2f} over {len(scored)} frames (highest {strongest[1]:.2f} at "
        f"{clock(strongest[0])}), {text}. Its thresholds were set on still pictures."
    )
    detail = {
        "score": score,
        "likely": likely,
        "unsure": unsure,
        "detector": name,
        "frames": len(scored),
        "highest": strongest[1],
        "at": strongest[0],
    }
    return Evidence("detector", points, strength, sentence, detail)


def part_evidence(part: tuple[float, float], likely: float) -> Evidence:
    """A stretch of frames, named with its times."""
    start, end = part
    return Evidence(
        "frames",
        "synthetic",
        Strength.WEAK,
        f"From {clock(start)} to {clock(end)} every frame that was looked at is at or above the threshold of "
        f"{likely:.2f}: a part of this clip may be synthetic.",
        {"start": start, "end": end, "likely": likely},
    )


def clock(seconds: float) -> str:
    """A time in a clip, for people.

    >>> clock(7.25), clock(83), clock(3661.5)
    ('0:07.2', '1:23.0', '1:01:01.5')
    """
    tenths = int(seconds * 10 + 1e-6)
    whole, tenth = divmod(tenths, 10)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}.{tenth}" if hours else f"{minutes}:{rest:02d}.{tenth}"
