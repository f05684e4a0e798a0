"""Everything that the page shows of one picture, made in two steps: the answer first, the map after it.

Pictures that are shown are encoded anew from pixels: no byte of an upload goes back to a browser, but
for the signed file that was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags, Image

from countermark.app.scan.single import scan_picture
from countermark.app.service.context import Context
from countermark.app.service.page.clips import is_clip, scan_bytes
from countermark.app.service.page.places import find_places
from countermark.app.service.work import UNNAMED
from countermark.core.errors import CountermarkError
from countermark.core.images import Limits, LoadedImage, Pixels, encode_image, read_image
from countermark.core.results import Failure, ScanResult, Verification, VerificationState
from countermark.detectors.scoring.points import WorkingPoint, working_points
from countermark.reports.text import visible

#: Longest sides of what is shown, in pixels.
VIEW_SIDE, THUMB_SIDE, MAP_SIDE = 1600, 240, 512
#: Local scores below this are left clear in the map.
MAP_FLOOR = 0.25
#: A map whose brightest place is darker than this, in [0, 1], shows nothing.
MAP_LEAST = 0.05
MAX_ROWS, MAX_VALUE = 80, 400
THUMBNAIL_LIMITS = Limits(max_bytes=2 << 20, max_pixels=4_000_000, max_side=4_000)
#: Shares of generated pictures among those received, for which the chance is worked out.
PRIORS = (0.01, 0.1, 0.5)

Report = Callable[[str], None]


@dataclass
class Look:
    """One examined picture or clip.

    Attributes:
        pictures: Encoded, by the name under which they are served.
        frames: Of a clip: name among ``pictures`` and time in seconds of its strongest frames.
    """

    name: str
    data: bytes
    image_format: str
    width: int
    height: int
    notes: tuple[str, ...]
    result: ScanResult
    verification: Verification | None
    failure: Failure | None
    points: tuple[WorkingPoint, ...]
    metadata: tuple[tuple[str, str, str], ...]
    trust: str
    pictures: dict[str, bytes] = field(default_factory=dict)
    thumbnails: dict[str, str] = field(default_factory=dict)
    record: dict[str, str] = field(default_factory=dict)
    frames: list[tuple[str, float]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.data) + sum(map(len, self.pictures.values()))


def examine(context: Context, data: bytes, name: str, report: Report, *, max_fpr: float = 0.01) -> Look:
    """The first step: everything but the map.

    Args:
        name: As the sender calls it; shown, never used as a path.
        report: Told the stage that begins: ``reading``, ``credential`` (the detector is asked at the
            same time), ``detector``.

    Raises:
        ImageError: the bytes are no picture that may be read.
    """
    report("reading")
    if is_clip(data):
        return _examine_clip(context, data, name, report, max_fpr)
    image = read_image(data, context.settings.limits, name=visible(name, 120))
    pictures = {"view": _shrunk(image.pixels, VIEW_SIDE), "thumb": _shrunk(image.pixels, THUMB_SIDE)}
    report("credential")
    result, verification = scan_picture(
        image,
        name=UNNAMED,
        detector=context.detector(),
        limits=context.settings.limits,
        max_fpr=max_fpr,
        repository=context.repository,
        on_gathered=lambda: report("detector"),
    )
    if verification is not None:
        verification = replace(verification, path="", sha256=image.sha256)
    look = Look(
        name=name,
        data=data,
        image_format=image.format,
        width=image.width,
        height=image.height,
        notes=image.notes,
        result=replace(result, path=""),
        verification=verification,
        failure=None if verification is not None else _why_not(result),
        points=working_points(context.detector()),
        metadata=describe_metadata(image),
        trust=_trust_name(),
        pictures=pictures,
    )
    _add_history(context, look)
    return look


def _examine_clip(context: Context, data: bytes, name: str, report: Report, max_fpr: float) -> Look:
    report("clip")
    result, verification, failure, frames = scan_bytes(
        data, visible(name, 120), context.detector(), context.repository, max_fpr=max_fpr
    )
    pictures = {
        f"frame-{number}": _shrunk(pixels, VIEW_SIDE // 2) for number, (_, pixels) in enumerate(frames)
    }
    if frames:
        pictures |= {"view": pictures["frame-0"], "thumb": _shrunk(frames[0][1], THUMB_SIDE)}
    look = Look(
        name=name,
        data=data,
        image_format=result.format or "",
        width=result.width or 0,
        height=result.height or 0,
        notes=(),
        result=result,
        verification=verification,
        failure=failure,
        points=working_points(context.detector()),
        metadata=(),
        trust=_trust_name(),
        pictures=pictures,
        frames=[(f"frame-{number}", time) for number, (time, _) in enumerate(frames)],
    )
    _add_history(context, look)
    return look


def _why_not(result: ScanResult) -> Failure:
    """Why there is no verification: the scan says so among its evidence."""
    said = next((e for e in result.evidence if e.kind == "credential" and "error" in e.detail), None)
    if said is None:
        return Failure("credential.unreadable", "The credential could not be read.")
    return Failure(str(said.detail["error"]), said.sentence)


def draw_map(context: Context, look: Look) -> None:
    """The second step: where the score comes from, and faces and parts that stand out, as overlays."""
    if look.result.clip is not None:
        return
    with suppress(CountermarkError):
        image = read_image(look.data, context.settings.limits)
        look.result, mask = find_places(look.result, image, look.name)
        if mask is not None:
            look.pictures["mask"] = mask
        if look.result.score is not None:
            with suppress(AttributeError):
                drawn = overlay(context.detector().heatmap(image.pixels))
                if drawn is not None:
                    look.pictures["map"] = drawn


def chances(score: float) -> list[tuple[float, float]]:
    """For each prior: the chance that a picture of this score is generated.

    ``score`` is calibrated on as many generated pictures as photographs.

    >>> [(prior, round(chance, 3)) for prior, chance in chances(0.9)]
    [(0.01, 0.083), (0.1, 0.5), (0.5, 0.9)]
    """
    odds = score / max(1 - score, 1e-9)
    found = []
    for prior in PRIORS:
        posterior = odds * prior / (1 - prior)
        found.append((prior, posterior / (1 + posterior)))
    return found


def overlay(heat: np.ndarray) -> bytes | None:
    """A heatmap (float in [0, 1], H x W) as a PNG that lies over the picture; None where no place stands out.

    It is clear in the lower half of the picture's own values: a map that covers everything shows nothing.
    """
    height, width = heat.shape
    scale = min(1.0, MAP_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.clip(cv2.resize(np.asarray(heat, np.float32), size, interpolation=cv2.INTER_AREA), 0, 1)
    # Scores of photographs lie low: what colours at all begins where it could matter.
    floor = min(max(MAP_FLOOR, float(np.median(small))), 0.99)
    shown = np.clip((small - floor) / (1 - floor), 0, 1)
    if shown.max() < MAP_LEAST:
        return None
    colours = cv2.applyColorMap((255 * (0.35 + 0.6 * shown)).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (255 * np.sqrt(shown)).astype(np.uint8)
    stored, encoded = cv2.imencode(".png", np.dstack([colours, alpha]))
    if not stored:
        raise CountermarkError("The map could not be encoded.", code="output.failed")
    return encoded.tobytes()


def describe_metadata(image: LoadedImage) -> tuple[tuple[str, str, str], ...]:
    """Group, field and value of what stands in the file: EXIF, text fields, IPTC, XMP; bounded."""
    from countermark.provenance.metadata.blocks import read_blocks

    blocks = read_blocks(image.data, image.format)
    rows: list[tuple[str, str, str]] = []
    for blob in blocks.exif[:2]:
        rows += _exif(blob)
    rows += [("Text", key, value) for key, value in blocks.texts[:32]]
    rows += [("IPTC", key, value) for key, value in blocks.iptc[:16]]
    rows += [("XMP", "", " ".join(packet.split())) for packet in blocks.xmp[:2]]
    return tuple((g, visible(k, 80), visible(v, MAX_VALUE)) for g, k, v in rows[:MAX_ROWS] if v)


def _exif(blob: bytes) -> list[tuple[str, str, str]]:
    rows = []
    exif = Image.Exif()
    try:
        exif.load(blob)
        tables: list[tuple[str, Mapping[int, Any], Mapping[int, str]]] = [("EXIF", dict(exif), ExifTags.TAGS)]
        tables.append(("EXIF", exif.get_ifd(ExifTags.IFD.Exif), ExifTags.TAGS))
        tables.append(("GPS", exif.get_ifd(ExifTags.IFD.GPSInfo), ExifTags.GPSTAGS))
    except Exception:  # Pillow raises many kinds of errors on damaged EXIF
        return [("EXIF", "", "damaged")]
    for group, table, names in tables:
        for tag, value in list(table.items())[:MAX_ROWS]:
            if isinstance(value, bytes) and len(value) > 64:
                value = f"{len(value)} bytes"
            elif isinstance(value, Mapping):
                continue
            rows.append((group, str(names.get(tag, f"0x{tag:04x}")), str(value).strip("\0 ")))
    return rows


def _add_history(context: Context, look: Look) -> None:
    """Thumbnails of the credential, and what the repository keeps of a recovered original."""
    from countermark.provenance.credentials.pictures import thumbnails

    verification = look.verification
    if verification is None or not verification.chain:
        return
    manifest = None
    if verification.state is VerificationState.RECOVERED:
        with suppress(CountermarkError):
            record = context.repository.by_manifest_id(verification.chain[0].label)
            if record is not None:
                manifest = record.store
                look.record = {
                    "created": record.created,
                    "signer": record.signer,
                    "generator": record.generator or "",
                }
                if record.sketch is not None:
                    look.pictures["sketch"] = _sketch(record.sketch, look.width, look.height)
    for number, (label, picture) in enumerate(thumbnails(look.data, manifest).items()):
        with suppress(CountermarkError):
            pixels = read_image(picture, THUMBNAIL_LIMITS).pixels
            look.pictures[f"history-{number}"] = _shrunk(pixels, THUMB_SIDE)
            look.thumbnails[label] = f"history-{number}"


def _sketch(values: bytes, width: int, height: int) -> bytes:
    """The repository's 64 x 64 grey values in the shape of the picture."""
    grey = np.frombuffer(values, np.uint8).reshape(64, 64)
    scale = 320 / max(width, height)
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    large = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC)
    return encode_image(np.repeat(large[..., None], 3, axis=2), "jpeg", quality=85)


def _shrunk(pixels: Pixels, side: int) -> bytes:
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return encode_image(pixels, "jpeg", quality=88)


def _trust_name() -> str:
    from countermark.provenance.identities.trust import default_trust

    try:
        return visible(default_trust().name, 200)
    except CountermarkError as error:
        return visible(error.message, 200)
