"""Parts of a picture that do not fit the rest: searched for in a scan, stated as evidence, kept as masks.

The search costs 2.5 s of one processor for a megapixel, several times the rest of a scan. So
``auto`` searches where somebody looks at single pictures (up to ``AUTO_FILES`` in a scan, of up to
``AUTO_PIXELS``, not reduced when they were read) and lists what it found only; ``on`` searches every picture
and says as well where nothing stands out; ``off`` searches none. Frames of clips are never searched.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from countermark.app.scan.gather import Gathered
from countermark.app.scan.verdict import ordered
from countermark.core.configuration import choice
from countermark.core.errors import ConfigError, CountermarkError
from countermark.core.files import atomic_write
from countermark.core.images import LoadedImage, Pixels
from countermark.core.results import Evidence, ScanResult, Strength

if TYPE_CHECKING:
    from countermark.detectors.regions.finder import Found

Mode = Literal["auto", "on", "off"]
MODES: tuple[str, ...] = get_args(Mode)
#: Most files of a scan, and largest picture (eight seconds of one processor), that ``auto`` searches.
AUTO_FILES = 24
AUTO_PIXELS = 16_000_000
#: Masks that are kept for reports, the latest ones: a scan hands results over in small batches.
KEPT = 64
#: What the finding is worth; see docs/regions.md for the figures that it rests on.
STRENGTH = Strength.WEAK


def _find(pixels: Pixels) -> Found | None:
    from countermark.detectors.regions.finder import load_finder

    return load_finder().find(pixels)


def part_search(mode: str, folder: Path | None, files: int) -> PartSearch | None:
    """The search that a scan of so many files gets; None for none. A folder for masks asks for one.

    Raises:
        ConfigError: ``config.value``: an unknown mode, or masks that ``off`` would never make.
    """
    if mode not in MODES:
        raise choice("The settings of the scan", "parts", mode, list(MODES))
    if mode == "off" and folder is not None:
        raise ConfigError(
            "Masks were asked for, and the search that makes them was switched off.",
            code="config.value",
            hint="Leave out --parts off, or --mask.",
        )
    if folder is not None:
        mode = "on"
    if mode == "off" or (mode == "auto" and files > AUTO_FILES):
        return None
    return PartSearch(mode, folder)


@dataclass
class PartSearch:
    """One scan's search.

    Attributes:
        mode: ``auto`` or ``on``, see above.
        folder: Where to write a mask (PNG, 0 or 255, the size of the picture) for every searched picture;
            None writes none. Files that are there already are never replaced.
        find: Finds; tests put something else here.
        masks: By path: float32 map and bool mask of the latest pictures in which a part was found.
        written: By path: the file that was written.
    """

    mode: str = "auto"
    folder: Path | None = None
    find: Callable[[Pixels], Found | None] = _find
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    written: dict[str, Path] = field(default_factory=dict)

    def evidence(self, path: str, image: LoadedImage) -> Evidence | None:
        """What the search says of a picture; None where it did not look or has nothing to say.

        A search that fails says so and does not stop the scan.
        """
        if not self._wanted(image):
            return None
        try:
            found = self.find(image.pixels)
            if found is None:
                return None
            if self.folder is not None:
                self._write(path, image, found)
        except CountermarkError as error:
            sentence = f"The search for an exchanged part failed: {error.message}"
            return Evidence("region", "neither", Strength.WEAK, sentence, {"failed": error.code})
        if found.likely:
            self.masks[path] = found.mask
            while len(self.masks) > KEPT:
                self.masks.pop(next(iter(self.masks)))
        return region_evidence(found) if found.likely or self.mode == "on" else None

    def take(self, path: str) -> np.ndarray | None:
        """The mask of a picture in which a part was found, once."""
        return self.masks.pop(path, None)

    def _wanted(self, image: LoadedImage) -> bool:
        if self.mode == "auto":
            return image.size is None and image.pixels.shape[0] * image.pixels.shape[1] <= AUTO_PIXELS
        return self.mode == "on"

    def _write(self, path: str, image: LoadedImage, found: Found) -> None:
        assert self.folder is not None
        name = f"{safe_name(path)}-{image.sha256[:12]}.png"
        high, wide = image.pixels.shape[:2]
        target = self.folder / name
        if not target.exists():
            atomic_write(target, mask_png(found.mask, high, wide))
        self.written[path] = target


def ask_parts(item: Gathered | ScanResult, result: ScanResult, search: PartSearch) -> ScanResult:
    """The result with what the search found listed; verdict and score stay as they are."""
    found = search.evidence(result.path, item.image) if isinstance(item, Gathered) else None
    if found is None:
        return result
    return replace(result, evidence=ordered((*result.evidence, found), result.verdict))


def region_evidence(found: Found) -> Evidence:
    """The evidence of kind ``region``: boxes in pixels, areas as shares of the picture."""
    area = float(found.mask.mean())
    detail = {
        "score": round(found.score, 4),
        "threshold": round(found.threshold, 4),
        "area": round(area, 4),
        "parts": [
            {"box": list(part.box), "area": round(part.area, 4), "strength": round(part.strength, 3)}
            for part in found.parts
        ],
        "found": found.likely,
    }
    if not found.likely:
        sentence = (
            f"No part stands out from the rest of the picture ({found.score:.2f}, threshold "
            f"{found.threshold:.2f}); small or well blended parts are missed."
        )
        return Evidence("region", "neither", Strength.WEAK, sentence, detail)
    first = found.parts[0].box
    where = f"{first[2]} x {first[3]} pixels at {first[0]}, {first[1]}"
    more = f" and {len(found.parts) - 1} more" if len(found.parts) > 1 else ""
    sentence = (
        f"A part of this picture is likely synthetic or comes from another picture: {where}{more}, "
        f"{area:.0%} of the picture, does not fit the rest ({found.score:.2f}, threshold "
        f"{found.threshold:.2f})."
    )
    if STRENGTH is Strength.WEAK:
        sentence += " It does not decide the verdict."
    return Evidence("region", "synthetic", STRENGTH, sentence, detail)


def mask_png(mask: np.ndarray, high: int, wide: int) -> bytes:
    """A PNG of 0 and 255, ``high`` x ``wide`` pixels, of a bool mask of any size."""
    import cv2

    grown = cv2.resize(mask.astype(np.uint8) * 255, (wide, high), interpolation=cv2.INTER_NEAREST)
    return bytes(cv2.imencode(".png", grown)[1])


def safe_name(path: str) -> str:
    """The last part of a path, letters, digits, dots and dashes only, for a file's name."""
    name = re.split(r"[/\\]", path)[-1]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "picture"
