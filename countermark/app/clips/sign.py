"""Signs one clip: mark in every frame, credential in the container, record of its middle frame.

Without a watermark not a byte of its streams is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countermark.app.clips.marking import PLACES, MarkedClip, mark_clip
from countermark.app.labelling import Label, identifier_for, packet_for
from countermark.app.marking import ALGORITHM, Marked
from countermark.app.recording import CLIP_BYTES, Recording
from countermark.core.errors import ConfigError, MissingExtraError, OutputError
from countermark.core.images import DEFAULT_LIMITS, Limits, Pixels, read_bytes
from countermark.core.results import SignedImage
from countermark.core.video.containers import EXTENSIONS, HEAD, container_for, sniff_clip
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.provenance.credentials.contexts import no_place
from countermark.provenance.credentials.softbinding import SoftBinding
from countermark.provenance.metadata.clips import XMP_BOX

if TYPE_CHECKING:
    from countermark.provenance.repository import Repository

_BMFF = ("mp4", "mov")


def signable(*, watermark: bool, record: bool) -> tuple[frozenset[str], str]:
    """Extensions of the clips that a folder's signing can take, and why it takes none where it cannot.

    Without PyAV nothing can be marked, nor can a record keep a clip's looks; a clip that was asked for with
    both and got neither would be signed otherwise than it was asked for.
    """
    if (watermark or record) and find_spec("av") is None:
        return frozenset(), "clips: marking and recording them takes pip install 'countermark[video]'"
    return EXTENSIONS, ""


@dataclass(frozen=True)
class ClipOptions:
    """What ``countermark.app.sign.sign`` was told that concerns the clip; see there."""

    watermark: bool = True
    record: bool = True
    allow_loss: bool = False
    drop_places: bool = False
    label: Label | bool = False
    crf: int | None = None
    on_note: Callable[[str], None] | None = None
    on_progress: Callable[[float, float], None] | None = None


def sign_clip(
    source: Path,
    destination: Path,
    asked: ClipOptions,
    *,
    repository: Repository | None,
    limits: Limits,
    digital_source_type: str | None,
    generator: str | None,
    **options: Any,
) -> SignedImage:
    """Signs a clip.

    Raises:
        OutputError: ``output.exists``, or ``output.format`` for a destination that is no clip of its kind.
        ProvenanceError: ``credential.format``: WebM and MKV have no place for a credential.
        ClipError: the clip cannot be decoded.
        MissingExtraError: the mark or the record needs PyAV.
        ConfigError: ``clip.crf``.
    """
    from countermark.provenance.credentials.jumbf import carries_store
    from countermark.provenance.credentials.signing import sign_file

    if asked.crf is not None and not 0 <= asked.crf <= 51:
        raise ConfigError(
            f"A crf of {asked.crf} is not between 0 and 51.", code="clip.crf", hint="18 is usual."
        )
    room = replace(limits, max_bytes=CLIP_BYTES) if limits is DEFAULT_LIMITS else limits
    data = read_bytes(source, room)
    container = _target(data[:HEAD], destination)
    sidecar = bool(options.get("sidecar"))
    wanted = (Label() if asked.label is True else asked.label) or None
    resigned = digital_source_type is None and generator is None and carries_store(data)
    payload, packet = None, None
    if wanted is not None:
        payload, packet = _labelled(wanted, data, digital_source_type, generator, options)
        options.setdefault("when", "now")
    watermark = asked.watermark and not resigned
    marked = MarkedClip(None, None, None, None)
    if watermark:
        if not sidecar and container not in _BMFF:
            raise no_place(destination.name, container)
        marked = mark_clip(
            source,
            container,
            payload=payload,
            crf=asked.crf,
            allow_loss=asked.allow_loss,
            drop_places=asked.drop_places,
            on_progress=asked.on_progress,
        )
    notes = marked.notes
    if asked.watermark and resigned:
        notes = (*notes, "Not marked: nothing says that it was generated.")
    if marked.data is None:
        _same_container(data[:HEAD], container, destination)
    content = data if marked.data is None else marked.data
    pixels, more = _looked_at(source, marked, asked)
    notes = (*notes, *more)
    if packet is not None and container in _BMFF:
        content += _xmp_box(packet)
    elif packet is not None:
        notes = (*notes, f"Not labelled: {container.upper()} has no room for XMP.")
    if asked.on_note is not None:
        for note in notes:
            asked.on_note(note)
    held = Marked(content, pixels, marked.payload, marked.psnr, notes)
    recording = None
    if asked.record and pixels is not None:
        recording = Recording(held, digital_source_type, generator, repository)
    try:
        signed, _ = sign_file(
            source,
            destination,
            data=None if content is data else content,
            original=data,
            limits=room,
            before_writing=recording,
            generator=generator,
            digital_source_type=digital_source_type,
            soft_bindings=_bindings(held),
            **options,
        )
    except BaseException:
        if recording is not None:
            recording.withdraw()
        raise
    problem = "" if recording is None else recording.problem
    return replace(
        signed,
        payload=None if held.payload is None else held.payload.hex(),
        psnr=held.psnr,
        recorded=recording is not None and recording.done,
        unrecorded=problem,
        notes=(*notes, *signed.notes, *([f"Not recorded: {problem}"] if problem else [])),
    )


def _target(head: bytes, destination: Path) -> str:
    """The container that the destination's extension stands for."""
    container = container_for(destination.suffix)
    if container is None:
        raise OutputError(
            f"{destination.name} is not named as a clip.",
            code="output.format",
            hint="Use .mp4 or .mov; .webm or .mkv with a sidecar.",
        )
    return container


def _same_container(head: bytes, container: str, destination: Path) -> None:
    found = sniff_clip(head)
    if found != container and not {found, container} <= {"webm", "mkv"}:
        raise OutputError(
            f"{destination.name} is named as {container.upper()}, but the clip is {str(found).upper()}, "
            "and is not encoded again.",
            code="output.format",
            hint="Give the destination the extension of the source.",
        )


def _labelled(
    label: Label, data: bytes, source_type: str | None, generator: str | None, options: dict[str, Any]
) -> tuple[bytes, str]:
    """Payload of the mark, and the XMP packet with the label."""
    from countermark.provenance.credentials.jumbf import carries_store

    payload, number = identifier_for(label)
    packet = packet_for(
        label,
        number,
        b"",
        "",
        source_type=source_type,
        edited=bool(options.get("keep_history", True)) and carries_store(data),
        generator=generator,
        model=options.get("model"),
    )
    return payload, packet


def _xmp_box(packet: str) -> bytes:
    """A box of the outermost level that holds an XMP packet (XMP specification, part 3)."""
    body = packet.encode()
    return (24 + len(body)).to_bytes(4, "big") + b"uuid" + XMP_BOX + body


def _looked_at(source: Path, marked: MarkedClip, asked: ClipOptions) -> tuple[Pixels | None, tuple[str, ...]]:
    """The middle frame, which the record keeps the looks of; and notes."""
    notes: list[str] = []
    pixels = marked.pixels
    if pixels is None and not asked.record and not asked.drop_places:
        return None, ()
    try:
        with open_clip(source, Sampling(1, scenes=0.0)) as clip:
            placed = any(key.lower() in PLACES for key, _ in clip.texts)
            if placed and (marked.data is None or not asked.drop_places):
                notes.append("The clip's metadata says where it was taken.")
            if pixels is None:
                pixels = next(iter(clip)).pixels
    except MissingExtraError:
        notes.append("Not recorded: looking at its frames needs PyAV (pip install 'countermark[video]').")
    return pixels, tuple(notes)


def _bindings(held: Marked) -> tuple[SoftBinding, ...]:
    from countermark.provenance import fingerprint

    bindings = []
    if held.pixels is not None:
        found = fingerprint.fingerprint(held.pixels)
        bindings.append(SoftBinding(fingerprint.ALGORITHM, found, "fingerprint"))
    if held.payload:
        bindings.append(SoftBinding(ALGORITHM, held.payload))
    return tuple(bindings)
