"""A picture as a frame of a clip: through H.264 and back (needs the extra ``video``)."""

from __future__ import annotations

import io

import av
import numpy as np

from countermark.core.images import Pixels


def as_frame(pixels: Pixels, crf: int) -> Pixels:
    """uint8 RGB of the same size, but for odd sides, which lose a row or column; ``crf`` 0-51."""
    height, width = (n - n % 2 for n in pixels.shape[:2])
    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as clip:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        track = clip.add_stream("libx264", rate=25, options=options)
        track.width, track.height, track.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="rgb24")
        for frame in (picture, None):
            for packet in track.encode(frame):
                clip.mux(packet)
    stream.seek(0)
    with av.open(stream, format="mp4") as clip:
        return np.asarray(next(clip.decode(video=0)).to_ndarray(format="rgb24"))
