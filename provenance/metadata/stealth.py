"""Prompts in the lowest bits of a picture's transparency ("stealth pnginfo"), as NovelAI hides them.

Column by column: a mark of 15 bytes, the length in bits (32 bits, big end first), then text, or gzip of it.
"""

from __future__ import annotations

import zlib

import numpy as np

_MARKS = {b"stealth_pnginfo": False, b"stealth_pngcomp": True}
_HEAD = 15 * 8
_MAX_BYTES = 1024 * 1024


def hidden_text(alpha: np.ndarray) -> str | None:
    """The text that is hidden in ``alpha`` (uint8, H x W), or None."""
    if alpha.size < _HEAD + 32:
        return None
    columns = -(-(_HEAD + 32) // alpha.shape[0])
    head = np.packbits(alpha[:, :columns].T.ravel()[: _HEAD + 32] & 1).tobytes()
    packed = _MARKS.get(head[:15])
    if packed is None:
        return None
    bits = int.from_bytes(head[15:19], "big")
    if not 0 < bits <= min(alpha.size - _HEAD - 32, _MAX_BYTES * 8):
        return None
    columns = -(-(_HEAD + 32 + bits) // alpha.shape[0])
    body = np.packbits(alpha[:, :columns].T.ravel()[_HEAD + 32 : _HEAD + 32 + bits] & 1).tobytes()
    try:
        if packed:
            body = zlib.decompressobj(31).decompress(body, _MAX_BYTES)
        return body.decode("utf-8", "replace")
    except zlib.error:
        return None
