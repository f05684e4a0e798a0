"""Marks of a clip as evidence: what its frames show together, and where."""

from __future__ import annotations

from countermark.app.clips.rule import clock
from countermark.app.scan.gather import MAX_CHANCE_MATCH
from countermark.core.results import Evidence, Strength
from countermark.provenance.watermark.pooling import ClipReading
from countermark.provenance.watermark.public_marks import KnownMark

#: Frames of a clip in which public marks are looked for, one after another.
PUBLIC_FRAMES = 8


def mark_evidence(found: ClipReading, public: KnownMark | None, public_frames: int) -> list[Evidence]:
    """Evidence of our own mark (over all frames) and of a public one (in ``public_frames`` of them)."""
    evidence = []
    reading = found.reading
    if reading.payload is None and reading.searched == "stopped":
        sentence = "The search for a changed watermark was stopped; one may have been missed."
        evidence.append(Evidence("mark", "neither", Strength.WEAK, sentence, {"stopped": True}))
    if reading.payload is not None and reading.p_value <= MAX_CHANCE_MATCH:
        spans = [{"start": each.start, "end": each.end} for each in found.spans]
        others = sorted({each.payload.hex() for each in found.spans} - {reading.payload.hex()})
        where = ", ".join(f"{clock(each.start)} to {clock(each.end)}" for each in found.spans[:8])
        sentence = (
            f"A Countermark watermark is in the frames ({where}; identifier {reading.payload.hex()}; a "
            f"chance match in the whole clip has a probability of at most {max(reading.p_value, 1e-99):.0e})."
        )
        detail = {
            "payload": reading.payload.hex(),
            "p_value": reading.p_value,
            "scheme": reading.scheme,
            "spans": spans,
            "frames": found.frames,
            "alone": found.alone,
            **({"others": others} if others else {}),
        }
        evidence.append(Evidence("mark", "synthetic", Strength.CERTAIN, sentence, detail))
    if public is not None:
        sentence = (
            f"The publicly known watermark {public.name} is in {public_frames} of the frames (a chance match "
            f"in one has a probability of at most {max(public.p_value, 1e-99):.0e})."
        )
        detail = {"name": public.name, "p_value": public.p_value, "frames": public_frames}
        evidence.append(Evidence("mark", "synthetic", Strength.STRONG, sentence, detail))
    return evidence
