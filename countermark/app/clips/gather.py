"""What a clip's file says about itself, before a frame of it is decoded: credential, metadata."""

from __future__ import annotations

from collections.abc import Sequence

from countermark.app.scan.gather import credential_evidence
from countermark.core.errors import CountermarkError, ImageError
from countermark.core.results import Evidence, Strength, Verification
from countermark.core.video.containers import CONTAINERS, HEAD, sniff_clip
from countermark.core.video.reader import open_regular
from countermark.core.video.sampling import ClipLimits


def credential_of(path: str, limits: ClipLimits) -> tuple[Verification | None, list[Evidence]]:
    """The credential in (or beside) a clip, verified, and the evidence that it gives: none when there is
    none. The first is None where it could not be read."""
    from countermark.provenance.credentials.clips import verify_clip

    try:
        verification = verify_clip(path, limits=limits)
    except ImageError:
        raise
    except CountermarkError as error:
        return None, [_could_not("credential", error)]
    return verification, credential_evidence(verification)


def metadata_of(path: str, texts: Sequence[tuple[str, str]], limits: ClipLimits) -> list[Evidence]:
    """Evidence of a container's texts and XMP packets."""
    from countermark.provenance.metadata.clips import read_clip_metadata, xmp_packets

    with open_regular(path, limits, path) as stream:
        container = sniff_clip(stream.read(HEAD))
        packets = xmp_packets(stream) if container and CONTAINERS[container].demuxer == "mov" else []
    return read_clip_metadata(texts, packets)


def note_evidence(notes: Sequence[str]) -> list[Evidence]:
    """Notes on the file, each as evidence of nothing."""
    return [Evidence("file", "neither", Strength.WEAK, f"File: {note}.", {"note": note}) for note in notes]


def _could_not(kind: str, error: CountermarkError) -> Evidence:
    sentence = f"The {kind} could not be read: {error}"
    return Evidence(kind, "neither", Strength.WEAK, sentence, {"error": error.code})
