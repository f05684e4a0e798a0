"""The page of ``benchmarks/video.py``: tables from its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from countermark.app.clips.rule import judged, pooled, stretches
from countermark.core.intervals import rate
from countermark.core.stats import auroc
from countermark.detectors.base import Detector

CONDITIONS = ("picture", "frames", "crf 23", "crf 28")
NAMES = {
    "picture": "the picture as it is",
    "frames": "frames of the clip, never encoded",
    "crf 23": "the clip at H.264 crf 23",
    "crf 28": "the clip at H.264 crf 28",
}
MAX_FPR = 0.01


def _joined(text: str) -> str:
    return " ".join(text.split()) + "\n"


MARKS = _joined("""
    {count} clips of 1920 x 1080, two seconds at 12 frames a second, made from photographs of
    {sources} sources by panning and zooming; every frame marked; H.264 crf 18, then scaled to 1280
    x 720 and stored at H.264 crf 28 (x264, veryfast); read from the frames that a scan looks at.
    Intervals are exact, 95 %.
""")
DETECTOR = _joined("""
    {real} photographs of {first} sources and {made} generated pictures of {second} (mostly DALL-E 3
    by Microsoft Designer), none of which the detector learnt from; each as it is, and as a clip of
    two seconds at 1280 x 720, panned and zoomed, five frames looked at. Few sources: read the
    differences between rows rather than the rows. Flagged: at or above the threshold for {share:g}
    % ({likely:.3f}).
""")
COST = _joined("""
    A clip of 60 s, 1920 x 1080, 30 frames a second (H.264 crf 23, x264's usual key frames), all
    evidence; and one picture of the same size (PNG). Each in a process of its own; processor
    seconds on one thread of a shared machine, median of {count}.
""")


def page(
    marks: Sequence[dict[str, Any]],
    scored: Sequence[dict[str, Any]],
    speeds: dict[str, Any] | None,
    model: Detector,
) -> str:
    """The page as Markdown; parts that were not measured are left out."""
    parts = [
        "# Clips: what was measured\n\nMade by `benchmarks/video.py`; how to read it: [clips](video.md).\n"
    ]
    if marks:
        parts.append(_marks(marks))
    if scored:
        parts.append(_detector(scored, model))
    if speeds:
        parts.append(_speed(speeds))
    return "\n".join(parts)


def _share(hits: int, count: int) -> str:
    found = rate(hits, count)
    return f"{hits} of {count} ({100 * found.low:.1f} to {100 * found.high:.1f} %)"


def _marks(rows: Sequence[dict[str, Any]]) -> str:
    plain = [row["unmarked"] for row in rows if row["unmarked"]]
    sources = len({row["picture"].split("/")[0] for row in rows})
    psnr = [row["psnr"] for row in rows]
    lines = [
        "## Marks\n",
        MARKS.format(count=len(rows), sources=sources),
        "| | |",
        "|---|---|",
        f"| exact payload read, frames pooled | {_share(sum(r['kept'] for r in rows), len(rows))} |",
        "| exact payload read in the first frame alone | "
        f"{_share(sum(r['one frame'] for r in rows), len(rows))} |",
        f"| frames in which it is read alone, of all that were looked at | "
        f"{sum(r['alone'] for r in rows)} of {sum(r['frames'] for r in rows)} |",
        "| largest p-value of a clip that was read | "
        f"{max((r['p'] for r in rows if r['kept']), default=1):.0e} |",
        f"| false alarms in the same clips unmarked (every fourth) | "
        f"{_share(sum(p[0] is not None for p in plain), len(plain))}; smallest p-value "
        f"{min((p[1] for p in plain), default=1):.3f}; at most 1e-9 by derivation |",
        f"| marked frame against unmarked, before encoding | mean {np.mean(psnr):.1f} dB, "
        f"{min(psnr):.1f} to {max(psnr):.1f} |",
        "| size, mean: 1080p at crf 18; 720p at crf 28 | "
        f"{np.mean([r['bytes'][0] for r in rows]) / 1e6:.1f} MB; "
        f"{np.mean([r['bytes'][1] for r in rows]) / 1e6:.2f} MB |",
        "",
    ]
    return "\n".join(lines)


def _detector(rows: Sequence[dict[str, Any]], model: Detector) -> str:
    bounds = model.thresholds(MAX_FPR)
    labels = np.array([row["label"] == "synthetic" for row in rows])
    sources = {
        label: len({r["source"] for r in rows if r["label"] == label}) for label in ("real", "synthetic")
    }
    lines = [
        "## The detector\n",
        DETECTOR.format(
            real=int((~labels).sum()),
            made=int(labels.sum()),
            first=sources["real"],
            second=sources["synthetic"],
            share=100 * MAX_FPR,
            likely=bounds.likely,
        ),
        "| | AUROC | photographs flagged | photographs unsure | generated found |",
        "|---|---|---|---|---|",
    ]
    for name in CONDITIONS:
        scores = np.array([pooled(row["scores"][name]) for row in rows])
        verdicts = [
            judged(
                float(score),
                stretches(list(enumerate(row["scores"][name])), bounds.likely) if name != "picture" else [],
                bounds.likely,
                bounds.unsure,
            ).value
            for score, row in zip(scores, rows, strict=True)
        ]
        real = [v for v, label in zip(verdicts, labels, strict=True) if not label]
        made = [v for v, label in zip(verdicts, labels, strict=True) if label]
        lines.append(
            f"| {NAMES[name]} | {auroc(labels, scores):.3f} | "
            f"{_share(real.count('likely-synthetic'), len(real))} | "
            f"{_share(real.count('unsure'), len(real))} | "
            f"{_share(made.count('likely-synthetic'), len(made))} |"
        )
    return "\n".join([*lines, ""])


def _speed(speeds: dict[str, Any]) -> str:
    clip, still = (np.median(np.array(speeds["scans"][name]), axis=0) for name in ("clip.mp4", "still.png"))
    marks = speeds["marks"]
    memory, before = clip[2] + clip[3], still[2]
    lines = [
        "## Cost\n",
        COST.format(count=len(speeds["scans"]["clip.mp4"])),
        "| | clip | picture |",
        "|---|---|---|",
        f"| frames looked at | {clip[5]:.0f} | 1 |",
        f"| processor seconds, scanning process | {clip[0]:.1f} | {still[0]:.1f} |",
        f"| processor seconds, decoding process, beside it | {clip[1]:.1f} | |",
        f"| peak memory, scanning process, MB | {clip[2]:.0f} | {still[2]:.0f} |",
        f"| peak memory, decoding process, MB | {clip[3]:.0f} | |",
        f"| both, against the picture | {memory / before:.2f} | 1 |",
        f"| decoding and reading marks alone | {marks['seconds']:.1f} s for {marks['frames']} frames: "
        f"{60 / marks['seconds']:.1f} times real time on one thread | |",
        "",
    ]
    return "\n".join(lines)
