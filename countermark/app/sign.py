"""Sign: watermark, credential and record for a generated image, in that order.

>>> import countermark as cm                                              # doctest: +SKIP
>>> cm.sign("made.png", "signed.png", generator="my-model/1").manifest_id  # doctest: +SKIP
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from countermark.app.clips.sign import ClipOptions, sign_clip
from countermark.app.labelling import Label, drawn, identifier_for, packet_for
from countermark.app.marking import ALGORITHM, Marked, check_conversion, encode_with_notes, mark
from countermark.app.recording import Recording
from countermark.core.errors import OutputError, ProvenanceError
from countermark.core.images import (
    DEFAULT_LIMITS,
    Limits,
    LoadedImage,
    format_for,
    read_bytes,
    read_image,
    sniff_format,
)
from countermark.core.results import SignedImage
from countermark.core.video.containers import sniff_clip
from countermark.core.video.reader import read_head
from countermark.provenance.credentials.options import FURTHER, FurtherOptions, check_options
from countermark.provenance.metadata.carrying import has_places, without_places
from countermark.provenance.metadata.writing import with_xmp

if TYPE_CHECKING:
    from countermark.provenance.credentials.ingredients import Ingredient, Source
    from countermark.provenance.identities.identity import Identity
    from countermark.provenance.repository import Repository

SIGNABLE = ("jpeg", "png", "webp", "avif", "tiff", "gif", "heif")
MARKABLE = ("jpeg", "png", "webp", "avif", "tiff")


def sign(
    source: Path | str,
    destination: Path | str,
    *,
    identity: str | Identity = "default",
    generator: str | None = None,
    parents: Sequence[Source | Ingredient] = (),
    watermark: bool = True,
    record: bool = True,
    digital_source_type: str | None = None,
    model: str | Mapping[str, Any] | None = None,
    seed: int | str | None = None,
    prompt: str | None = None,
    repository: Repository | None = None,
    allow_loss: bool = False,
    drop_places: bool = False,
    label: Label | bool = False,
    crf: int | None = None,
    on_note: Callable[[str], None] | None = None,
    on_progress: Callable[[float, float], None] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    **options: Unpack[FurtherOptions],
) -> SignedImage:
    """Signs one generated image or clip.

    Args:
        source: The image or clip; never changed.
        destination: Where the signed image goes; must not exist. Its extension says the format.
        identity: Name of a stored key and certificate chain, or one itself; ``default`` is a
            development identity that is made on first use and that nobody else trusts.
        generator: What made the image, such as ``my-model/1.2``.
        parents: Images it was made from, see ``sign_bytes``; their credentials stay in the history.
        watermark: Embed an identifier into the pixels (which encodes the image again). An image
            that cannot carry one is signed without, and ``notes`` says why.
        record: Keep the manifest, mark and fingerprint, so that a stripped credential is found again.
            Without ``watermark`` and ``record`` the image is not decoded, and nothing but its bytes is
            bound: some milliseconds instead of some tens.
        digital_source_type: IPTC term, such as ``compositeWithTrainedAlgorithmicMedia``. By default
            a new image is ``trainedAlgorithmicMedia``, and one that was signed before keeps what
            its history says; without a ``generator`` it then gets no mark, which would declare it
            generated.
        model, seed, prompt: Go into the credential, where they can be redacted later.
        repository: Where the record goes; None for the user's own. It is there before the file is.
            Where it cannot be made the file is signed all the same, and ``unrecorded`` says why.
        allow_loss: Mark (or turn into another format) even a picture that loses frames, bits above
            eight or ink colours by it. Otherwise such a picture is signed as it is, unmarked.
        drop_places: Take coordinates and names of places out of the picture's metadata. All other
            metadata stays where the container can hold it; the credential gets none of it.
        label: Write into the picture's metadata that it is generated (IPTC's digital source type and the
            AIGC field of GB 45438-2025), and, with ``Label.visible``, into the picture itself. True
            writes the metadata. The credential then also says when the picture was made.
        crf: Of clips: the quality at which frames are encoded again for the mark, as H.264 (or VP9) counts
            it; 0 to 51, lower is better, None for 18 (24).
        on_progress: Of clips: called with the seconds that are marked, and all of them.
        on_note: Called with every sentence on what is lost or left out, before anything is written.
        limits: Bounds of the source, its picture and every ingredient. The source is read once.
        options: Passed to ``countermark.provenance.credentials.signing.sign_image``.

    Raises:
        OutputError: ``output.exists``: nothing is overwritten, least of all the source.
        ImageError: the source is not an image.
        ProvenanceError: the identity cannot sign; the certificate doctor's findings are in the text.
        TypeError: an option is not known; nothing was done.
    """
    from countermark.provenance import fingerprint
    from countermark.provenance.credentials.jumbf import carries_store
    from countermark.provenance.credentials.signing import sign_file
    from countermark.provenance.credentials.softbinding import SoftBinding

    check_options("sign", options, known=OPTIONS)
    source, destination = Path(source), Path(destination)
    if destination.exists():
        raise OutputError(
            f"{destination} exists and is not overwritten.",
            code="output.exists",
            hint="Choose another name or remove it first.",
        )
    if sniff_clip(read_head(source)) is not None:
        return sign_clip(
            source,
            destination,
            ClipOptions(watermark, record, allow_loss, drop_places, label, crf, on_note, on_progress),
            repository=repository,
            limits=limits,
            identity=identity,
            generator=generator,
            digital_source_type=digital_source_type,
            model=model,
            seed=seed,
            prompt=prompt,
            parents=parents,
            **options,
        )
    data = read_bytes(source, limits)
    bindings: list[SoftBinding] = []
    wanted = (Label() if label is True else label) or None
    payload, packet = None, None
    if wanted is not None:
        payload, number = identifier_for(wanted)
        packet = packet_for(
            wanted,
            number,
            data,
            sniff_format(data) or "",
            source_type=digital_source_type,
            edited=_is_edited(data, parents, options.get("keep_history", True)),
            generator=generator,
            model=model,
        )
        options.setdefault("when", "now")
    if watermark or record or (wanted and wanted.visible) or not _as_it_is(data, destination):
        image = read_image(data, limits, name=str(source))
        format = _output_format(destination, image.format)
        resigned = digital_source_type is None and generator is None and carries_store(data)
        if wanted and wanted.visible:
            if not allow_loss:
                check_conversion(image, format)
            image = drawn(image, wanted)
        marked = _prepare(
            image,
            format,
            watermark and not resigned,
            allow_loss,
            payload,
            packet,
            bool(wanted and wanted.visible),
        )
        if watermark and resigned:
            marked = replace(marked, notes=(*marked.notes, "Not marked: nothing says that it was generated."))
        found = fingerprint.fingerprint(image.pixels if marked.pixels is None else marked.pixels)
        bindings = [SoftBinding(fingerprint.ALGORITHM, found, "fingerprint")]
        if marked.payload:
            bindings.append(SoftBinding(ALGORITHM, marked.payload))
    else:
        marked = Marked(data, None, None, None)
    if packet is not None and marked.data is data:
        marked = _with_packet(marked, packet)
    marked = _without_places(marked, drop_places)
    if on_note is not None:
        for note in marked.notes:
            on_note(note)
    recording = Recording(marked, digital_source_type, generator, repository) if record else None
    try:
        signed, _ = sign_file(
            source,
            destination,
            identity=identity,
            data=None if marked.data is data else marked.data,
            original=data,
            limits=limits,
            before_writing=recording,
            generator=generator,
            digital_source_type=digital_source_type,
            model=model,
            seed=seed,
            prompt=prompt,
            parents=parents,
            soft_bindings=tuple(bindings),
            **options,
        )
    except BaseException:
        if recording is not None:
            recording.withdraw()
        raise
    problem = "" if recording is None else recording.problem
    return replace(
        signed,
        payload=None if marked.payload is None else marked.payload.hex(),
        psnr=marked.psnr,
        recorded=recording is not None and recording.done,
        unrecorded=problem,
        notes=(*marked.notes, *signed.notes, *([f"Not recorded: {problem}"] if problem else [])),
    )


def _as_it_is(data: bytes, destination: Path) -> bool:
    """Whether a file can be signed without being decoded: its format is the one that is asked for."""
    found = sniff_format(data)
    return found is not None and _output_format(destination, found) == found


def _output_format(destination: Path, source: str) -> str:
    format = source if destination.suffix.lower() in (".heic", ".heif") else format_for(destination)
    if format not in SIGNABLE:
        raise OutputError(
            f"{destination.name}: credentials cannot be written into {format.upper()}.",
            code="output.format",
            hint="Use .png, .jpg, .webp, .avif or .tif.",
        )
    return format


def _prepare(
    image: LoadedImage,
    format: str,
    watermark: bool,
    allow_loss: bool,
    payload: bytes | None,
    packet: str | None,
    redrawn: bool,
) -> Marked:
    """The picture as it will be signed; ``redrawn``: its pixels are no longer those of its bytes."""
    notes: tuple[str, ...] = ()
    if watermark and format in MARKABLE:
        marked = mark(image, format, payload=payload, allow_loss=allow_loss, packet=packet)
        if marked.payload is not None or not redrawn:
            return marked
        notes = marked.notes
    elif watermark:
        notes = (f"Not marked: {format.upper()} is signed as it is.",)
    if image.format == format and not redrawn:
        return Marked(image.data, image.pixels, None, None, notes)
    if format not in MARKABLE:
        raise OutputError(
            f"A {image.format.upper()} file cannot be turned into {format.upper()} here.",
            code="output.format",
            hint="Keep the extension of the source.",
        )
    if not allow_loss:
        check_conversion(image, format)
    encoded, lost = encode_with_notes(image, image.pixels, format, packet)
    return Marked(encoded, image.pixels, None, None, (*notes, *lost))


def _is_edited(data: bytes, parents: Sequence[Source | Ingredient], keep_history: bool) -> bool:
    """Whether the credential will name a parent, so that the picture was edited rather than made."""
    from countermark.provenance.credentials.ingredients import Ingredient
    from countermark.provenance.credentials.jumbf import carries_store

    relations = [each.relationship if isinstance(each, Ingredient) else None for each in parents]
    return (keep_history and carries_store(data)) or "parentOf" in relations or relations == [None]


def _with_packet(marked: Marked, packet: str) -> Marked:
    """The label in a file that is not encoded again, or a note that its format has no room for one."""
    try:
        return replace(marked, data=with_xmp(marked.data, sniff_format(marked.data) or "", packet))
    except ProvenanceError as error:
        return replace(marked, notes=(*marked.notes, f"Not labelled: {error.message}"))


def _without_places(marked: Marked, drop: bool) -> Marked:
    """Without coordinates when they are to go; with a note when they stay."""
    format = sniff_format(marked.data)
    if format is None or not has_places(marked.data, format):
        return marked
    if not drop:
        return replace(marked, notes=(*marked.notes, "The picture's metadata says where it was taken."))
    return replace(marked, data=without_places(marked.data, format))


#: Names of all arguments that ``sign`` takes by name.
OPTIONS = FURTHER | {
    name for name, each in inspect.signature(sign).parameters.items() if each.kind is each.KEYWORD_ONLY
}
