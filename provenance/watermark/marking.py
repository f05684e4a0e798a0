"""Putting a mark into a picture: solve, apply, read again, and refuse what cannot be read.

>>> import numpy as np
>>> picture = np.random.default_rng(0).integers(60, 190, (300, 400, 3), np.uint8)
>>> embed(picture, b"8 bytes!").shape
(300, 400, 3)
"""

from __future__ import annotations

import cv2
import numpy as np

from countermark.provenance.watermark import coding, embedding, perception
from countermark.provenance.watermark.layout import Layout, layout_for
from countermark.provenance.watermark.reading import attempt
from countermark.provenance.watermark.records import WatermarkError
from countermark.provenance.watermark.significance import MAX_P, p_value

#: Margin (standard deviations of picture and coding noise) that the mark of strength 1 aims at.
MARGIN = 3.0
#: Peak signal-to-noise ratio (dB over RGB) between which the margin decides.
BEST_PSNR = 46.4
WORST_PSNR = 39.4
#: What a picture gets in which that was not readable.
LAST_PSNR = 39.2
#: Smallest side of a picture that carries a mark.
MIN_SIDE = 200
#: The mark's colour: more green, less blue than grey, so that luma changes most for a given error.
COLOUR = np.array([0.95, 1.15, 0.6], np.float32) / np.float32(0.95 * 0.299 + 1.15 * 0.587 + 0.6 * 0.114)
#: Quality of the re-coding that a mark has to survive before the picture is handed out.
CHECK_QUALITY = 45
#: Quality of one that it should survive: what does not is marked more strongly, up to the limit.
COARSE_QUALITY = 25
#: A picture with this share of places below this contrast (grey levels) should also survive WebP.
FLAT_SHARE = 0.5
FLAT_LEVEL = 2.5
WEBP_QUALITY = 75
#: A picture with this share of pixels that brightening by this factor would cut off should survive it too.
BRIGHT_SHARE = 0.2
BRIGHTENED = 1.3
#: Rows that are changed at a time, so that a large picture is never copied as floating point.
STRIP = 256


def embed(
    image: np.ndarray, payload: bytes, *, strength: float = 1.0, key: bytes | str | None = None
) -> np.ndarray:
    """Returns a copy of ``image`` that carries ``payload``.

    Args:
        image: uint8, H x W x 3, RGB; at least 200 pixels on either side.
        payload: 8 bytes.
        strength: Of the default, 0.25 to 2. At 1 the mark has between 46 dB and 39.2 dB, as much
            as the picture needs; 2 permits 6 dB more change, 0.5 asks for 6 dB less.
        key: Secret of the mark; the same one reads it. None: the public key.

    Returns:
        uint8, H x W x 3. A grey picture stays grey.

    Raises:
        WatermarkError: see its docstring; ``watermark.unreadable`` when reading it again fails.
    """
    perception.check_image(image)
    if not isinstance(payload, bytes | bytearray) or len(payload) != coding.PAYLOAD_BYTES:
        raise WatermarkError(
            "The watermark's payload is not 8 bytes.",
            code="watermark.bad-payload",
            hint="Use countermark's record identifier, or 8 bytes of your own.",
        )
    if not (isinstance(strength, int | float) and 0.25 <= strength <= 2):
        raise WatermarkError("The strength is not between 0.25 and 2.", code="watermark.bad-strength")
    height, width = image.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise WatermarkError(
            f"A picture of {width} x {height} pixels is too small to carry a mark.",
            code="watermark.too-small",
            hint=f"At least {MIN_SIDE} pixels a side are needed.",
        )
    layout = layout_for(key)
    payload = bytes(payload)
    bits = coding.encode(payload)
    plane = perception.working_frame(image)
    colour = _colour(image)
    louder = 20 * float(np.log10(strength))
    best = _luma_error(BEST_PSNR - louder, colour)
    worst = _luma_error(WORST_PSNR - max(louder, 0), colour)
    last = _luma_error(LAST_PSNR - max(louder, 0), colour)
    readable = None
    for errors in ((best, worst), (float(np.sqrt(best * last)), last), (last, last)):
        solved = embedding.solve(plane, bits, layout, MARGIN * strength, errors)
        marked = apply_mark(image, solved.plane, colour)
        again = perception.working_frame(marked)
        if _survives(again, payload, layout):
            return marked
        if _readable(again, payload, layout, CHECK_QUALITY):
            readable = marked
    if readable is not None:
        return readable
    raise WatermarkError(
        "The mark cannot be read again in this picture, not even at the highest strength.",
        code="watermark.unreadable",
        hint="It is mostly blank, saturated or strictly periodic: sign it without a watermark.",
    )


def apply_mark(image: np.ndarray, plane: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Adds a working plane's change of luma to a picture, strip by strip; uint8, H x W x 3."""
    height, width = image.shape[:2]
    if plane.shape != (height, width):
        plane = cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC)
    marked = np.empty_like(image)
    for top in range(0, height, STRIP):
        rows = slice(top, top + STRIP)
        part = plane[rows]
        change = cv2.merge([part * share for share in colour.tolist()])
        marked[rows] = cv2.add(image[rows], change, dtype=cv2.CV_8U)
    return marked


def _colour(image: np.ndarray) -> np.ndarray:
    grey = np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 1], image[..., 2])
    return np.ones(3, np.float32) if grey else COLOUR


def _luma_error(psnr: float, colour: np.ndarray) -> float:
    return float(255.0**2 / 10 ** (psnr / 10) / np.mean(colour**2))


def _survives(plane: np.ndarray, payload: bytes, layout: Layout) -> bool:
    """Whether the mark in a working frame is strong enough for coarse codecs, and for brightening."""
    if not _readable(plane, payload, layout, COARSE_QUALITY):
        return False
    bright = float(np.mean(plane > 255 / BRIGHTENED)) > BRIGHT_SHARE
    if bright and not _readable(plane * np.float32(BRIGHTENED), payload, layout, CHECK_QUALITY):
        return False
    # WebP leaves nothing in flat places; it is slow, so only pictures that are mostly flat are asked.
    flat = float(np.mean(perception.contrast(perception.high_pass(plane)) < FLAT_LEVEL**2)) > FLAT_SHARE
    return not flat or _readable(plane, payload, layout, WEBP_QUALITY, ".webp")


def _readable(plane: np.ndarray, payload: bytes, layout: Layout, quality: int, kind: str = ".jpg") -> bool:
    """Whether the mark is read after the working frame is re-coded."""
    grey = np.minimum(plane.round(), 255).astype(np.uint8)
    option = cv2.IMWRITE_WEBP_QUALITY if kind == ".webp" else cv2.IMWRITE_JPEG_QUALITY
    _, data = cv2.imencode(kind, grey, (option, quality))
    found = attempt(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32), layout)
    if found.decoded.payload != payload:
        return False
    return p_value(found.decoded.score, attempts=1, valid=True) <= MAX_P
