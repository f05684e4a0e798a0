"""Pictures of both sides made alike before they are compared: one size, the same kind of file.

>>> black = np.zeros((2, 64, 64, 3), np.uint8)
>>> resaved(black, 85).shape, enlarged(black, 128).shape
((2, 64, 64, 3), (2, 128, 128, 3))
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from countermark.generators.data.pictures import Pictures


def resaved(images: np.ndarray, quality: int) -> np.ndarray:
    """uint8 RGB [N, H, W, 3] as JPEG files hold them; as they are for a quality of 0."""
    if not quality:
        return images
    held = []
    for image in images:
        data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        held.append(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[..., ::-1])
    return np.stack(held)


def saved_pictures(pictures: Pictures, quality: int) -> Pictures:
    """``resaved`` training and held-out pictures."""
    return replace(
        pictures, images=resaved(pictures.images, quality), heldout=resaved(pictures.heldout, quality)
    )


def enlarged(images: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, side, side, 3]: bicubic, as whoever uses smaller ones would."""
    if images.shape[1] == side:
        return images
    return np.stack([cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in images])
