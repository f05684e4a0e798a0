"""A short clip from still pictures: each is moved over slowly, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from countermark.core.images import Pixels
from countermark.core.video.containers import container_for
from countermark.core.video.records import ClipFacts, Frame
from countermark.core.video.writer import ClipWriter


def draw_clip(
    pictures: Sequence[Pixels],
    path: Path | str,
    *,
    seconds: float = 3.0,
    rate: int = 12,
    size: tuple[int, int] = (512, 384),
    crf: int = 18,
) -> Path:
    """Writes a silent clip in which a camera moves over pictures (uint8 RGB, of any size).

    Args:
        path: ``.mp4`` or another name of a clip; overwritten.
        size: Width and height of a frame, in pixels.

    Raises:
        OutputError: it cannot be encoded.
    """
    path = Path(path)
    container = container_for(path.suffix) or "mp4"
    count = max(1, round(seconds * rate))
    facts = ClipFacts(container, "", *size, seconds, count, float(rate), (), (1, rate))
    with ClipWriter(path, None, facts, container=container, crf=crf) as writer:
        for number, pixels in enumerate(_frames(pictures, count, size)):
            writer.add(Frame(number / rate, pixels, stamp=number))
    return path


def _frames(pictures: Sequence[Pixels], count: int, size: tuple[int, int]) -> Iterator[Pixels]:
    for number in range(count):
        place = number * len(pictures) / count
        picture, way = pictures[int(place)], place % 1
        height, width = picture.shape[:2]
        wide = 0.8 * min(width, height * size[0] / size[1])
        high = wide * size[1] / size[0]
        zoom = size[0] / wide
        move = np.array([[zoom, 0, -way * (width - wide) * zoom], [0, zoom, -(height - high) / 2 * zoom]])
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        yield cv2.warpAffine(picture, move, size, flags=how, borderMode=cv2.BORDER_REFLECT_101)
