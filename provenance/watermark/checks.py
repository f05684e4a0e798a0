"""What a fresh mark has to survive before the picture is handed out, and what is done where it does not.

>>> import numpy as np
>>> from countermark.provenance.watermark.layout import layout_for
>>> grey = np.full((256, 256, 3), 128, np.uint8)
>>> parts = views.analyse(grey[..., 0].astype(np.float32))
>>> UNREADABLE in missed(grey, b"8 bytes!", layout_for(None), parts)
True
"""

from __future__ import annotations

from collections.abc import Set

import cv2
import numpy as np

from countermark.provenance.watermark import views
from countermark.provenance.watermark.layout import Layout
from countermark.provenance.watermark.reading import Attempt, attempt
from countermark.provenance.watermark.significance import least_score

#: Quality of the re-coding without which a picture is refused, and of one that it should survive.
CHECK_QUALITY = 45
COARSE_QUALITY = 30
#: A picture with this share of places below this contrast (grey levels) should also survive WebP.
FLAT_SHARE = 0.25
FLAT_LEVEL = 2.0
WEBP_QUALITY = 75
#: Side of the patches that carry a smooth picture's mark.
PATCH = 32
#: A picture with this share of pixels that a change of tone would cut off should survive it too.
CUT_SHARE = 0.4
RAISED = 1.3
MIDDLE_GREY = 127.5
#: Share of pixels that one of these changes has to leave, or the picture counts as blank.
LEAST_LEFT = 0.005
#: Peak of the pilots (standard deviations) after re-coding from which geometry is surely found, also
#: in a blurred and in a cropped picture; those are read where it is lower.
SURE_PILOTS = 9.0
#: Peak, or score of the code bits, after coarse re-coding from which WebP need not be tried.
WEBP_PILOTS = 13.0
WEBP_SCORE = 0.88
BLUR = 2.0
CROP_SIDE = 0.71
#: Margin that is asked of a blurred picture's view, relative to the untouched one's.
BLUR_NEED = 0.3

UNREADABLE, COARSE, PILOTS, FLAT, BRIGHT, CONTRAST, BLURRED, CROPPED = (
    *("unreadable", "coarse", "pilots", "flat"),
    *("bright", "contrast", "blurred", "cropped"),
)
#: Failures of a mark that is cut off in some places, and of one that is weak all over.
TONE = frozenset({BRIGHT, CONTRAST})
WEAK = frozenset({UNREADABLE, COARSE, PILOTS, BLURRED, CROPPED})


def blank(grey: np.ndarray) -> bool:
    """Whether brightening and more contrast both leave next to nothing of a working frame (uint8)."""
    return 1 - _cut(_histogram(grey), MIDDLE_GREY) < LEAST_LEFT


def missed(frame: np.ndarray, payload: bytes, layout: Layout, parts: views.Plane) -> frozenset[str]:
    """What the mark in a working frame (uint8, H x W x 3, RGB) does not survive; empty: it is good.

    ``parts`` are those of the unmarked picture.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    coarse = attempt(_coded(grey, COARSE_QUALITY), layout)
    failures = set()
    if not _holds(coarse, payload):
        if not _holds(attempt(_coded(grey, CHECK_QUALITY), layout), payload):
            return frozenset({UNREADABLE, COARSE})
        failures.add(COARSE)
    weak = coarse.peak < SURE_PILOTS
    if weak:
        failures.add(PILOTS)
    counts = _histogram(grey)
    for name, middle in ((BRIGHT, 0.0), (CONTRAST, MIDDLE_GREY)):
        if _cut(counts, middle) > CUT_SHARE:
            raised = cv2.addWeighted(grey, RAISED, grey, 0, middle - RAISED * middle)
            if not _holds(attempt(_coded(raised, CHECK_QUALITY), layout), payload):
                failures.add(name)
    if weak:
        blurred = cv2.GaussianBlur(grey, (0, 0), BLUR)
        if not _holds(attempt(blurred.astype(np.float32), layout), payload):
            failures.add(BLURRED)
        rows, columns = (int(CROP_SIDE * side) for side in grey.shape)
        if not _holds(attempt(grey[:rows, :columns].astype(np.float32), layout), payload):
            failures.add(CROPPED)
    # WebP leaves nothing in flat places; it is slow, so only faint marks in much that is flat are asked. In
    # colour, because it halves the mark's chroma: of marks that grey copies kept, some were lost in colour.
    strong = coarse.peak > WEBP_PILOTS or coarse.decoded.score > WEBP_SCORE
    faint = _flat(parts) and (COARSE in failures or not strong)
    if faint and not _holds(attempt(_webp(frame), layout), payload):
        failures.add(FLAT)
    return frozenset(failures)


def _histogram(grey: np.ndarray) -> np.ndarray:
    """Share of every grey level; 256."""
    counts: np.ndarray = cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()
    return counts / grey.size


def _cut(shares: np.ndarray, middle: float) -> float:
    """Share of pixels that raised contrast about a grey level drives into white or black."""
    levels = np.arange(256)
    inside = (levels >= middle - middle / RAISED) & (levels <= middle + (255 - middle) / RAISED)
    return 1 - float(shares[inside].sum())


def damped(plane: np.ndarray, failures: Set[str], share: float) -> np.ndarray | None:
    """Factor of the mark's amplitude, float32, H x W: ``share`` where a change of tone that failed
    cuts it off anyway, so that the picture's other places can have more; None: 1 everywhere."""
    low = (MIDDLE_GREY - MIDDLE_GREY / RAISED) if CONTRAST in failures else -1.0
    high = 255 / RAISED if BRIGHT in failures else 255 - low
    if not TONE & failures:
        return None
    cut = ((plane > high) | (plane < low)).astype(np.float32)
    factor = 1 - (1 - share) * cv2.blur(cut, (5, 5))
    return np.asarray(factor, np.float32)


def smooth(parts: views.Plane, failures: Set[str]) -> bool:
    """Whether a codec wiped the mark off a smooth picture: it rounds faint carriers to nothing."""
    return _flat(parts) and bool(failures & {FLAT, COARSE, PILOTS, UNREADABLE})


def patches(shape: tuple[int, ...], share: float) -> np.ndarray:
    """Factor of the mark's amplitude, float32, H x W: 1 in patches of this share of the area, 0 between.

    Gathered there, a mark of the same energy is strong enough for a codec not to round it to nothing.
    """
    rows, columns = -(-shape[0] // PATCH), -(-shape[1] // PATCH)
    chosen = np.random.default_rng(rows * 65_536 + columns).random((rows, columns)) < share
    whole = np.kron(chosen, np.ones((PATCH, PATCH), np.float32))[: shape[0], : shape[1]]
    return cv2.blur(whole.astype(np.float32), (9, 9))


def views_of(plane: np.ndarray, parts: views.Plane, failures: Set[str]) -> list[views.View]:
    """The views for which the next mark has to be solved as well."""
    if BLURRED in failures:
        return [views.blurred(plane, parts, BLUR, BLUR_NEED)]
    return []


def _flat(parts: views.Plane) -> bool:
    return cv2.countNonZero(cv2.inRange(parts.local, 0, FLAT_LEVEL**2)) > FLAT_SHARE * parts.local.size


def _holds(found: Attempt, payload: bytes) -> bool:
    return found.decoded.payload == payload and found.decoded.score >= least_score()


def _coded(grey: np.ndarray, quality: int) -> np.ndarray:
    """A uint8 plane after it is stored as JPEG; float32."""
    _, data = cv2.imencode(".jpg", grey, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.float32)


def _webp(frame: np.ndarray) -> np.ndarray:
    """Luma of an RGB picture after it is stored as WebP; float32."""
    _, data = cv2.imencode(".webp", frame[..., ::-1], (cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY))
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2GRAY), np.float32)
