"""From an opened picture to RGB: colour modes, transparency, orientation, and large pictures in strips.

Pillow holds four bytes a pixel, and so does every copy in between. A picture of 200 megapixels is therefore
decoded at a fraction of its size where its codec can do that (JPEG), and otherwise taken over strip by strip,
each reduced on the way.
"""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageFile

from countermark.core.exif import orientation
from countermark.core.headers import header_size

Pixels = np.ndarray  # uint8, H x W x 3, RGB

#: Short side that is left of a reduced picture, at least: what detectors look at of larger ones.
REDUCED_SIDE = 2048
_STRIP_PIXELS = 4_000_000
_IN_XMP = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_MAX_XMP = 1024 * 1024
_RAW_PROFILE = "Raw profile type exif"
_TURNS: dict[int, tuple[int | None, int | None]] = {  # quarter turns as OpenCV names them, then a flip
    2: (None, 1),
    3: (cv2.ROTATE_180, None),
    4: (None, 0),
    5: (cv2.ROTATE_90_CLOCKWISE, 1),
    6: (cv2.ROTATE_90_CLOCKWISE, None),
    7: (cv2.ROTATE_90_COUNTERCLOCKWISE, 1),
    8: (cv2.ROTATE_90_COUNTERCLOCKWISE, None),
}


def reduction(width: int, height: int) -> int:
    """By how much each side may be divided so that the short one keeps ``REDUCED_SIDE`` pixels."""
    return max(1, min(width, height) // REDUCED_SIDE)


def to_rgb(image: Image.Image, notes: list[str], factor: int = 1) -> tuple[Pixels, np.ndarray | None]:
    """A loaded picture as uint8 RGB, transparency laid over white, and the transparency.

    Args:
        image: As Pillow has loaded it, of any mode.
        notes: Gets a sentence for everything that was changed on the way.
        factor: Each side is divided by it (the mean of every square); the transparency is then not given.
    """
    top = _top(image, notes)
    if image.mode == "CMYK":
        notes.append("CMYK converted to RGB")
    clear = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    if clear:
        notes.append("alpha laid over white")
    width, height = image.width // factor, image.height // factor
    step = max(1, _STRIP_PIXELS // (image.width * factor))
    if step >= height and factor == 1:
        return _strip(image, top, clear)
    pixels = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if clear and factor == 1 else None
    plain = image.mode in ("RGB", "L") and not clear
    for row in range(0, height, step):
        rows = slice(row, min(row + step, height))
        box = (0, rows.start * factor, width * factor, rows.stop * factor)
        if plain and factor > 1:  # without a copy of the strip
            pixels[rows] = np.asarray(image.reduce(factor, box).convert("RGB"))
            continue
        piece, layer = _strip(image.crop(box), top, clear)
        if factor > 1:
            piece = cv2.resize(piece, (width, rows.stop - rows.start), interpolation=cv2.INTER_AREA)
        pixels[rows] = piece
        if alpha is not None and layer is not None:
            alpha[rows] = layer
    return pixels, alpha


def reduce_early(image: ImageFile.ImageFile, wanted: bool) -> int:
    """Tells a codec that can to decode at a fraction of the size, and says what is left to be divided by.

    To be called before the picture is loaded; nothing happens where ``wanted`` is false.
    """
    if not wanted or reduction(*image.size) == 1:
        return 1
    image.draft(None, (REDUCED_SIDE, REDUCED_SIDE))
    return reduction(*image.size)


def large_webp(data: bytes, notes: list[str]) -> Pixels | None:
    """A large still WebP, reduced; None for any other, which Pillow reads.

    Pillow takes every WebP for an animation, whose decoder holds three canvases of four bytes a pixel.
    """
    size = header_size("webp", data)
    if size is None or reduction(*size) == 1 or (data[12:16] == b"VP8X" and data[20] & 0x02):
        return None
    whole = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if whole is None or whole.ndim != 3 or whole.dtype != np.uint8:
        return None
    factor = reduction(whole.shape[1], whole.shape[0])
    width, height = whole.shape[1] // factor, whole.shape[0] // factor
    step = max(1, _STRIP_PIXELS // (whole.shape[1] * factor))
    pixels = np.empty((height, width, 3), np.uint8)
    for row in range(0, height, step):
        piece = whole[row * factor : min(row + step, height) * factor, : width * factor]
        if whole.shape[2] == 4:
            clear = piece[..., 3:].astype(np.uint16)
            piece = ((piece[..., :3] * clear + 255 * (255 - clear) + 127) // 255).astype(np.uint8)
        small = cv2.resize(piece, (width, piece.shape[0] // factor), interpolation=cv2.INTER_AREA)
        pixels[row : row + step] = small[..., ::-1]
    if whole.shape[2] == 4:
        notes.append("alpha laid over white")
    return pixels


def orientation_of(image: Image.Image) -> int:
    """1 to 8 from the EXIF that an opened picture carries, or from its XMP where that says nothing.

    As Pillow's ``exif_transpose`` has it, without loading all of a stranger's EXIF.
    """
    exif = image.info.get("exif")
    if exif is None and _RAW_PROFILE in image.info:  # as ImageMagick writes it into PNG
        try:
            exif = bytes.fromhex("".join(str(image.info[_RAW_PROFILE]).split("\n")[3:]))
        except ValueError:
            exif = None
    found = orientation(exif) if isinstance(exif, bytes) else None
    if found is not None:
        return found
    for key in ("XML:com.adobe.xmp", "xmp"):
        packet = image.info.get(key)
        raw = packet[:_MAX_XMP].encode() if isinstance(packet, str) else packet
        match = _IN_XMP.search(raw[:_MAX_XMP]) if isinstance(raw, bytes) else None
        if match:
            return int(match[1])
    return 1


def turned(array: Any, orientation: int) -> Any:
    """An array of pixels (H x W or H x W x 3, uint8) as EXIF's orientation wants it shown."""
    turn, flip = _TURNS.get(orientation, (None, None))
    if turn is not None:
        array = cv2.rotate(array, turn)
    return array if flip is None else cv2.flip(array, flip)


def _top(image: Image.Image, notes: list[str]) -> float | None:
    """The value that becomes white where a channel has more than 8 bits; None where it has not."""
    if image.mode not in ("I;16", "I;16B", "I;16L", "I", "F"):
        return None
    notes.append(f"mode {image.mode} reduced to 8 bits")
    if image.mode.startswith("I"):
        return 65535.0
    _, highest = image.getextrema()
    return max(float(highest), 1.0) if np.isfinite(highest) else 1.0  # type: ignore[arg-type]


def _strip(image: Image.Image, top: float | None, clear: bool) -> tuple[Pixels, np.ndarray | None]:
    if top is not None:
        values = np.asarray(image, dtype=np.float64)
        grey = np.clip(np.nan_to_num(values / top * 255.0), 0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), None
    alpha = None
    if clear:
        layer = image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(canvas, layer)
        alpha = np.array(layer.getchannel("A"))
    return np.array(image if image.mode == "RGB" else image.convert("RGB"), dtype=np.uint8), alpha
