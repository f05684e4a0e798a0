"""Signing what moves: the mark stands in every frame, times and repetitions stay."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import countermark as cm
from countermark.app import animations
from countermark.core.images import read_image
from countermark.core.results import VerificationState
from countermark.core.video.reader import open_clip
from countermark.core.video.sampling import Sampling
from countermark.provenance import watermark

TIMES = [80, 160, 240, 80]


def animation(frames, format: str, **options) -> bytes:
    stream = io.BytesIO()
    first, *more = [Image.fromarray(frame) for frame in frames]
    how = {"duration": TIMES[: len(frames)], "loop": 3, **options}
    first.save(stream, format, save_all=True, append_images=more, **how)
    return stream.getvalue()


def seen(path: Path) -> tuple[list[np.ndarray], list[float], float]:
    with open_clip(path, Sampling(whole=True)) as clip:
        frames = list(clip)
        return [f.pixels for f in frames], [round(f.time, 2) for f in frames], clip.facts.seconds


@pytest.mark.parametrize(
    ("format", "target", "options"),
    [
        ("WEBP", ".webp", {"lossless": True}),
        ("WEBP", ".webp", {"quality": 85}),
        ("PNG", ".png", {}),
        ("AVIF", ".avif", {}),
        ("GIF", ".webp", {}),
    ],
)
def test_every_frame_carries_the_mark(
    drawn_frames, tmp_path: Path, format: str, target: str, options: dict
) -> None:
    source, out = tmp_path / f"a.{format.lower()}", tmp_path / f"b{target}"
    source.write_bytes(animation(drawn_frames(4), format, **options))
    signed = cm.sign(source, out, record=False)
    assert signed.payload and 36 < signed.psnr < 50 and not any("Not marked" in n for n in signed.notes)
    before, times, length = seen(source)
    after, still, so_long = seen(out)
    assert len(after) == 4 and still == times and so_long == pytest.approx(length, abs=0.01)
    for frame in after if target != ".avif" else ():  # a codec that predicts keeps it in all together
        reading = watermark.read(frame)
        assert reading.payload is not None and reading.payload.hex() == signed.payload
    with Image.open(out) as written:
        assert written.info.get("loop", 3) == 3 or target == ".avif"
    assert cm.verify(out).state is VerificationState.TRUSTED
    (found,) = cm.scan(out)
    mark = next(e for e in found.evidence if e.kind == "mark")
    assert mark.detail["payload"] == signed.payload and found.clip is not None
    assert before[0].shape == after[0].shape


@pytest.mark.parametrize(
    ("held", "strengths", "marked"),
    [
        ([(True, True)], 1, True),
        ([(True, False), (True, True)], 2, True),
        ([(True, False), (True, False)], 2, True),
        ([(True, False), (False, False)], 2, True),
        ([(False, False), (False, False)], 2, False),
    ],
)
def test_a_mark_that_frames_do_not_hold_alone_is_made_stronger(
    drawn_frames, monkeypatch, held: list, strengths: int, marked: bool
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(animations, "_held", lambda path, _: (asked.append(path), held[len(asked) - 1])[1])
    image = read_image(animation(drawn_frames(2), "WEBP", lossless=True))
    made = animations.mark_animation(image, "webp", b"12345678", allow_loss=False, packet=None, lossless=True)
    assert len(asked) == strengths and (made.data is not None) == marked


def test_a_gif_is_too_coarse_and_said_to_be(drawn_frames, tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(animation(drawn_frames(3), "GIF"))
    signed = cm.sign(tmp_path / "a.gif", tmp_path / "b.gif", record=False)
    assert signed.payload is None and any("GIF is signed as it is" in note for note in signed.notes)
    assert read_image(tmp_path / "b.gif").frames == 3


def test_what_would_be_lost_is_not_paid_unasked(drawn_frames, tmp_path: Path) -> None:
    clear = []
    for frame in drawn_frames(3):
        alpha = np.full((*frame.shape[:2], 1), 255, np.uint8)
        alpha[:40] = 0
        clear.append(np.concatenate([frame, alpha], axis=2))
    source = tmp_path / "a.webp"
    source.write_bytes(animation(clear, "WEBP", lossless=True))
    signed = cm.sign(source, tmp_path / "b.webp", record=False)
    assert signed.payload is None and any("transparency would be lost" in note for note in signed.notes)
    assert read_image(tmp_path / "b.webp").frames == 3
    signed = cm.sign(source, tmp_path / "c.webp", record=False, allow_loss=True)
    assert signed.payload and "Lost: its transparency." in signed.notes


def test_too_many_pixels_are_left_alone(drawn_frames, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(animations, "MOST_PIXELS", 100_000)
    (tmp_path / "a.webp").write_bytes(animation(drawn_frames(3), "WEBP"))
    signed = cm.sign(tmp_path / "a.webp", tmp_path / "b.webp", record=False)
    assert signed.payload is None and any("too many to be marked" in note for note in signed.notes)
