"""Decoding of animated pictures with Pillow; runs in the decoding process only."""

from __future__ import annotations

import warnings
from typing import IO, Any

from countermark.core.errors import ClipError
from countermark.core.video.decoding import Emit
from countermark.core.video.sampling import ClipLimits, Sampling

#: Frames of an animated picture at most: some formats are walked through to count them.
MOST_FRAMES = 50_000


def decode(stream: IO[bytes], format: str, sampling: Sampling, limits: ClipLimits, emit: Emit) -> None:
    """Sends the facts, the wanted frames and ``end`` of an open animated picture.

    Frames are chosen by number, evenly spaced; times are those at which they are shown.

    Raises:
        ClipError: ``clip.too-many-pixels``, ``clip.too-long``, ``clip.damaged``.
    """
    from PIL import Image

    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with Image.open(stream, formats=[format.upper()]) as image:
            width, height = image.size
            if width * height > limits.max_pixels or max(width, height) > limits.max_side:
                raise ClipError(f"its frames have {width} x {height} pixels", code="clip.too-many-pixels")
            count = int(getattr(image, "n_frames", 1))
            if count > MOST_FRAMES:
                raise ClipError(f"it has {count:,} frames", code="clip.too-long")
            facts = {"codec": format, "width": width, "height": height, "seconds": 0.0, "frames": count}
            emit(
                {"kind": "facts", **facts, "rate": None, "audio": [], "time_base": [1, 1000], "texts": []}, []
            )
            _walk(image, count, sampling, emit)
    except ClipError:
        raise
    except Exception as error:  # decoders raise whatever they like on hostile bytes
        reason = str(error)[:200] or type(error).__name__
        raise ClipError(f"it cannot be decoded ({reason})", code="clip.damaged") from error


def _walk(image: Any, count: int, sampling: Sampling, emit: Emit) -> None:
    wanted = _numbers(count, sampling)
    shown, decoded, broken = 0.0, 0, 0
    notes: list[str] = []
    every, after = sampling.every, 0.0
    for number in range(count):
        try:
            image.seek(number)
            if number in wanted or every is not None:
                image.load()
        except (OSError, EOFError, ValueError, SyntaxError) as error:
            broken += 1
            notes.append(f"damaged after {shown:.1f} s ({str(error)[:100]})")
            break
        due = number in wanted if every is None else shown >= after - 1e-9 and decoded < sampling.count
        if due:
            decoded += 1
            after = shown + (every or 0.0)
            layer = image.convert("RGBA" if _transparent(image) else "RGB")
            if layer.mode == "RGBA" and layer.getchannel("A").getextrema()[0] == 255:
                layer = layer.convert("RGB")  # it could be transparent, and is not
            depth = len(layer.getbands())
            if depth == 4:
                notes.append("alpha laid over white")
            place = {"time": shown, "key": number == 0, "scene": False, "pts": None}
            kind = {"depth": depth, "bits": 8, "colour": [2, 2, 2, 0], "rotation": 0, "interlaced": False}
            size = {"width": layer.width, "height": layer.height}
            emit({"kind": "frame", **place, **kind, **size}, [layer.tobytes()])
        # What GIFs call 0 is shown for a tenth of a second by everybody.
        shown += (float(image.info.get("duration") or 0) or 100.0) / 1000
    end = {"kind": "end", "decoded": decoded, "broken": broken, "seconds": shown}
    emit({**end, "notes": list(dict.fromkeys(notes))}, [])


def _numbers(count: int, sampling: Sampling) -> frozenset[int]:
    if sampling.whole or count <= sampling.count:
        return frozenset(range(count))
    return frozenset(int((number + 0.5) * count / sampling.count) for number in range(sampling.count))


def _transparent(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
